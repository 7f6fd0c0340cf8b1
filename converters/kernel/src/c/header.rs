//! The header of a program in C.

use std::collections::BTreeSet;

use airconv_ir::entity::SymbolId;

use super::Kernels;
use super::kernel::stored_type;
use super::program::comment;
use crate::ir::{BufferId, Elem, Program};

/// What an array is: its number, name, dtype, C type and shape.
fn array(program: &Program, n: usize, name: &str, b: BufferId) -> String {
    let buffer = program.buffer(b);
    let names = |s: SymbolId| program.sizes[s.0 as usize].name.clone();
    let shape: Vec<String> = buffer.shape.iter().map(|d| d.display(&names).to_string()).collect();
    let held = match buffer.dtype.and_then(Elem::of) {
        Some((elem, 1)) => stored_type(elem).to_owned(),
        Some((elem, parts)) => format!("{parts} {} each", stored_type(elem)),
        None => "nothing".to_owned(),
    };
    let dtype = buffer.dtype.map_or("", |d| d.name());
    comment(&format!("{n}  {name}  {dtype} ({held})  [{}]", shape.join(", ")))
}

/// The text of the header.
pub(super) fn text(
    program: &Program,
    name: &str,
    errors: &[String],
    given: &BTreeSet<SymbolId>,
    kernels: &Kernels,
) -> String {
    let upper = name.to_uppercase();
    let list = |list: &[(String, BufferId)]| -> String {
        let each = list.iter().enumerate();
        each.map(|(i, (name, b))| format!(" *   {}\n", array(program, i, name, *b))).collect()
    };
    let mut sizes = String::new();
    for (i, size) in program.sizes.iter().enumerate() {
        let from = match given.contains(&SymbolId(i as u32)) {
            true => "given by the shapes of the inputs",
            false => "computed",
        };
        let bound = |b: Option<i64>| b.map_or("*".to_owned(), |b| b.to_string());
        let (min, max) = (bound(size.range.min), bound(size.range.max));
        sizes += &comment(&format!(" *   {}: {min} to {max}, {from}", size.name));
        sizes.push('\n');
    }
    if sizes.is_empty() {
        sizes = " *   none\n".to_owned();
    }
    let codes: String = errors
        .iter()
        .enumerate()
        .map(|(i, e)| format!(" *   {}  {}\n", i + 1, comment(e)))
        .collect();
    let (inputs, outputs) = (list(&program.inputs), list(&program.outputs));
    let (n, m) = (program.inputs.len(), program.outputs.len());
    let (threads, weights) = match kernels {
        Kernels::Inline => (
            "For code that uses threads; this code uses that of the caller alone.",
            "For code with weights in a file; this code has its weights.".to_owned(),
        ),
        Kernels::External(e) => (
            "How many threads a run uses, that of the caller included: no more than the\n     \
             * processors that the process may use, and all of them when 0. With 1 no thread is\n     \
             * made.",
            match &e.weights {
                None => "For code with weights in a file; this code has its weights.".to_owned(),
                Some(file) => comment(&format!(
                    "The path of the file with the weights, which is mapped; NULL for `{}`.",
                    file.name
                )),
            },
        ),
    };
    let mode = match kernels {
        Kernels::Inline => "",
        Kernels::External(_) => {
            "\n * While it runs, subnormal numbers are taken for zero; the mode of the caller's thread is as\n \
             * before when it returns."
        }
    };
    format!(
        "/* {name}: generated code, C99 and C++.
 *
 * Arrays are dense and row-major. Integers of less than a byte take a byte each; floats of less
 * than 16 bits are held as float, 16-bit ones as their bits in uint16_t; bool is a byte, 0 or 1.
 * Every array is aligned as its type asks for, which malloc does.
 *
 * Inputs:
{inputs} *
 * Outputs:
{outputs} *
 * Sizes:
{sizes} */
#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern \"C\" {{
#endif

#define {upper}_INPUTS {n}
#define {upper}_OUTPUTS {m}

/* The model for inputs of certain shapes: the plan of its runs, with threads and packed weights.
 * It does not change once it is made, but for the use of its own workspace. */
typedef struct {name}_context {name}_context;

/* What a context is made with; all zero is as good as any. */
struct {name}_options {{
    /* {threads} */
    int32_t threads;
    /* Whether the context has a workspace of its own, for runs that are given none. */
    int32_t own_workspace;
    /* {weights} */
    const char *weights;
}};

/* Makes a context for inputs of these shapes, one array of sizes per input; options may be NULL.
 * Gives 0 or an error code. Only this function allocates memory. */
int32_t {name}_create({name}_context **made, const int64_t *const *input_shapes,
                      const struct {name}_options *options);

/* Ends a context that no run uses; NULL is nothing. */
void {name}_destroy({name}_context *context);

/* The bytes of workspace that a run needs. */
int64_t {name}_workspace(const {name}_context *context);

/* Writes the shapes of the outputs, for sizes that are computed the most that they can be. */
void {name}_output_shapes(const {name}_context *context, int64_t *const *output_shapes);

/* Runs the model. Inputs and outputs are arrays of pointers to elements, which do not overlap.
 * The workspace is aligned to 64 bytes and comes from malloc or the like; NULL stands for that of
 * the context, if it has one that no run is using. Runs with workspaces of their own may go on at
 * the same time, on one context too. Nothing is allocated. The shapes that outputs have got are
 * written unless `output_shapes` is NULL. Gives 0 or an error code, after which the outputs mean
 * nothing.{mode} */
int32_t {name}_run({name}_context *context, const void *const *inputs, void *const *outputs,
                   int64_t *const *output_shapes, void *workspace);

/* What an error code means:
{codes} */
const char *{name}_error(int32_t code);

#ifdef __cplusplus
}}
#endif

#endif
"
    )
}
