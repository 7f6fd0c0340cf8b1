//! Each rule with a kernel or program that breaks it.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::op::ReduceKind;

use super::*;
use crate::ir::{
    Access, BinOp, Buffer, BufferId, BufferKind, Const, Elem, Expr, ExprId, Kernel, KernelBuilder,
    KernelId, Launch, LocalId, LoopKind, Program, Scalar, Step, Stmt, UnOp, VarDef,
};

fn errors(kernel: &Kernel) -> String {
    check_kernel(kernel).err().unwrap_or_default().join("; ")
}

fn copy() -> (KernelBuilder, SymbolId, ExprId) {
    let mut b = KernelBuilder::new("copy");
    let (x, y) = (b.param(Elem::F32, Access::Read), b.param(Elem::F32, Access::Write));
    let n = Dim::symbol(b.size());
    let i = b.counter();
    let value = b.load(x, Dim::symbol(i));
    let store = Stmt::Store { param: y, at: Dim::symbol(i), value };
    b.kernel.body =
        vec![Stmt::For { var: i, extent: n, kind: LoopKind::Independent, body: vec![store] }];
    (b, i, value)
}

#[test]
fn rules_of_kernels() {
    let (good, i, value) = copy();
    assert_eq!(errors(&good.kernel), "");
    let with = |change: &dyn Fn(&mut KernelBuilder)| {
        let mut b = good.clone();
        change(&mut b);
        errors(&b.kernel)
    };
    let at = || Dim::symbol(i);
    let outside = Stmt::Store { param: 1, at: Dim::Known(0), value };
    assert_eq!(
        with(&|b| b.kernel.body.push(outside.clone())),
        "body.1: counter v1 is used outside its loop"
    );
    let backward = Stmt::Store { param: 0, at: Dim::Known(0), value: ExprId(9) };
    assert_eq!(
        with(&|b| b.kernel.body.push(backward.clone())),
        "body.1: no expression e9; body.1: p0 is only read"
    );
    assert_eq!(
        with(&|b| {
            b.load(1, Dim::Known(0));
            b.load(2, Dim::Any);
        }),
        "e1: p1 is only written; e2: an index that is not known; e2: no parameter p2"
    );
    assert_eq!(
        with(&|b| {
            let one = b.constant(Const::from_i128(Scalar::I32, 1));
            b.binary(BinOp::Add, one, value);
            b.unary(UnOp::Exp, one);
            b.add(Expr::Bitcast(Scalar::F64, one));
            b.add(Expr::Select(one, value, value));
            b.add(Expr::Const(Const { ty: Scalar::Bool, bits: 2 }));
        }),
        "e2: operands of i32 and f32; e3: Exp of i32; e4: bitcast of i32 to f64; \
         e5: a condition of i32; e6: bits 0x2 of a constant of bool"
    );
    assert_eq!(
        with(&|b| {
            b.unary(UnOp::Neg, ExprId(5));
            b.kernel.vars.extend([VarDef::Size(3), VarDef::Value(value)]);
            b.add(Expr::Index(Dim::symbol(SymbolId(3))));
            b.add(Expr::Local(LocalId(0)));
        }),
        "v2: size 3 of 1; e1: operand e5 stands later; e2: v3 is of f32, not i64; e3: no local l0"
    );
    let sum = |axes, x| Expr::Reduce { kind: ReduceKind::Sum, axes, x };
    assert_eq!(
        with(&|b| {
            let all = b.add(sum(vec![(i, Dim::Known(2))], value));
            b.add(sum(vec![(i, Dim::Known(2))], all));
            let Stmt::For { body, .. } = &mut b.kernel.body[0] else { return };
            body.push(Stmt::Store { param: 1, at: at(), value: all });
        }),
        "e2: v1 runs already; body.0.1: counter v1 runs already"
    );
}

#[test]
fn rules_of_programs() {
    let buffer = |dtype, kind| Buffer { dtype: Some(dtype), shape: vec![Dim::Known(4)], kind };
    let launch = |buffers: [u32; 2]| {
        Step::Launch(Launch {
            kernel: KernelId(0),
            buffers: buffers.map(BufferId).to_vec(),
            sizes: vec![Dim::Known(4)],
        })
    };
    let good = Program {
        buffers: vec![
            buffer(DType::F32, BufferKind::Input(0)),
            buffer(DType::F32, BufferKind::Temporary),
            buffer(DType::F16, BufferKind::Temporary),
        ],
        inputs: vec![("x".into(), BufferId(0))],
        outputs: vec![("y".into(), BufferId(1))],
        kernels: vec![copy().0.kernel],
        steps: vec![launch([0, 1])],
        ..Program::default()
    };
    assert_eq!(check_program(&good), Ok(()));
    let with = |steps: Vec<Step>| {
        let program = Program { steps, ..good.clone() };
        check_program(&program).err().unwrap_or_default().join("; ")
    };
    assert_eq!(with(vec![]), "output \"y\": b1 holds nothing");
    assert_eq!(
        with(vec![launch([1, 0])]),
        "steps.0: b1 holds nothing; steps.0: b0 is not to be written; \
         output \"y\": b1 holds nothing"
    );
    assert_eq!(with(vec![launch([0, 1]), launch([0, 2])]), "steps.1: p1 of f32 is b2 of f16");
    assert_eq!(
        with(vec![launch([0, 1]), Step::Free(BufferId(1))]),
        "output \"y\": b1 holds nothing"
    );
    let mut condition = Step::Assert { condition: BufferId(0), message: String::new() };
    assert_eq!(with(vec![launch([0, 1]), condition.clone()]), "steps.1: b0 is no array of bool");
    condition = Step::If { condition: BufferId(7), then: vec![launch([0, 1])], otherwise: vec![] };
    assert_eq!(
        with(vec![condition]),
        "steps.0: no buffer b7; steps.0: no buffer b7; output \"y\": b1 holds nothing"
    );
}
