//! Runs modules as C: written, compiled by the C compiler of the machine, run as a process.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use airconv_api::{Choice, Executor, Failed, Report, RunOptions};
use airconv_ir::diag::Diagnostic;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;
use airconv_ir::module::InputRole;
use airconv_ir::verify::Verified;

use super::{COptions, CSource, program_c};
use crate::carrier::{array_of, block_of};
use crate::executor::{lower_for, report_stop};
use crate::ir::{Elem, Program};
use crate::lower::{LowerOptions, Lowered};

/// Compiles modules with `cc`, or what the variable `CC` names, and runs them.
#[derive(Clone, Debug)]
pub struct CExecutor {
    /// The flags of the compiler.
    pub flags: Vec<String>,
}

impl Default for CExecutor {
    fn default() -> Self {
        Self { flags: ["-std=c11", "-O2"].map(str::to_owned).to_vec() }
    }
}

fn compiler() -> std::ffi::OsString {
    std::env::var_os("CC").unwrap_or_else(|| "cc".into())
}

impl Executor for CExecutor {
    fn name(&self) -> &'static str {
        "c"
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::NativeOnly]
    }
    fn available(&self) -> Result<(), String> {
        let found = Command::new(compiler()).arg("--version").output();
        found.map(drop).map_err(|e| format!("there is no C compiler: {e}"))
    }
    fn run(
        &self,
        module: &Verified<'_>,
        inputs: &BTreeMap<String, Datum>,
        _: &RunOptions,
        report: &mut Report,
    ) -> Result<Vec<(String, Datum)>, Failed> {
        let lowered = lower_for(
            module.module(),
            inputs,
            LowerOptions { host: false, ..LowerOptions::default() },
        )
        .map_err(|stop| report_stop(&stop, report))?;
        let options = COptions { name: "model".to_owned(), ..COptions::default() };
        let source = program_c(&lowered.program, &lowered.module, &options).map_err(|refused| {
            report.push(Diagnostic::error("run-unsupported", refused.to_string()));
            Failed::Unsupported
        })?;
        let done = self.compile_and_run(&lowered, &source, inputs);
        done.map_err(|why| {
            report.push(Diagnostic::error("run-failed", why));
            Failed::System
        })
    }
}

impl CExecutor {
    fn compile_and_run(
        &self,
        lowered: &Lowered,
        source: &CSource,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Vec<(String, Datum)>, String> {
        let failed = |e: std::io::Error| e.to_string();
        let dir = tempfile::tempdir().map_err(failed)?;
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("in"), input_bytes(lowered, inputs)?).map_err(failed)?;
        std::fs::write(at("model.c"), &source.source).map_err(failed)?;
        std::fs::write(at("model.h"), &source.header).map_err(failed)?;
        std::fs::write(at("main.c"), driver(&lowered.program)).map_err(failed)?;
        let said = |what: &str, output: std::process::Output| {
            let text = String::from_utf8_lossy(&output.stderr);
            let text: String = text.chars().take(2000).collect();
            if output.status.success() { Ok(()) } else { Err(format!("{what}: {text}")) }
        };
        let mut compile = Command::new(compiler());
        compile.current_dir(dir.path()).args(&self.flags);
        let output = compile.args(["model.c", "main.c", "-o", "model", "-lm"]).output();
        said("the C compiler", output.map_err(failed)?)?;
        let output = Command::new(at("model")).args([at("in"), at("out")]).output();
        said("the compiled model", output.map_err(failed)?)?;
        outputs(&lowered.program, &at("out"))
    }
}

/// The inputs in the order of the program: sizes of the axes, number of bytes, bytes.
fn input_bytes(lowered: &Lowered, inputs: &BTreeMap<String, Datum>) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let specs = &lowered.module.main().inputs;
    for ((name, buffer), spec) in lowered.program.inputs.iter().zip(specs) {
        let stored = match spec.role {
            InputRole::User { default, .. } => default,
            InputRole::Param(tensor) | InputRole::State(tensor) => tensor,
        };
        let array = match (inputs.get(name).map(Datum::as_array), stored) {
            (Some(Some(array)), _) => array.clone(),
            (None, Some(id)) => lowered.module.tensors[id].to_array().map_err(|e| e.to_string())?,
            _ => return Err(format!("input `{name}` is not given as a tensor")),
        };
        let wanted = lowered.program.buffer(*buffer);
        if Some(array.dtype) != wanted.dtype || array.shape.len() != wanted.shape.len() {
            return Err(format!("input `{name}` is of another type"));
        }
        let block = block_of(&array).ok_or("no memory")?;
        for n in array.shape.iter().chain([&block.len()]) {
            out.extend((*n as i64).to_ne_bytes());
        }
        out.extend(block.bytes());
    }
    Ok(out)
}

/// Bytes of one element of a dtype in memory.
fn width(dtype: Option<DType>) -> usize {
    dtype.and_then(Elem::of).map_or(0, |(elem, parts)| elem.bytes() * parts)
}

