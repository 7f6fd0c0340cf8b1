//! Generated C against the interpreter. Needs a C compiler, `cc` or what `CC` names.

use std::path::Path;
use std::process::Command;

use airconv_ir::dim::Dim;

use super::*;
use crate::interp::{Fault, run_kernel};
use crate::ir::{Access, Elem, KernelBuilder, LoopKind, Stmt, UnOp};
use crate::memory::Block;
use crate::random::{Case, Taste, case};

/// Flags under which generated code compiles without a word.
pub(super) const FLAGS: [&str; 6] = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic"];

/// Compiles a program of one file.
pub(super) fn compile(source: &Path, binary: &Path, more: &[&str]) {
    let cc = std::env::var("CC").unwrap_or("cc".into());
    let mut command = Command::new(cc);
    command.args(FLAGS).args(more).arg(source).arg("-o").arg(binary).arg("-lm");
    let output = command.output().expect("a C compiler");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", errors.chars().take(4000).collect::<String>());
}

const MAIN: &str = r#"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    if (argc != 3 || in == NULL || out == NULL)
        return 2;
    for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
        int64_t head[4], sizes[8], lens[16];
        void *bufs[16];
        int32_t status = 0;
        if (fread(head, 8, 4, in) != 4)
            return 3;
        if (fread(sizes, 8, (size_t)head[1], in) != (size_t)head[1])
            return 3;
        for (int64_t b = 0; b < head[0]; b++) {
            if (fread(&lens[b], 8, 1, in) != 1)
                return 3;
            bufs[b] = malloc((size_t)lens[b] + 1);
            if (fread(bufs[b], 1, (size_t)lens[b], in) != (size_t)lens[b])
                return 3;
        }
        int64_t middle = head[2] + (head[3] - head[2]) / 2;
        if (head[2] == 0 && head[3] == -1) {
            kernels[i](bufs, sizes, 0, 1, &status);
        } else {
            kernels[i](bufs, sizes, middle, head[3], &status);
            kernels[i](bufs, sizes, 0, middle, &status);
        }
        fwrite(&status, 4, 1, out);
        for (int64_t b = 0; b < head[0]; b++) {
            fwrite(bufs[b], 1, (size_t)lens[b], out);
            free(bufs[b]);
        }
    }
    return fclose(out);
}
"#;

/// What C leaves in the buffers and the status, of each case.
fn run_in_c(cases: &[Case], more: &[&str]) -> Vec<(i32, Vec<Vec<u8>>)> {
    let mut helpers = Helpers::default();
    let (mut functions, mut table) = (String::new(), Vec::new());
    let mut input: Vec<u8> = Vec::new();
    for (i, Case { kernel, sizes, buffers }) in cases.iter().enumerate() {
        functions += &kernel::function(kernel, &format!("k{i}"), &mut helpers);
        table.push(format!("k{i}"));
        let symbol = |s: airconv_ir::entity::SymbolId| sizes.get(s.0 as usize).copied();
        let end = kernel.grid().map_or(-1, |(_, extent, _)| extent.eval(&symbol).unwrap().max(0));
        let head = [buffers.len() as i64, sizes.len() as i64, 0, end];
        head.iter().chain(sizes).for_each(|x| input.extend(x.to_ne_bytes()));
        for bytes in buffers {
            input.extend((bytes.len() as i64).to_ne_bytes());
            input.extend(bytes);
        }
    }
    let ty = "void (*const kernels[])(void *const *, const int64_t *, int64_t, int64_t, int32_t *)";
    let source = format!(
        "{INCLUDES}\n{}\n{functions}\n{ty} = {{ {} }};\n{MAIN}",
        helpers.text(),
        table.join(", ")
    );
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("k.c"), &source).unwrap();
    std::fs::write(path("in"), input).unwrap();
    if let Some(keep) = std::env::var_os("AIRCONV_KEEP_C") {
        std::fs::write(keep, &source).unwrap();
    }
    compile(&path("k.c"), &path("k"), more);
    let run = Command::new(path("k")).arg(path("in")).arg(path("out")).output().unwrap();
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{} {errors}", run.status);
    let output = std::fs::read(path("out")).unwrap();
    let mut at = 0;
    let mut take = |n: usize| {
        at += n;
        output[at - n..at].to_vec()
    };
    cases
        .iter()
        .map(|c| {
            let status = i32::from_ne_bytes(take(4).try_into().unwrap());
            (status, c.buffers.iter().map(|b| take(b.len())).collect())
        })
        .collect()
}

