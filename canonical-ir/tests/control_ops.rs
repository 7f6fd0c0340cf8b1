//! Control flow, sequences and calls, run and typed.

use std::collections::BTreeMap;

use airconv_ir::array::Array;
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range as DimRange};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{OriginId, ValueId};
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::{Function, InputRole, Module, OutputRole};
use airconv_ir::op::*;
use airconv_ir::types::{TensorType, Type};

fn module() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn role() -> InputRole {
    InputRole::User { default: None, kind: Default::default() }
}

fn builder(m: &mut Module) -> Builder<'_> {
    let entry = m.entry;
    let body = m.functions[entry].body;
    Builder::new(m, entry, body, OriginId(0))
}

fn scalar(dtype: DType) -> Type {
    Type::Tensor(TensorType::scalar(dtype))
}

fn outputs(b: &mut Builder<'_>, values: &[ValueId]) {
    for (i, &v) in values.iter().enumerate() {
        b.f_mut().add_output(&format!("y{i}"), v, OutputRole::User(Default::default()));
    }
}

fn try_run(m: &Module, inputs: &[(&str, Datum)]) -> Result<Vec<Datum>, EvalError> {
    let inputs: BTreeMap<String, Datum> =
        inputs.iter().map(|(n, d)| ((*n).to_owned(), d.clone())).collect();
    let limits = EvalLimits { steps: 10_000, ..EvalLimits::default() };
    let out = Interpreter::new(m.clone(), limits).run(&inputs)?;
    Ok(out.into_iter().map(|(_, d)| d).collect())
}

fn run(m: &Module, inputs: &[(&str, Datum)]) -> Vec<Datum> {
    try_run(m, inputs).unwrap()
}

fn i64s(shape: &[usize], v: &[i64]) -> Datum {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap().into()
}

fn f32s(shape: &[usize], v: &[f32]) -> Datum {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap().into()
}

fn bools(v: bool) -> Datum {
    Array::from_vec(vec![], vec![v]).unwrap().into()
}

/// A loop that adds the iteration number to a scalar while the sum is below a bound, and
/// stacks the sums.
fn summing(trip: bool) -> Module {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let trips = trip.then(|| f.add_input("trips", scalar(DType::I64), role()));
    let start = f.add_input("start", scalar(DType::I64), role());
    let bound = f.add_input("bound", scalar(DType::I64), role());
    let mut b = builder(&mut m);
    let i64 = || scalar(DType::I64);
    let (body, p) = b.new_region(&[i64(), scalar(DType::Bool), i64(), i64()]);
    let results = b.in_region(body, |b| {
        let sum = b.add(p[2], p[0]).unwrap();
        let go = b.less(sum, p[3]).unwrap();
        [go, sum, sum]
    });
    b.set_results(body, &results);
    let all =
        b.emit_all(Loop { body, carried: 1 }, &[trips, None, Some(start), Some(bound)]).unwrap();
    assert_eq!(*b.ty(all[0]), scalar(DType::I64));
    assert_eq!(b.tensor_ty(all[1]).unwrap().rank(), 1);
    outputs(&mut b, &all);
    m
}

#[test]
fn a_loop_stops_by_its_condition_or_its_trip_count() {
    let m = summing(false);
    let out = run(&m, &[("start", i64s(&[], &[0])), ("bound", i64s(&[], &[7]))]);
    assert_eq!(out, [i64s(&[], &[10]), i64s(&[5], &[0, 1, 3, 6, 10])]);
    let m = summing(true);
    let given = |n: i64| {
        [("trips", i64s(&[], &[n])), ("start", i64s(&[], &[0])), ("bound", i64s(&[], &[7]))]
    };
    assert_eq!(run(&m, &given(3)), [i64s(&[], &[3]), i64s(&[3], &[0, 1, 3])]);
    assert_eq!(run(&m, &given(0)), [i64s(&[], &[0]), i64s(&[0], &[])]);
    assert_eq!(run(&m, &given(-1)), [i64s(&[], &[0]), i64s(&[0], &[])]);
}

#[test]
fn a_loop_without_end_reaches_the_limit() {
    let mut m = module();
    let mut b = builder(&mut m);
    let (body, p) = b.new_region(&[scalar(DType::I64), scalar(DType::Bool)]);
    b.set_results(body, &[p[1]]);
    b.node(Loop { body, carried: 0 }, &[]).unwrap();
    assert!(matches!(try_run(&m, &[]).unwrap_err().root(), EvalError::Limit(_)));
}