/// A program that reads inputs from one file, runs a model and writes outputs to another one.
fn driver(program: &Program) -> String {
    let ranks = |list: &[(String, crate::ir::BufferId)]| {
        let each = list.iter().map(|(_, b)| program.buffer(*b).shape.len().to_string());
        each.chain(["0".to_owned()]).collect::<Vec<_>>().join(", ")
    };
    let most = program.inputs.iter().chain(&program.outputs);
    let rank = most.map(|(_, b)| program.buffer(*b).shape.len()).max().unwrap_or(0).max(1);
    let widths: Vec<String> =
        program.outputs.iter().map(|(_, b)| width(program.buffer(*b).dtype).to_string()).collect();
    let mut out = String::from("#include \"model.h\"\n#include <stdio.h>\n#include <stdlib.h>\n\n");
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "enum {{ RANK = {rank}, INS = {}, OUTS = {} }};\n\
         static const size_t in_ranks[] = {{ {} }}, out_ranks[] = {{ {} }};\n\
         static const size_t widths[] = {{ {} }};\n{MAIN}",
        program.inputs.len(),
        program.outputs.len(),
        ranks(&program.inputs),
        ranks(&program.outputs),
        widths.into_iter().chain(["0".to_owned()]).collect::<Vec<_>>().join(", ")
    );
    out
}

const MAIN: &str = r#"
static int64_t in_dims[INS + 1][RANK], out_dims[OUTS + 1][RANK];

static void *memory(int64_t bytes)
{
    void *p = aligned_alloc(64, ((size_t)bytes + 64) / 64 * 64);
    if (bytes < 0 || p == NULL)
        exit(3);
    return p;
}

int main(int argc, char **argv)
{
    const int64_t *in_shapes[INS + 1] = { 0 };
    int64_t *out_shapes[OUTS + 1] = { 0 };
    void *ins[INS + 1] = { 0 }, *outs[OUTS + 1] = { 0 };
    FILE *in, *out;
    if (argc != 3 || !(in = fopen(argv[1], "rb")) || !(out = fopen(argv[2], "wb")))
        return 2;
    for (int i = 0; i < INS; i++) {
        int64_t bytes = 0;
        if (fread(in_dims[i], 8, in_ranks[i], in) != in_ranks[i] || fread(&bytes, 8, 1, in) != 1)
            return 4;
        in_shapes[i] = in_dims[i];
        ins[i] = memory(bytes);
        if (fread(ins[i], 1, (size_t)bytes, in) != (size_t)bytes)
            return 4;
    }
    for (int i = 0; i < OUTS; i++)
        out_shapes[i] = out_dims[i];
    model_context *context;
    int32_t status = model_create(&context, in_shapes, NULL);
    if (status == 0) {
        model_output_shapes(context, out_shapes);
        for (int i = 0; i < OUTS; i++) {
            int64_t bytes = (int64_t)widths[i];
            for (size_t j = 0; j < out_ranks[i]; j++)
                bytes *= out_dims[i][j];
            outs[i] = memory(bytes);
        }
        void *workspace = memory(model_workspace(context));
        status = model_run(context, (const void *const *)ins, outs, out_shapes, workspace);
        free(workspace);
        model_destroy(context);
    }
    if (status != 0)
        fprintf(stderr, "%s\n", model_error(status));
    for (int i = 0; status == 0 && i < OUTS; i++) {
        size_t count = 1;
        for (size_t j = 0; j < out_ranks[i]; j++)
            count *= (size_t)out_dims[i][j];
        fwrite(out_dims[i], 8, out_ranks[i], out);
        fwrite(outs[i], widths[i], count, out);
    }
    for (int i = 0; i < INS; i++)
        free(ins[i]);
    for (int i = 0; i < OUTS; i++)
        free(outs[i]);
    return fclose(out) != 0 || status != 0;
}
"#;

fn outputs(program: &Program, file: &Path) -> Result<Vec<(String, Datum)>, String> {
    let all = std::fs::read(file).map_err(|e| e.to_string())?;
    let mut rest = &all[..];
    let mut take = |n: usize| -> Result<&[u8], String> {
        let (head, tail) = rest.split_at_checked(n).ok_or("the outputs end early")?;
        rest = tail;
        Ok(head)
    };
    let mut found = Vec::new();
    for (name, b) in &program.outputs {
        let buffer = program.buffer(*b);
        let mut dims = Vec::new();
        for _ in &buffer.shape {
            let bytes = take(8)?.try_into().unwrap_or_default();
            dims.push(usize::try_from(i64::from_ne_bytes(bytes)).map_err(|e| e.to_string())?);
        }
        let bytes = take(dims.iter().product::<usize>() * width(buffer.dtype))?;
        let dtype = buffer.dtype.ok_or("an output that is no tensor")?;
        let array = array_of(dtype, dims, bytes).map_err(|e| e.to_string())?;
        found.push((name.clone(), array.into()));
    }
    Ok(found)
}