/// What the interpreter leaves.
fn interpret(Case { kernel, sizes, buffers }: &Case) -> (bool, Vec<Vec<u8>>) {
    let blocks: Vec<Block> = buffers
        .iter()
        .map(|bytes| {
            let mut block = Block::new(bytes.len()).unwrap();
            block.bytes_mut().copy_from_slice(bytes);
            block
        })
        .collect();
    let mems: Vec<_> = blocks.iter().map(Block::mem).collect();
    let failed = match run_kernel(kernel, &mems, sizes) {
        Ok(()) => false,
        Err(Fault::Check(_)) => true,
        Err(fault) => panic!("{fault}"),
    };
    (failed, blocks.iter().map(|b| b.bytes().to_vec()).collect())
}

/// The elements as numbers.
fn numbers(elem: Elem, bytes: &[u8]) -> Vec<f64> {
    let each = |b: &[u8]| match elem {
        Elem::F16 => half::f16::from_ne_bytes(b.try_into().unwrap()).to_f64(),
        Elem::Bf16 => half::bf16::from_ne_bytes(b.try_into().unwrap()).to_f64(),
        Elem::F32 => f32::from_ne_bytes(b.try_into().unwrap()).into(),
        Elem::F64 => f64::from_ne_bytes(b.try_into().unwrap()),
        _ => unreachable!(),
    };
    bytes.chunks_exact(elem.bytes()).map(each).collect()
}

fn same(elem: Elem, a: &[u8], b: &[u8]) -> bool {
    match elem {
        Elem::F16 | Elem::Bf16 | Elem::F32 | Elem::F64 => {
            let pairs = numbers(elem, a).into_iter().zip(numbers(elem, b));
            { pairs }.all(|(x, y)| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()))
        }
        _ => a == b,
    }
}

fn compare(seeds: std::ops::Range<u64>, more: &[&str]) {
    let cases: Vec<Case> = seeds.clone().map(|seed| case(seed, Taste::default())).collect();
    for ((seed, case), (status, got)) in seeds.zip(&cases).zip(run_in_c(&cases, more)) {
        let (failed, want) = interpret(case);
        assert_eq!(status != 0, failed, "seed {seed}: status {status}");
        for (i, param) in case.kernel.params.iter().enumerate() {
            assert!(
                same(param.elem, &got[i], &want[i]),
                "seed {seed}, buffer {i}: {:?}, not {:?}\n{}\n{}",
                got[i],
                want[i],
                crate::text::print(&case.kernel),
                kernel_c(&case.kernel, "k"),
            );
        }
    }
}

#[test]
fn random_kernels_give_what_the_interpreter_gives() {
    compare(0..400, &[]);
}

#[test]
fn random_kernels_without_undefined_behaviour() {
    let sanitize = "-fsanitize=undefined,float-cast-overflow,bounds";
    compare(1000..1150, &[sanitize, "-fno-sanitize-recover=all"]);
}

#[test]
#[ignore = "takes minutes"]
fn many_random_kernels() {
    for start in (2000..10_000).step_by(500) {
        // Of so many, some compare what they need not.
        compare(start..start + 500, &["-Wno-tautological-compare"]);
    }
}