#[test]
fn a_loop_keeps_the_sizes_that_its_body_keeps() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let range = DimRange { min: Some(0), max: None };
    let n = Dim::from(f.add_symbol("n", range, None));
    let s = Dim::from(f.add_symbol("s", range, None));
    let row = |d: &Dim| Type::tensor(DType::F32, [d.clone(), Dim::Known(2)]);
    let kept = f.add_input("kept", row(&n), role());
    let grown = f.add_input("grown", row(&n), role());
    let trips = f.add_input("trips", scalar(DType::I64), role());
    let mut b = builder(&mut m);
    let (body, p) = b.new_region(&[scalar(DType::I64), scalar(DType::Bool), row(&n), row(&s)]);
    let results = b.in_region(body, |b| {
        let longer = b.concat(&[p[3], p[2]], 0).unwrap();
        [p[1], p[2], longer, p[2]]
    });
    b.set_results(body, &results);
    let all = b.emit_all(Loop { body, carried: 2 }, &[Some(trips), None, Some(kept), Some(grown)]);
    let all = all.unwrap();
    assert_eq!(*b.ty(all[0]), row(&n));
    let grown = b.tensor_ty(all[1]).unwrap().shape;
    assert!(grown[0].as_symbol().is_some() && grown[0] != s && grown[0] != n);
    assert_eq!(b.tensor_ty(all[2]).unwrap().shape[1..], [n, Dim::Known(2)]);
    outputs(&mut b, &all[1..2]);
    let inputs = [
        ("kept", f32s(&[1, 2], &[1., 2.])),
        ("grown", f32s(&[1, 2], &[3., 4.])),
        ("trips", i64s(&[], &[2])),
    ];
    assert_eq!(run(&m, &inputs), [f32s(&[3, 2], &[3., 4., 1., 2., 1., 2.])]);
}

#[test]
fn the_branches_of_an_if_agree_on_a_type() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let c = f.add_input("c", scalar(DType::Bool), role());
    let x = f.add_input("x", Type::tensor(DType::I64, [Dim::Known(3)]), role());
    let mut b = builder(&mut m);
    let of_x = [Type::tensor(DType::I64, [Dim::Known(3)])];
    let (then_branch, t) = b.new_region(&of_x);
    let (else_branch, e) = b.new_region(&of_x);
    let two =
        b.in_region(then_branch, |b| b.slice_axis(t[0], 0, Dim::Known(0), Dim::Known(2)).unwrap());
    let found = b.in_region(else_branch, |b| b.emit(Nonzero {}, &[e[0]]).unwrap());
    let column = b.in_region(else_branch, |b| b.squeeze(found, &[0]).unwrap());
    b.set_results(then_branch, &[two, two]);
    b.set_results(else_branch, &[column, found]);
    let all = b.emit_all(If { then_branch, else_branch }, &[Some(c), Some(x)]).unwrap();
    // Sizes 2 and one that only the branch knows: a new one. Ranks 1 and 2: no rank.
    let inner = b.tensor_ty(column).unwrap().shape;
    let shape = b.tensor_ty(all[0]).unwrap().shape;
    assert!(shape[0].as_symbol().is_some() && shape != inner);
    assert_eq!(*b.ty(all[1]), Type::Unranked(DType::I64));
    outputs(&mut b, &all[..1]);
    let x = i64s(&[3], &[0, 5, 6]);
    assert_eq!(run(&m, &[("c", bools(true)), ("x", x.clone())]), [i64s(&[2], &[0, 5])]);
    assert_eq!(run(&m, &[("c", bools(false)), ("x", x)]), [i64s(&[2], &[1, 2])]);
}

#[test]
fn branches_of_different_dtypes_are_refused() {
    let mut m = module();
    let entry = m.entry;
    let c = m.functions[entry].add_input("c", scalar(DType::Bool), role());
    let mut b = builder(&mut m);
    let (then_branch, _) = b.new_region(&[]);
    let (else_branch, _) = b.new_region(&[]);
    let one = b.in_region(then_branch, |b| b.scalar(DType::F32, 1.0).unwrap());
    let two = b.in_region(else_branch, |b| b.scalar(DType::F64, 2.0).unwrap());
    b.set_results(then_branch, &[one]);
    b.set_results(else_branch, &[two]);
    let refused = b.node(If { then_branch, else_branch }, &[Some(c)]).unwrap_err();
    assert!(refused.to_string().contains("dtype"), "{refused}");
}

