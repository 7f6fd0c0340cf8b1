//! Index ops against what NumPy and ONNX's reference implementation give.

use airconv_ir::array::{Array, StrBytes};
use airconv_ir::builder::Builder;
use airconv_ir::dim::{Dim, Range as DimRange};
use airconv_ir::dtype::DType;
use airconv_ir::entity::OriginId;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::{Function, InputRole, Module};
use airconv_ir::op::*;
use airconv_ir::types::Type;

fn module() -> Module {
    let mut m = Module::default();
    m.functions.push(Function::new("main"));
    m
}

fn try_run(op: impl Into<Op>, operands: &[Array]) -> Result<Vec<Array>, EvalError> {
    let operands: Vec<_> = operands.iter().map(|a| Some(Datum::from(a.clone()))).collect();
    let out = Interpreter::new(module(), EvalLimits::default()).eval_op(&op.into(), &operands)?;
    Ok(out.into_iter().flatten().map(|d| d.as_array().unwrap().clone()).collect())
}

fn run(op: impl Into<Op>, operands: &[Array]) -> Vec<Array> {
    try_run(op, operands).unwrap()
}

fn first(op: impl Into<Op>, operands: &[Array]) -> Array {
    run(op, operands).remove(0)
}

fn f32s(shape: &[usize], v: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

fn i64s(shape: &[usize], v: &[i64]) -> Array {
    Array::from_vec(shape.to_vec(), v.to_vec()).unwrap()
}

fn iota(shape: &[usize]) -> Array {
    let n = shape.iter().product::<usize>() as i64;
    i64s(shape, &(0..n).collect::<Vec<_>>())
}

fn is(a: &Array, shape: &[usize], v: &[i64]) {
    assert_eq!((a.shape.as_slice(), a.to_i64s().unwrap()), (shape, v.to_vec()));
}

#[test]
fn gather_nd_with_batch_axes_and_short_tuples() {
    let x = iota(&[2, 2, 2]);
    let picked = first(GatherNd { batch_dims: 1 }, &[x.clone(), i64s(&[2, 1], &[1, 0])]);
    is(&picked, &[2, 2], &[2, 3, 4, 5]);
    let picked = first(GatherNd { batch_dims: 0 }, &[x.clone(), i64s(&[2, 2], &[-1, 0, 0, 1])]);
    is(&picked, &[2, 2], &[4, 5, 2, 3]);
    let beyond = try_run(GatherNd { batch_dims: 0 }, &[x, i64s(&[1, 1], &[2])]).unwrap_err();
    assert!(matches!(beyond, EvalError::Failed(_)), "{beyond}");
}

#[test]
fn gather_puts_the_axes_of_the_indices_where_the_axis_was() {
    let x = iota(&[2, 3, 2]);
    // numpy.take(x, [[0, 2]], axis=1)
    let y = first(Gather { axis: 1 }, &[x.clone(), i64s(&[1, 2], &[0, -1])]);
    is(&y, &[2, 1, 2, 2], &[0, 1, 4, 5, 6, 7, 10, 11]);
    let y = first(Gather { axis: 2 }, &[x, i64s(&[], &[1])]);
    is(&y, &[2, 3], &[1, 3, 5, 7, 9, 11]);
}

#[test]
fn gather_and_scatter_elements() {
    let x = iota(&[3, 3]);
    let at = i64s(&[2, 3], &[1, 2, 0, 2, 0, -3]);
    is(&first(GatherElements { axis: 0 }, &[x.clone(), at.clone()]), &[2, 3], &[3, 7, 2, 6, 1, 2]);
    let updates = i64s(&[2, 3], &[10, 20, 30, 40, 50, 60]);
    let replace = ScatterElements { axis: 0, reduction: ScatterReduction::None };
    let y = first(replace, &[x.clone(), at.clone(), updates.clone()]);
    is(&y, &[3, 3], &[0, 50, 60, 10, 4, 5, 40, 20, 8]);
    let add = ScatterElements { axis: 0, reduction: ScatterReduction::Add };
    is(&first(add, &[x, at, updates]), &[3, 3], &[0, 51, 92, 13, 4, 5, 46, 27, 8]);
}

#[test]
fn scatter_nd_combines_in_the_dtype() {
    let x = Array::from_i64s(DType::I4, vec![2], &[7, -3]).unwrap();
    let updates = Array::from_i64s(DType::I4, vec![3], &[1, 2, 5]).unwrap();
    let at = i64s(&[3, 1], &[0, 1, 1]);
    let how = |reduction| ScatterNd { reduction };
    let args = [x, at, updates];
    is(&first(how(ScatterReduction::Add), &args), &[2], &[-8, 4]);
    is(&first(how(ScatterReduction::Max), &args), &[2], &[7, 5]);
    is(&first(how(ScatterReduction::None), &args), &[2], &[1, 5]);
    let nan = first(
        how(ScatterReduction::Min),
        &[f32s(&[2], &[f32::NAN, 1.0]), i64s(&[2, 1], &[0, 1]), f32s(&[2], &[0.0, f32::NAN])],
    );
    assert!(nan.to_f64s().unwrap().iter().all(|v| v.is_nan()));
}

#[test]
fn top_k_prefers_the_lower_position_and_counts_nan_as_greatest() {
    let x = f32s(&[5], &[1.0, f32::NAN, 3.0, 3.0, -0.0]);
    let top = |largest| TopK { k: Dim::Known(3), axis: 0, largest, sorted: true };
    is(&run(top(true), std::slice::from_ref(&x))[1], &[3], &[1, 2, 3]);
    is(&run(top(false), &[x])[1], &[3], &[4, 0, 2]);
    let m = iota(&[2, 3]);
    let out = run(TopK { k: Dim::Known(1), axis: 0, largest: true, sorted: true }, &[m]);
    is(&out[0], &[1, 3], &[3, 4, 5]);
    is(&out[1], &[1, 3], &[1, 1, 1]);
}

#[test]
fn nonzero_lists_columns_of_positions() {
    let x = f32s(&[2, 3], &[0.0, 2.0, -0.0, f32::NAN, 0.0, 1.0]);
    is(&first(Nonzero {}, &[x]), &[2, 3], &[0, 1, 1, 1, 0, 2]);
    is(&first(Nonzero {}, &[i64s(&[], &[4])]), &[0, 1], &[]);
}

#[test]
fn unique_in_both_orders() {
    let x = f32s(&[2, 3], &[2.0, 1.0, 1.0, 3.0, f32::NAN, f32::NAN]);
    let out = run(Unique { axis: None, sorted: true }, std::slice::from_ref(&x));
    assert_eq!(out[0].to_f64s().unwrap()[..3], [1.0, 2.0, 3.0]);
    is(&out[1], &[4], &[1, 0, 3, 4]);
    is(&out[2], &[6], &[1, 0, 0, 2, 3, 3]);
    is(&out[3], &[4], &[2, 1, 1, 2]);
    let out = run(Unique { axis: None, sorted: false }, &[x]);
    is(&out[1], &[4], &[0, 1, 3, 4]);
    is(&out[2], &[6], &[0, 1, 1, 2, 3, 3]);
    is(&out[3], &[4], &[1, 2, 1, 2]);
}

#[test]
fn unique_slices_along_an_axis() {
    let x = i64s(&[2, 4, 2], &[1, 1, 0, 1, 2, 1, 0, 1, 1, 1, 0, 1, 2, 1, 0, 1]);
    let out = run(Unique { axis: Some(1), sorted: true }, &[x]);
    is(&out[0], &[2, 3, 2], &[0, 1, 1, 1, 2, 1, 0, 1, 1, 1, 2, 1]);
    is(&out[1], &[3], &[1, 0, 2]);
    is(&out[2], &[4], &[1, 0, 2, 0]);
    is(&out[3], &[3], &[2, 1, 1]);
    let words = Array::from_strs(vec![3], &["b", "a", "b"]).unwrap();
    let out = run(Unique { axis: Some(0), sorted: true }, &[words]);
    assert_eq!(out[0].as_slice::<StrBytes>().unwrap()[0][..], *b"a");
}

#[test]
fn compress_with_a_short_condition() {
    let x = iota(&[3, 2]);
    let condition = Array::from_vec(vec![2], vec![false, true]).unwrap();
    is(&first(Compress { axis: Some(0) }, &[x.clone(), condition.clone()]), &[1, 2], &[2, 3]);
    is(&first(Compress { axis: None }, &[x, condition]), &[1], &[1]);
}

#[test]
fn one_hot_counts_negative_indices_from_the_end() {
    let values = i64s(&[2], &[5, 9]);
    let op = OneHot { depth: Dim::Known(3), axis: 0 };
    let y = first(op, &[i64s(&[3], &[-1, 1, 7]), values]);
    is(&y, &[3, 3], &[5, 5, 5, 5, 9, 5, 9, 5, 5]);
}

#[test]
fn reverse_sequence_on_either_axis() {
    let x = iota(&[4, 4]);
    let lengths = i64s(&[4], &[4, 3, 2, 1]);
    let y = first(ReverseSequence { batch_axis: 1, time_axis: 0 }, &[x.clone(), lengths]);
    is(&y, &[4, 4], &[12, 9, 6, 3, 8, 5, 2, 7, 4, 1, 10, 11, 0, 13, 14, 15]);
    let lengths = i64s(&[4], &[1, 2, 3, 4]);
    let y = first(ReverseSequence { batch_axis: 0, time_axis: 1 }, &[x, lengths]);
    is(&y, &[4, 4], &[0, 1, 2, 3, 5, 4, 6, 7, 10, 9, 8, 11, 15, 14, 13, 12]);
}

#[test]
fn tensor_scatter_wraps_when_circular() {
    let cache = i64s(&[2, 1, 4, 1], &[0; 8]);
    let update = i64s(&[2, 1, 2, 1], &[1, 2, 3, 4]);
    let op = |mode| TensorScatter { axis: 2, mode };
    let args = [cache, update, i64s(&[2], &[3, 1])];
    let y = first(op(CacheMode::Circular), &args);
    is(&y, &[2, 1, 4, 1], &[2, 0, 0, 1, 0, 3, 4, 0]);
    assert!(try_run(op(CacheMode::Linear), &args).is_err());
    is(&first(op(CacheMode::Linear), &args[..2]), &[2, 1, 4, 1], &[1, 2, 0, 0, 3, 4, 0, 0]);
}

#[test]
fn types_with_symbolic_sizes() {
    let mut m = module();
    let entry = m.entry;
    let f = &mut m.functions[entry];
    let size = |f: &mut Function, name: &str| {
        Dim::from(f.add_symbol(name, DimRange { min: Some(0), max: None }, None))
    };
    let (n, k) = (size(f, "n"), size(f, "k"));
    let role = || InputRole::User { default: None, kind: Default::default() };
    let x = f.add_input("x", Type::tensor(DType::F32, [n.clone(), Dim::Known(4)]), role());
    let at = f.add_input("i", Type::tensor(DType::I64, [k.clone(), k.clone()]), role());
    let body = f.body;
    let mut b = Builder::new(&mut m, entry, body, OriginId(0));
    let shape = |b: &Builder<'_>, v| b.tensor_ty(v).unwrap().shape.to_vec();
    let y = b.emit(Gather { axis: 1 }, &[x, at]).unwrap();
    assert_eq!(shape(&b, y), [n.clone(), k.clone(), k.clone()]);
    let tops = b
        .emit_all(TopK { k: k.clone(), axis: 1, largest: true, sorted: true }, &[Some(x)])
        .unwrap();
    assert_eq!(shape(&b, tops[1]), [n.clone(), k]);
    let found = b.emit(Nonzero {}, &[x]).unwrap();
    let found = shape(&b, found);
    assert_eq!(found[0], Dim::Known(2));
    assert!(found[1].as_symbol().is_some() && found[1] != n);
    let all = b.emit_all(Unique { axis: None, sorted: true }, &[Some(x)]).unwrap();
    assert_eq!(shape(&b, all[2]), [&n * 4]);
    // A tuple length that is not known leaves the rank open.
    assert!(b.emit(GatherNd { batch_dims: 0 }, &[x, at]).is_err());
    // Five of an axis of four.
    let five = TopK { k: Dim::Known(5), axis: 1, largest: true, sorted: true };
    assert!(b.emit(five, &[x]).is_err());
}