#[test]
fn functions_are_close() {
    use UnOp::*;
    let ops = [
        Sqrt, Exp, Log, Sin, Cos, Tan, Asin, Acos, Atan, Sinh, Cosh, Tanh, Asinh, Acosh, Atanh, Erf,
    ];
    let values = [-3.0f32, -1.0, -0.5, -0.0, 0.0, 1e-6, 0.3, 0.999, 1.0, 2.5, 10.0, f32::NAN];
    let mut cases = Vec::new();
    for (elem, op) in [Elem::F32, Elem::F64].iter().flat_map(|e| ops.map(|op| (*e, op))) {
        let mut b = KernelBuilder::new("f");
        let (x, y) = (b.param(elem, Access::Read), b.param(elem, Access::Write));
        let n = Dim::symbol(b.size());
        let i = b.counter();
        let value = b.load(x, Dim::symbol(i));
        let value = b.unary(op, value);
        b.kernel.body = vec![Stmt::For {
            var: i,
            extent: n,
            kind: LoopKind::Vector,
            body: vec![Stmt::Store { param: y, at: Dim::symbol(i), value }],
        }];
        let bytes: Vec<u8> = match elem {
            Elem::F32 => values.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            _ => values.iter().flat_map(|x| f64::from(*x).to_ne_bytes()).collect(),
        };
        let zeros = vec![0; bytes.len()];
        let sizes = vec![values.len() as i64];
        cases.push(Case { kernel: b.kernel, sizes, buffers: vec![bytes, zeros] });
    }
    for (case, (_, got)) in cases.iter().zip(run_in_c(&cases, &[])) {
        let elem = case.kernel.params[1].elem;
        let want = &interpret(case).1[1];
        let eps = if elem == Elem::F32 { 4e-7 } else { 1e-15 };
        for (x, y) in numbers(elem, &got[1]).into_iter().zip(numbers(elem, want)) {
            let close = x == y || (x - y).abs() <= eps * y.abs().max(1e-3);
            let op = case.kernel.exprs.last();
            assert!(close || (x.is_nan() && y.is_nan()), "{op:?} of {elem:?}: {x} not {y}");
        }
    }
}

/// What does not change in a loop stands before it, once, and only if the loop runs.
#[test]
fn invariant_code_is_taken_out_of_loops() {
    let mut b = KernelBuilder::new("scale");
    let (x, s) = (b.param(Elem::F32, Access::Read), b.param(Elem::F32, Access::Read));
    let y = b.param(Elem::F32, Access::Write);
    let (m, n) = (Dim::symbol(b.size()), Dim::symbol(b.size()));
    let (i, j) = (b.counter(), b.counter());
    let at = &(&Dim::symbol(i) * &n) + &Dim::symbol(j);
    let (factor, row) = (b.load(s, Dim::Known(0)), b.load(s, Dim::symbol(i)));
    let factor = b.unary(UnOp::Exp, factor);
    let element = b.load(x, at.clone());
    let scaled = b.binary(crate::ir::BinOp::Mul, element, factor);
    let value = b.binary(crate::ir::BinOp::Add, scaled, row);
    let each = |var, extent, body| Stmt::For { var, extent, kind: LoopKind::Independent, body };
    b.kernel.body = vec![each(i, m, vec![each(j, n, vec![Stmt::Store { param: y, at, value }])])];
    let text = kernel_c(&b.kernel, "scale");
    let body = text.split_once("(void)status;\n").unwrap().1;
    let want = "    const float *restrict p0 = bufs[0];
    const float *restrict p1 = bufs[1];
    float *restrict p2 = bufs[2];
    const int64_t v0 = sizes[0];
    const int64_t v1 = sizes[1];
    const int64_t last = end < v0 ? end : v0;
    if (begin < last && 0 < v1) {
        const float e2 = expf(p1[0]);
        for (int64_t v2 = begin; v2 < last; v2++) {
            const float e1 = p1[v2];
            for (int64_t v3 = 0; v3 < v1; v3++) {
                p2[v1 * v2 + v3] = ((p0[v1 * v2 + v3]) * e2) + e1;
            }
        }
    }
}
";
    assert_eq!(body, want);
}