#[test]
fn scan_runs_in_both_directions() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let range = DimRange { min: Some(0), max: None };
    let n = Dim::from(f.add_symbol("n", range, None));
    let start = f.add_input("start", Type::tensor(DType::I64, [Dim::Known(2)]), role());
    let x = f.add_input("x", Type::tensor(DType::I64, [Dim::Known(2), n.clone()]), role());
    let mut b = builder(&mut m);
    let row = || Type::tensor(DType::I64, [Dim::Known(2)]);
    let (body, p) = b.new_region(&[row(), row(), row()]);
    let sum = b.in_region(body, |b| {
        let sum = b.add(p[0], p[1]).unwrap();
        b.sub(sum, p[2]).unwrap()
    });
    b.set_results(body, &[sum, sum, p[0]]);
    let op = Scan {
        body,
        states: 1,
        scanned: 1,
        input_axes: vec![1],
        input_reverse: vec![1],
        output_axes: vec![1, 0],
        output_reverse: vec![1, 0],
    };
    let all = b.emit_all(op, &[Some(start), Some(x), Some(start)]).unwrap();
    assert_eq!(*b.ty(all[0]), row());
    assert_eq!(b.tensor_ty(all[1]).unwrap().shape[..], [Dim::Known(2), n.clone()]);
    assert_eq!(b.tensor_ty(all[2]).unwrap().shape[..], [n, Dim::Known(2)]);
    outputs(&mut b, &all);
    let inputs = [("start", i64s(&[2], &[0, 1])), ("x", i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]))];
    let out = run(&m, &inputs);
    // Slices from the end: [3, 6], [2, 5], [1, 4], less the captured [0, 1] each.
    assert_eq!(out[0], i64s(&[2], &[6, 13]));
    assert_eq!(out[1], i64s(&[2, 3], &[6, 5, 3, 13, 10, 6]));
    assert_eq!(out[2], i64s(&[3, 2], &[0, 1, 3, 6, 5, 10]));
}

#[test]
fn sequence_map_takes_elements_of_any_length() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let range = DimRange { min: Some(0), max: None };
    let k = Dim::from(f.add_symbol("k", range, None));
    let element = Type::tensor(DType::F32, [Dim::Any]);
    let s = f.add_input("s", Type::Sequence(Box::new(element.clone())), role());
    let x = f.add_input("x", scalar(DType::F32), role());
    let mut b = builder(&mut m);
    let (body, p) = b.new_region(&[Type::tensor(DType::F32, [k.clone()]), scalar(DType::F32)]);
    let y = b.in_region(body, |b| {
        let y = b.add(p[0], p[1]).unwrap();
        let n = b.dim_scalar(&k).unwrap();
        let n = b.cast(n, DType::F32).unwrap();
        b.mul(y, n).unwrap()
    });
    b.set_results(body, &[y]);
    let all = b.emit_all(SequenceMap { body, inputs: 2 }, &[Some(s), Some(x)]).unwrap();
    assert_eq!(*b.ty(all[0]), Type::Sequence(Box::new(element)));
    let length = b.emit(SequenceLength {}, &all).unwrap();
    outputs(&mut b, &[all[0], length]);
    let x = f32s(&[], &[1.0]);
    let items = vec![f32s(&[2], &[1., 2.]), f32s(&[1], &[3.])];
    let out = run(&m, &[("s", Datum::Sequence(items)), ("x", x.clone())]);
    assert_eq!(out[0], Datum::Sequence(vec![f32s(&[2], &[4., 6.]), f32s(&[1], &[4.])]));
    let out = run(&m, &[("s", Datum::Sequence(vec![])), ("x", x)]);
    assert_eq!(out, [Datum::Sequence(vec![]), i64s(&[], &[0])]);
}

#[test]
fn a_call_replaces_the_symbols_of_the_function() {
    let mut m = module();
    let entry = m.entry;
    let mut double = Function::new("double");
    let range = DimRange { min: Some(0), max: None };
    let k = Dim::from(double.add_symbol("k", range, None));
    let y = double.add_input("x", Type::tensor(DType::F32, [k]), role());
    let double = m.functions.push(double);
    let body = m.functions[double].body;
    let mut b = Builder::new(&mut m, double, body, OriginId(0));
    let y = b.concat(&[y, y], 0).unwrap();
    outputs(&mut b, &[y]);
    let x = m.functions[entry].add_input("x", Type::tensor(DType::F32, [Dim::Known(3)]), role());
    let mut b = builder(&mut m);
    let y = b.emit(Call { function: double, source: None }, &[x]).unwrap();
    assert_eq!(*b.ty(y), Type::tensor(DType::F32, [Dim::Known(6)]));
    outputs(&mut b, &[y]);
    let out = run(&m, &[("x", f32s(&[3], &[1., 2., 3.]))]);
    assert_eq!(out, [f32s(&[6], &[1., 2., 3., 1., 2., 3.])]);
    // A function that calls itself reaches the limit on nesting.
    let mut m = module();
    let mut b = builder(&mut m);
    let entry = b.func;
    b.node(Call { function: entry, source: None }, &[]).unwrap();
    assert!(matches!(try_run(&m, &[]).unwrap_err().root(), EvalError::Limit(_)));
}

