//! Numbers as Rust text.

use airconv_ir::array::{Array, Data};
use airconv_ir::dim::{Dim, numel};
use airconv_ir::dtype::DType;

use crate::program::{VarInfo, dtype::held};

/// The most elements of a tensor that is written down.
const MOST_WRITTEN: i64 = 4;

/// Whether a tensor of the module is loaded from the weights file.
pub(super) fn is_loaded(info: &VarInfo) -> bool {
    numel(&info.shape).as_known().is_none_or(|n| n > MOST_WRITTEN)
        || matches!(info.dtype, DType::F16 | DType::BF16)
}

/// A float as Rust writes it.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "f64::NAN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "f64::INFINITY" } else { "f64::NEG_INFINITY" }.to_owned();
    }
    if value as f32 == f32::MIN && value.abs() < 3.403e38 {
        return "f64::from(f32::MIN)".to_owned();
    }
    if let Some(text) = root(value) {
        return text;
    }
    if value != 0.0 && !(1e-4..1e16).contains(&value.abs()) {
        return format!("{value:e}");
    }
    let text = value.to_string();
    if text.contains('.') { text } else { format!("{text}.") }
}

/// The greatest number whose root is written as such: the size of a head of attention, which
/// scales its scores.
const GREATEST_ROOT: u32 = 512;

/// The root of an integer or its reciprocal as such, if that is what a number is to the digits that
/// it has.
fn root(value: f64) -> Option<String> {
    let (square, end) = if value > 1.0 {
        ((value * value).round(), "")
    } else if value > 0.0 {
        ((value * value).recip().round(), ".recip()")
    } else {
        return None;
    };
    let root = square.sqrt();
    let exact = if end.is_empty() { root } else { root.recip() };
    let near = exact as f32 == value as f32 && root.fract() != 0.0;
    (near && square <= f64::from(GREATEST_ROOT)).then(|| format!("f64::sqrt({square}.){end}"))
}

/// The elements of a small array as a Rust expression that `Tensor::new` takes, and the shape
/// where it is not that of the expression.
pub(super) fn elements(array: &Array) -> Option<String> {
    let element = held(array.dtype)?.element;
    let texts: Vec<String> = match &array.data {
        Data::Bool(v) => v.iter().map(|&b| u8::from(b).to_string()).collect(),
        Data::F32(v) => v.iter().map(|&x| short(f64::from(x), array.dtype)).collect(),
        Data::F64(v) => v.iter().map(|&x| float64(x)).collect(),
        _ => array.to_i64s()?.iter().map(ToString::to_string).collect(),
    };
    let mut first = true;
    let mut list = texts.iter().map(|t| {
        let suffix = if std::mem::take(&mut first) && !t.contains("::") { element } else { "" };
        let plain = t.strip_suffix('.').filter(|_| !suffix.is_empty()).unwrap_or(t);
        format!("{plain}{suffix}")
    });
    if array.shape.is_empty() {
        return list.next();
    }
    Some(format!("&[{}]", list.collect::<Vec<_>>().join(", ")))
}

fn float64(value: f64) -> String {
    float(value)
}

/// An `f32` by its shortest decimal.
fn short(value: f64, dtype: DType) -> String {
    let f = value as f32;
    let of = |name: &str| format!("{}::{name}", if dtype == DType::F64 { "f64" } else { "f32" });
    if f.is_nan() {
        return of("NAN");
    }
    if f.is_infinite() {
        return of(if f > 0.0 { "INFINITY" } else { "NEG_INFINITY" });
    }
    if f == f32::MAX {
        return of("MAX");
    }
    if f == f32::MIN {
        return of("MIN");
    }
    if f != 0.0 && !(1e-4..1e10).contains(&f.abs()) {
        return format!("{f:e}");
    }
    let text = f.to_string();
    if text.contains('.') { text } else { format!("{text}.") }
}

/// Known sizes as numbers.
pub(super) fn known(shape: &[Dim]) -> Option<Vec<usize>> {
    shape.iter().map(|d| d.as_known().and_then(|v| usize::try_from(v).ok())).collect()
}
