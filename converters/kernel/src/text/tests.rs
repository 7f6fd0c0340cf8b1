//! What is printed reads back the same.

use airconv_ir::dim::{Dim, Range};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, SymbolId, TensorId};

use super::*;
use crate::ir::{
    Binding, Buffer, BufferId, BufferKind, Const, Expr, Fit, HostOp, Kernel, KernelId, Launch,
    Loop, Program, Scalar, Size, Step,
};
use crate::random::{Taste, case};

#[test]
fn kernels_read_back() {
    for seed in 0..3000 {
        let taste = Taste { exact: seed % 2 == 0, ..Taste::default() };
        let kernel = case(seed, taste).kernel;
        let text = print(&kernel);
        assert_eq!(parse(&text), Ok(kernel), "{text}");
    }
}

#[test]
fn malformed_kernels_read_back() {
    let mut kernel = Kernel { name: "a \"b\"\n\\ \u{7}é".into(), sizes: 3, ..Kernel::default() };
    kernel.exprs.push(Expr::Const(Const { ty: Scalar::I8, bits: 0x1ff }));
    kernel.exprs.push(Expr::Const(Const { ty: Scalar::F32, bits: 0xffc0_0001 }));
    kernel.exprs.push(Expr::Const(Const { ty: Scalar::F64, bits: f64::MIN_POSITIVE.to_bits() }));
    kernel.exprs.push(Expr::Const(Const { ty: Scalar::Bool, bits: 2 }));
    kernel.exprs.push(Expr::Index(Dim::Any));
    kernel.exprs.push(Expr::Local(crate::ir::LocalId(4)));
    assert_eq!(parse(&print(&kernel)), Ok(kernel));
}

#[test]
fn the_example_of_the_documentation() {
    let doc = include_str!("mod.rs");
    let lines = doc.lines().skip_while(|l| *l != "//! ```text").skip(1);
    let text: Vec<&str> =
        lines.take_while(|l| *l != "//! ```").map(|l| l.trim_start_matches("//! ")).collect();
    let text = text.join("\n") + "\n";
    assert_eq!(print(&parse(&text).unwrap()), text);
}

#[test]
fn errors_name_the_line() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    assert_eq!(error("kernel \"a\" {\n  e1 = index [1]\n}"), "line 2: expected `e0`");
    assert_eq!(
        error("kernel \"a\" {\n\n  e0 = index [1] : f32\n}"),
        "line 3: e0 is of i64, not f32"
    );
    assert_eq!(error("kernel \"a\" {\n  e0 = frob e1\n}"), "line 2: `frob` is no operation");
    assert_eq!(error("kernel \"a\" {\n  if e0 {\n"), "line 2: the text ends early");
    assert_eq!(error("kernel \"a\" {\n}\n}"), "line 3: more than was expected");
    let deep = format!("kernel \"a\" {{\n{}", "if e0 {\n".repeat(100_000));
    assert!(error(&deep).ends_with("nested too deep"));
}

#[test]
fn programs_read_back() {
    let b = BufferId;
    let n = Dim::symbol(SymbolId(0));
    let size = |name: &str, min, max| Size { name: name.into(), range: Range { min, max } };
    let buffer = |dtype, shape: &[Dim], kind| Buffer { dtype, shape: shape.to_vec(), kind };
    let twice = &n * 2;
    let program = Program {
        name: "net \"1\"".into(),
        sizes: vec![size("batch", Some(1), None), size("a b", None, Some(64))],
        buffers: vec![
            buffer(Some(DType::F32), &[n.clone(), Dim::Known(3)], BufferKind::Input(0)),
            buffer(Some(DType::Bool), &[], BufferKind::Constant(TensorId(7))),
            buffer(
                Some(DType::I4),
                &[Dim::min_all([twice.clone(), Dim::Known(5)]), n.clone()],
                BufferKind::Temporary,
            ),
            buffer(None, &[], BufferKind::Host),
        ],
        inputs: vec![("x:0".into(), b(0))],
        outputs: vec![("y".into(), b(2))],
        kernels: vec![case(1, Taste::default()).kernel, case(2, Taste::default()).kernel],
        failures: vec!["index out of range".into(), String::new()],
        steps: vec![
            Step::Launch(Launch {
                kernel: KernelId(1),
                buffers: vec![b(0), b(2)],
                sizes: vec![twice.clone(), Dim::Known(1)],
            }),
            Step::Launch(Launch { kernel: KernelId(0), buffers: vec![], sizes: vec![] }),
            Step::Bind(Binding { buffer: b(2), dims: vec![n.clone(), Dim::Known(4)] }),
            Step::BindShape(b(0)),
            Step::Fit(Fit {
                op: "reshape".into(),
                from: n.clone(),
                to: twice.clone(),
                or_one: false,
            }),
            Step::Fit(Fit { op: "broadcast".into(), from: n.clone(), to: 4.into(), or_one: true }),
            Step::Host(HostOp {
                node: NodeId(5),
                name: "split_words".into(),
                operands: vec![Some(b(0)), None],
                results: vec![],
            }),
            Step::Assert { condition: b(1), message: "say \"yes\"".into() },
            Step::If {
                condition: b(1),
                then: vec![Step::Alias { to: b(2), from: b(0) }],
                otherwise: vec![],
            },
            Step::Loop(Box::new(Loop {
                trips: Some(b(0)),
                condition: None,
                iteration: b(1),
                running: b(2),
                carried: vec![[b(0), b(1), b(2), b(3)]],
                next: b(3),
                stacked: vec![(b(0), b(1))],
                body: vec![Step::Free(b(0))],
                fresh: vec![SymbolId(1)],
            })),
        ],
        notes: vec!["computed apart: used twice".into()],
    };
    let text = print_program(&program);
    assert_eq!(parse_program(&text), Ok(program), "{text}");
}