#[test]
fn assert_fails_with_its_message() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let c = f.add_input("c", scalar(DType::Bool), role());
    let x = f.add_input("x", scalar(DType::I64), role());
    let mut b = builder(&mut m);
    let y = b.emit(Assert { message: "too short".to_owned() }, &[c, x]).unwrap();
    outputs(&mut b, &[y]);
    let x = i64s(&[], &[4]);
    assert_eq!(run(&m, &[("c", bools(true)), ("x", x.clone())]), std::slice::from_ref(&x));
    let failed = try_run(&m, &[("c", bools(false)), ("x", x)]).unwrap_err();
    assert_eq!(*failed.root(), EvalError::Failed("too short".to_owned()));
}

mod sequences {
    use super::*;

    fn eval(op: impl Into<Op>, operands: &[Option<Datum>]) -> Result<Datum, EvalError> {
        let out =
            Interpreter::new(module(), EvalLimits::default()).eval_op(&op.into(), operands)?;
        Ok(out.into_iter().next().flatten().unwrap())
    }

    fn three() -> Option<Datum> {
        Some(Datum::Sequence((1..4).map(|n| i64s(&[1], &[n])).collect()))
    }

    fn at(n: i64) -> Option<Datum> {
        Some(i64s(&[], &[n]))
    }

    fn items(v: &[i64]) -> Datum {
        Datum::Sequence(v.iter().map(|&n| i64s(&[1], &[n])).collect())
    }

    #[test]
    fn positions_count_from_either_end() {
        let x = Some(i64s(&[1], &[9]));
        let insert = |n| eval(SequenceInsert {}, &[three(), x.clone(), n]);
        assert_eq!(insert(None).unwrap(), items(&[1, 2, 3, 9]));
        assert_eq!(insert(at(3)).unwrap(), items(&[1, 2, 3, 9]));
        assert_eq!(insert(at(-1)).unwrap(), items(&[1, 2, 9, 3]));
        assert!(insert(at(4)).is_err() && insert(at(-4)).is_err());
        assert_eq!(eval(SequenceAt {}, &[three(), at(-3)]).unwrap(), i64s(&[1], &[1]));
        assert!(eval(SequenceAt {}, &[three(), at(3)]).is_err());
        assert_eq!(eval(SequenceErase {}, &[three(), None]).unwrap(), items(&[1, 2]));
        assert_eq!(eval(SequenceErase {}, &[three(), at(0)]).unwrap(), items(&[2, 3]));
    }

    #[test]
    fn split_and_concat() {
        let x = Some(i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]));
        let split = |sizes, keepdims| {
            eval(SplitToSequence { axis: 1, keepdims }, &[x.clone(), sizes]).unwrap()
        };
        assert_eq!(
            split(at(2), true),
            Datum::Sequence(vec![i64s(&[2, 2], &[1, 2, 4, 5]), i64s(&[2, 1], &[3, 6])])
        );
        let parts = split(None, false);
        assert_eq!(
            parts,
            Datum::Sequence(vec![i64s(&[2], &[1, 4]), i64s(&[2], &[2, 5]), i64s(&[2], &[3, 6])])
        );
        let join = |axis, new_axis| {
            eval(ConcatFromSequence { axis, new_axis }, &[Some(parts.clone())]).unwrap()
        };
        assert_eq!(join(-1, true), i64s(&[2, 3], &[1, 2, 3, 4, 5, 6]));
        assert_eq!(join(0, false), i64s(&[6], &[1, 4, 2, 5, 3, 6]));
        let uneven = SplitToSequence { axis: 1, keepdims: true };
        assert!(eval(uneven, &[x.clone(), Some(i64s(&[2], &[1, 1]))]).is_err());
    }

    #[test]
    fn optionals_hold_or_do_not() {
        let some = eval(Optional { ty: None }, &[at(1)]).unwrap();
        let none = eval(Optional { ty: Some(scalar(DType::I64)) }, &[]).unwrap();
        let has = |x| eval(OptionalHasElement {}, &[x]).unwrap();
        assert_eq!(has(Some(some.clone())), bools(true));
        assert_eq!(has(Some(none.clone())), bools(false));
        assert_eq!(has(at(1)), bools(true));
        assert_eq!(has(None), bools(false));
        assert_eq!(eval(OptionalGetElement {}, &[Some(some)]).unwrap(), i64s(&[], &[1]));
        assert!(eval(OptionalGetElement {}, &[Some(none)]).is_err());
        assert!(eval(Optional { ty: None }, &[]).is_err());
    }
}