/// Doubles an array, negates it where a flag says so, and adds the array `trips` times to it.
const NET: &str = r#"
program "net" {
  size s0 = "n" from 0 to 100
  buffer b0 = f32 [s0] input 0
  buffer b1 = bool [] input 1
  buffer b2 = i64 [] input 2
  buffer b3 = f32 [s0] temporary
  buffer b4 = f32 [s0] temporary
  buffer b5 = f32 [s0] temporary
  buffer b6 = i64 [] temporary
  buffer b7 = bool [] temporary
  buffer b8 = f32 [s0] temporary
  buffer b9 = f32 [s0] temporary
  buffer b10 = f32 [s0] temporary
  input "x" = b0
  input "negate" = b1
  input "trips" = b2
  output "y" = b10
  failure "never"
  kernel "double" {
    param p0 = read f32
    param p1 = write f32
    sizes 1
    var v0 = size 0
    var v1 = counter
    e0 = load p0 [v1]
    e1 = add e0 e0
    vector v1 < [v0] {
      p1 [v1] = e1
    }
  }
  kernel "negate" {
    param p0 = read f32
    param p1 = write f32
    sizes 1
    var v0 = size 0
    var v1 = counter
    e0 = load p0 [v1]
    e1 = neg e0
    vector v1 < [v0] {
      p1 [v1] = e1
    }
  }
  kernel "add" {
    param p0 = read f32
    param p1 = read f32
    param p2 = write f32
    sizes 1
    var v0 = size 0
    var v1 = counter
    e0 = load p0 [v1]
    e1 = load p1 [v1]
    e2 = add e0 e1
    vector v1 < [v0] {
      p2 [v1] = e2
    }
  }
  bind_shape b0
  launch k0 (b0 b3) [s0]
  if b1 {
    launch k1 (b3 b4) [s0]
    alias b5 b4
  } else {
    alias b5 b3
  }
  loop b2 - b6 b7 b7 {
    carried b5 b8 b9 b10
    launch k2 (b8 b0 b9) [s0]
  }
  free b9
}
"#;

const NET_MAIN: &str = r#"
#include "net.h"
#include <stdio.h>
#include <stdlib.h>

static void run(int64_t n, uint8_t negate, int64_t trips)
{
    float x[3] = { 1, 2.5f, -3 }, y[3] = { 0 };
    const void *inputs[] = { x, &negate, &trips };
    void *outputs[] = { y };
    int64_t shape[1] = { -1 };
    const int64_t *shapes[] = { &n, NULL, NULL };
    int64_t *const output_shapes[] = { shape };
    net_context *context;
    int32_t status = net_create(&context, shapes, NULL);
    if (status != 0) {
        printf("%s; ", net_error(status));
        return;
    }
    void *workspace = aligned_alloc(64, (size_t)net_workspace(context) + 64);
    status = net_run(context, inputs, outputs, output_shapes, workspace);
    printf("%d %d %g %g %g; ", (int)status, (int)shape[0], y[0], y[1], y[2]);
    net_destroy(context);
    free(workspace);
}

int main(void)
{
    run(3, 0, 0);
    run(3, 1, 0);
    run(2, 1, 1);
    run(3, 0, 4);
    run(0, 0, 4);
    run(101, 0, 4);
    return 0;
}
"#;

#[test]
fn a_program_with_branches_and_loops() {
    let program = crate::text::parse_program(NET).unwrap();
    let module = airconv_ir::module::Module::default();
    let options = COptions::default();
    let CSource { name, source, header } = program_c(&program, &module, &options).unwrap();
    assert_eq!(name, "net");
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("net.h"), header).unwrap();
    std::fs::write(path("net.c"), source).unwrap();
    // One translation unit, so that nothing of the two is in the way of the other.
    std::fs::write(path("main.c"), format!("#include \"net.c\"\n{NET_MAIN}")).unwrap();
    compile(&path("main.c"), &path("net"), &["-fsanitize=address,undefined"]);
    let output = Command::new(path("net")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "0 3 2 5 -6; 0 3 -2 -5 6; 0 2 -1 -2.5 0; 0 3 6 15 -18; 0 0 0 0 0; \
         input `x` has another size along axis 0; "
    );
}

#[test]
fn what_has_no_form_in_c_is_named() {
    let refused = |change: &dyn Fn(&str) -> String| {
        let program = crate::text::parse_program(&change(NET)).unwrap();
        let module = airconv_ir::module::Module::default();
        program_c(&program, &module, &COptions::default()).unwrap_err().to_string()
    };
    let host = refused(&|t| t.replace("  free b9", "  host 3 \"unique\" (b0) (b9)"));
    assert_eq!(host, "op `unique`");
    let fresh = refused(&|t| t.replace("carried b5", "fresh s0\n    carried b5"));
    assert_eq!(fresh, "size `n` changes with each round of a loop");
}
