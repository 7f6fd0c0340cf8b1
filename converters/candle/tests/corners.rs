//! Corners in which candle's own functions differ from what a program means: the executor gives
//! what the interpreter gives.

#[allow(dead_code)]
mod common;
#[path = "common/exec.rs"]
mod exec;

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::Module;
use airconv_ir::op::*;
use exec::{Named, executed, interpreted};

/// A program of inputs of these types.
fn small(
    inputs: &[(&str, DType, &[i64])],
    body: impl FnOnce(&mut common::Draft, &[ValueId]) -> Vec<ValueId>,
) -> Module {
    let mut draft = common::Draft::new();
    let values: Vec<ValueId> = inputs
        .iter()
        .map(|(name, dtype, dims)| {
            let dims: Vec<Dim> = dims.iter().map(|&d| Dim::Known(d)).collect();
            draft.input(name, *dtype, &dims)
        })
        .collect();
    for (i, value) in body(&mut draft, &values).into_iter().enumerate() {
        draft.output(&format!("y{i}"), value);
    }
    draft.done()
}

/// The executor gives what the interpreter gives, to the bit.
fn agree(module: &Module, inputs: &[(&str, Array)]) {
    let inputs: Named =
        inputs.iter().map(|(name, array)| ((*name).to_owned(), array.clone().into())).collect();
    let (expected, actual) = (interpreted(module, &inputs), executed(module, &inputs));
    assert!(!actual.is_empty());
    for ((name, want), (_, got)) in actual.iter().flat_map(|a| expected.iter().zip(a)) {
        let (want, got) = (want.as_array().unwrap(), got.as_array().unwrap());
        assert_eq!((got.dtype, &got.shape), (want.dtype, &want.shape), "{name}");
        match (want.to_i64s(), got.to_i64s()) {
            (Some(want), Some(got)) => assert_eq!(got, want, "{name}"),
            _ => {
                let bits = |a: &Array| -> Vec<Option<u64>> {
                    let numbers = a.to_f64s().unwrap().into_iter();
                    // All that is no number is the same.
                    numbers.map(|v| (!v.is_nan()).then(|| v.to_bits())).collect()
                };
                assert_eq!(bits(got), bits(want), "{name}: {got:?} for {want:?}");
            }
        }
    }
}

fn ints(dtype: DType, shape: &[usize], values: &[i64]) -> Array {
    Array::from_i64s(dtype, shape.to_vec(), values).unwrap()
}

fn floats(shape: &[usize], values: &[f32]) -> Array {
    Array::from_vec(shape.to_vec(), values.to_vec()).unwrap()
}

#[test]
fn elements_are_gathered_and_scattered_with_fewer_indices_than_elements() {
    let x: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let at: Vec<i64> = (0..16).map(|i| i * 3 % 4).collect();
    let types: [(&str, DType, &[i64]); 3] = [
        ("x", DType::F32, &[2, 3, 4]),
        ("at", DType::I64, &[2, 2, 4]),
        ("new", DType::F32, &[2, 2, 4]),
    ];
    let module = small(&types, |d, v| {
        let put = |reduction| ScatterElements { axis: 2, reduction };
        vec![d.emit(GatherElements { axis: 2 }, &v[..2]), d.emit(put(ScatterReduction::Add), v)]
    });
    let new: Vec<f32> = (0..16).map(|i| -i as f32).collect();
    let inputs = [
        ("x", floats(&[2, 3, 4], &x)),
        ("at", ints(DType::I64, &[2, 2, 4], &at)),
        ("new", floats(&[2, 2, 4], &new)),
    ];
    agree(&module, &inputs);
}

#[test]
fn the_last_index_of_a_byte_is_an_index() {
    let types: [(&str, DType, &[i64]); 2] = [("x", DType::F32, &[256]), ("at", DType::U8, &[2])];
    let module = small(&types, |d, v| vec![d.emit(Gather { axis: 0 }, v)]);
    let x: Vec<f32> = (0..256).map(|i| i as f32).collect();
    agree(&module, &[("x", floats(&[256], &x)), ("at", ints(DType::U8, &[2], &[255, 1]))]);
}

#[test]
fn slices_are_ordered_by_their_elements_in_order() {
    let types: [(&str, DType, &[i64]); 1] = [("x", DType::I64, &[2, 2, 3])];
    let module = small(&types, |d, v| {
        let mut b = d.builder();
        b.emit_all(Unique { axis: Some(2), sorted: true }, &[Some(v[0])]).unwrap()
    });
    // The slices along the last axis are [0, 5, 4, 9], [0, 4, 5, 9] and the first one again.
    let x = [0, 0, 0, 5, 4, 5, 4, 5, 4, 9, 9, 9];
    agree(&module, &[("x", ints(DType::I64, &[2, 2, 3], &x))]);
}

