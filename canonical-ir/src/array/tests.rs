//! Tests of construction and access; each operation's tests are beside it.

use super::*;

#[test]
fn every_dtype_has_its_variant() {
    for &dtype in DType::ALL {
        let array = Array::zeros(dtype, vec![2, 3]).unwrap();
        assert_eq!(array.check(), Ok(()), "{dtype}");
        assert_eq!((array.numel(), array.strides()), (6, vec![3, 1]));
    }
    let err = Array::new(DType::F64, vec![1], Data::F32(vec![0.0])).unwrap_err();
    assert_eq!(err, ArrayError::Variant { dtype: DType::F64, variant: "f32" });
    let err = Array::from_vec(vec![2, 2], vec![1i32, 2, 3]).unwrap_err();
    assert_eq!(err, ArrayError::Length { expected: 4, actual: 3 });
}

#[test]
fn oversized_shapes_are_errors() {
    let one = Scalar::Float(1.0);
    assert!(matches!(
        Array::full(DType::F32, vec![usize::MAX, 2], &one),
        Err(ArrayError::ShapeOverflow { .. })
    ));
    assert!(matches!(
        Array::full(DType::F32, vec![usize::MAX / 2], &one),
        Err(ArrayError::TooLarge { .. })
    ));
    assert_eq!(checked_numel(&[usize::MAX, usize::MAX, 0]), Ok(0));
}

#[test]
fn scalars_are_converted_or_refused() {
    let full = |d, s: Scalar| Array::full(d, vec![2], &s);
    assert_eq!(full(DType::F16, Scalar::Float(65520.0)).unwrap().get(1), {
        Some(Scalar::Float(f64::INFINITY))
    });
    assert_eq!(full(DType::F8E4M3FN, Scalar::Int(17)).unwrap().get(0), Some(Scalar::Float(16.0)));
    assert_eq!(full(DType::I4, Scalar::Int(-8)).unwrap().to_i64s(), Some(vec![-8, -8]));
    assert_eq!(
        full(DType::I4, Scalar::Int(8)),
        Err(ArrayError::ScalarRange { dtype: DType::I4, value: 8 })
    );
    assert!(matches!(
        full(DType::I32, Scalar::Float(1.0)),
        Err(ArrayError::ScalarKind { dtype: DType::I32, .. })
    ));
    assert!(full(DType::Bool, Scalar::Int(1)).is_err());
    assert!(full(DType::F32, Scalar::Bool(true)).is_err());
    let z = full(DType::C64, Scalar::Int(3)).unwrap();
    assert_eq!(z.get(0), Some(Scalar::Complex(Complex::new(3.0, 0.0))));
    let s = Scalar::Str(StrBytes::from(&b"\xff\x00"[..]));
    assert_eq!(full(DType::String, s.clone()).unwrap().get(1), Some(s));
    assert_eq!(full(DType::U64, Scalar::Int(u64::MAX.into())).unwrap().to_i64s(), None);
}

#[test]
fn get_and_set() {
    let mut a = Array::from_i64s(DType::U2, vec![3], &[0, 3, 1]).unwrap();
    a.set(0, &Scalar::Int(2)).unwrap();
    assert_eq!(a.to_i64s(), Some(vec![2, 3, 1]));
    assert_eq!(a.set(3, &Scalar::Int(0)), Err(ArrayError::Index { index: 3, len: 3 }));
    assert_eq!(a.get(3), None);
    assert!(Array::from_i64s(DType::U2, vec![1], &[4]).is_err());
    assert!(Array::from_i64s(DType::F32, vec![1], &[4]).is_err());
    let f = Array::from_f64s(DType::BF16, vec![2], &[1.003, 256.9]).unwrap();
    assert_eq!(f.to_f64s(), Some(vec![1.0, 256.0]));
    assert!(Array::from_f64s(DType::I8, vec![1], &[1.0]).is_err());
}

#[test]
fn narrowing_brings_results_back() {
    let a = Array::narrowed(DType::I4, vec![3], Data::I8(vec![8, -9, 7])).unwrap();
    assert_eq!(a.to_i64s(), Some(vec![-8, 7, 7]));
    let a = Array::narrowed(DType::U2, vec![2], Data::U8(vec![5, 3])).unwrap();
    assert_eq!(a.to_i64s(), Some(vec![1, 3]));
    let a = Array::narrowed(DType::F16, vec![2], Data::F32(vec![1e6, 1.0001])).unwrap();
    assert_eq!(a.data, Data::F32(vec![f32::INFINITY, 1.0]));
}

#[test]
fn index_arithmetic() {
    assert_eq!(unravel(5, &[2, 3]), Some(vec![1, 2]));
    assert_eq!(unravel(6, &[2, 3]), None);
    assert_eq!(unravel(0, &[2, 0]), None);
    assert_eq!(unravel(0, &[]), Some(vec![]));
    assert_eq!(ravel(&[1, 2], &[2, 3]), Some(5));
    assert_eq!(ravel(&[1, 3], &[2, 3]), None);
    let a = Array::from_vec(vec![2, 3], vec![0u8; 6]).unwrap();
    assert_eq!(a.clone().reshape(vec![3, 2, 1]).unwrap().shape, [3, 2, 1]);
    assert!(a.reshape(vec![4]).is_err());
}

#[test]
fn dispatch_reaches_the_native_type() {
    fn total<T: NumberElement>(v: &[T]) -> T {
        v.iter().fold(T::zero(), |a, &b| a + b)
    }
    let a = Array::from_vec(vec![2], vec![Complex::new(1.0f32, 2.0), Complex::new(0.5, 0.5)]);
    let name = crate::dispatch_numeric!(&a.unwrap().data, |v| format!("{}", total(v)), else {
        String::new()
    });
    assert_eq!(name, "1.5+2.5i");
    let strings = Array::from_strs(vec![1], &["x"]).unwrap();
    assert!(crate::dispatch_numeric!(&strings.data, |_| false, else true));
    assert_eq!(strings.as_slice::<f32>(), None);
}
