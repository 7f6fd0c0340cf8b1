//! The header of a program in C.

use std::collections::BTreeSet;

use airconv_ir::entity::SymbolId;

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
    format!(
        "/* {name}: generated code.
 *
 * Arrays are dense and row-major. Integers of less than a byte take a byte each; floats of less
 * than 16 bits are held as float, 16-bit ones as their bits in uint16_t; bool is a byte, 0 or 1.
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

/* The bytes of workspace that a run on inputs of these shapes needs, or an error code times -1.
 * There is one array of sizes per input. */
int64_t {name}_workspace(const int64_t *const *input_shapes);

/* Writes the shapes of the outputs, for sizes that are computed the most that they can be.
 * Gives 0 or an error code. */
int32_t {name}_output_shapes(const int64_t *const *input_shapes, int64_t *const *output_shapes);

/* Runs the model. Inputs and outputs are arrays of pointers to elements, aligned as their types
 * ask for, which do not overlap; the workspace is aligned to 64 bytes and comes from malloc or
 * the like. Nothing is kept between runs, and runs with workspaces of their own may go on at the
 * same time. The shapes that outputs have got are written unless `output_shapes` is NULL. Gives
 * 0 or an error code, after which the outputs mean nothing. */
int32_t {name}_run(const void *const *inputs, const int64_t *const *input_shapes,
                   void *const *outputs, int64_t *const *output_shapes, void *workspace);

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