#[test]
fn great_integers_are_told_apart() {
    let types: [(&str, DType, &[i64]); 1] = [("x", DType::I64, &[4])];
    let module = small(&types, |d, v| {
        let mut b = d.builder();
        let top = TopK { k: Dim::Known(2), axis: 0, largest: true, sorted: true };
        let mut out = b.emit_all(top, &[Some(v[0])]).unwrap();
        out.extend(b.emit_all(Unique { axis: None, sorted: true }, &[Some(v[0])]).unwrap());
        out
    });
    let big = 1i64 << 53;
    agree(&module, &[("x", ints(DType::I64, &[4], &[big, big + 1, -big - 1, -big]))]);
}

#[test]
fn floats_become_narrow_integers_by_their_low_bits() {
    let types: [(&str, DType, &[i64]); 1] = [("x", DType::F32, &[8])];
    let module = small(&types, |d, v| {
        let mut b = d.builder();
        let [low, high] = [0.0, 300.0].map(|n| b.scalar(DType::F32, n).unwrap());
        let clipped = b.emit(Clip {}, &[v[0], low, high]).unwrap();
        let [u8s, i16s] = [DType::U8, DType::I16].map(|to| b.cast(v[0], to).unwrap());
        vec![b.cast(clipped, DType::U8).unwrap(), u8s, i16s]
    });
    let x = [300.0, -1.5, 70000.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e20, -2147483648.0];
    agree(&module, &[("x", floats(&[8], &x))]);
}

#[test]
fn a_quotient_by_a_small_number_is_finite() {
    let types: [(&str, DType, &[i64]); 1] = [("x", DType::F16, &[2])];
    let module = small(&types, |d, v| {
        let mut b = d.builder();
        let by = b.scalar(DType::F16, 1e-5).unwrap();
        vec![b.broadcasting(Div { rounding: IntRounding::Trunc }, &[v[0], by]).unwrap()]
    });
    let x = Array::from_f64s(DType::F16, vec![2], &[1e-5, 0.125]).unwrap();
    agree(&module, &[("x", x)]);
}

#[test]
fn limits_that_leave_nan_out_give_the_number() {
    let types: [(&str, DType, &[i64]); 2] = [("a", DType::F32, &[3]), ("b", DType::F32, &[3])];
    let module = small(&types, |d, v| {
        let nan = NanRule::Number;
        vec![d.emit(Max { nan }, v), d.emit(Min { nan }, v)]
    });
    let (a, b) = ([1.0, f32::NAN, 5.0], [f32::NAN, 2.0, 3.0]);
    agree(&module, &[("a", floats(&[3], &a)), ("b", floats(&[3], &b))]);
}

#[test]
fn sums_and_products_of_integers_have_their_low_bits() {
    let types: [(&str, DType, &[i64]); 3] =
        [("x", DType::U8, &[3]), ("n", DType::U32, &[3]), ("at", DType::I64, &[2, 1])];
    let module = small(&types, |d, v| {
        let mut b = d.builder();
        let scan = ScanReduce { kind: ReduceKind::Sum, axis: 0, exclusive: false, reverse: false };
        let both = b
            .emit(
                Slice {
                    axes: vec![0],
                    starts: vec![0.into()],
                    ends: vec![2.into()],
                    steps: vec![1],
                },
                &[v[1]],
            )
            .unwrap();
        let reduction = ScatterReduction::Mul;
        vec![
            b.reduce(ReduceKind::Sum, v[0], &[0], false).unwrap(),
            b.reduce(ReduceKind::Prod, v[0], &[0], false).unwrap(),
            b.emit(scan, &[v[0]]).unwrap(),
            b.emit(Neg {}, &[v[1]]).unwrap(),
            b.emit(ScatterNd { reduction }, &[v[1], v[2], both]).unwrap(),
        ]
    });
    let inputs = [
        ("x", ints(DType::U8, &[3], &[200, 100, 3])),
        ("n", ints(DType::U32, &[3], &[3_000_000_000, 7, 0])),
        ("at", ints(DType::I64, &[2, 1], &[0, 0])),
    ];
    agree(&module, &inputs);
}

#[test]
fn long_sums_of_products_of_bytes_have_their_low_bits() {
    let k = 33_100;
    let types: [(&str, DType, &[i64]); 2] = [("a", DType::U8, &[1, k]), ("b", DType::U8, &[k, 1])];
    let module = small(&types, |d, v| vec![d.emit(MatmulInteger {}, v)]);
    let all = vec![255; k as usize];
    let (a, b) = (ints(DType::U8, &[1, all.len()], &all), ints(DType::U8, &[all.len(), 1], &all));
    agree(&module, &[("a", a), ("b", b)]);
}
