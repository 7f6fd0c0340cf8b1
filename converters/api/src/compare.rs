//! Equality in numbers.

use airconv_ir::array::{Array, Data};
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;

/// How far two outputs are apart.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Distance {
    /// Greatest absolute difference.
    pub max_abs: f64,
    /// Greatest absolute difference over the greatest magnitude of the reference.
    pub max_rel: f64,
    /// Greatest distance in units of the last place; of real floats only.
    pub max_ulp: Option<u64>,
    /// Elements compared.
    pub elements: u64,
    /// Elements that are NaN on both sides, which says nothing.
    pub nan: u64,
    /// Elements outside `atol + rtol * |reference|`.
    pub outside: u64,
    /// A difference that is no number: kind, dtype, shape, NaN against a number.
    pub structural: Option<String>,
}

impl Distance {
    /// Whether the two agree.
    pub fn agrees(&self) -> bool {
        self.outside == 0 && self.structural.is_none()
    }
    /// Whether nothing was compared: there are no elements, or all are NaN on both sides.
    pub fn says_nothing(&self) -> bool {
        self.structural.is_none() && self.elements == self.nan
    }
    fn differ(message: String) -> Self {
        Self { structural: Some(message), ..Self::default() }
    }
    fn join(mut self, other: Self) -> Self {
        self.max_abs = self.max_abs.max(other.max_abs);
        self.max_rel = self.max_rel.max(other.max_rel);
        self.max_ulp = self.max_ulp.max(other.max_ulp);
        self.elements += other.elements;
        self.nan += other.nan;
        self.outside += other.outside;
        self.structural = self.structural.or(other.structural);
        self
    }
}

/// The distance of a value from a reference.
pub fn distance(got: &Datum, want: &Datum, rtol: f64, atol: f64) -> Distance {
    match (got, want) {
        (Datum::Tensor(a), Datum::Tensor(b)) => arrays(a, b, rtol, atol),
        (Datum::Sequence(a), Datum::Sequence(b)) if a.len() == b.len() => a
            .iter()
            .zip(b)
            .fold(Distance::default(), |d, (x, y)| d.join(distance(x, y, rtol, atol))),
        (Datum::Sequence(a), Datum::Sequence(b)) => {
            Distance::differ(format!("{} elements where {} are expected", a.len(), b.len()))
        }
        (Datum::Optional(None), Datum::Optional(None)) => Distance::default(),
        (Datum::Optional(Some(x)), y) => distance(x, y, rtol, atol),
        (x, Datum::Optional(Some(y))) => distance(x, y, rtol, atol),
        (Datum::Map(a), Datum::Map(b)) if a.keys().eq(b.keys()) => a
            .values()
            .zip(b.values())
            .fold(Distance::default(), |d, (x, y)| d.join(distance(x, y, rtol, atol))),
        (Datum::Map(_), Datum::Map(_)) => {
            Distance::differ("the keys of the maps differ".to_owned())
        }
        _ => Distance::differ("they are of different kinds".to_owned()),
    }
}

/// How far outputs are from those that are right: by name, else by position.
pub fn outputs(
    want: &[(String, Datum)],
    got: &[(String, Datum)],
    rtol: f64,
    atol: f64,
) -> Vec<(String, Distance)> {
    let row = |(i, (name, reference)): (usize, &(String, Datum))| {
        let found = got.iter().find(|(n, _)| n == name).or_else(|| got.get(i));
        let far = match found {
            Some((_, value)) => distance(value, reference, rtol, atol),
            None => Distance::differ("it is missing".to_owned()),
        };
        (name.clone(), far)
    };
    want.iter().enumerate().map(row).collect()
}

fn arrays(a: &Array, b: &Array, rtol: f64, atol: f64) -> Distance {
    if a.dtype != b.dtype {
        return Distance::differ(format!("dtype {} where {} is expected", a.dtype, b.dtype));
    }
    if a.shape != b.shape {
        return Distance::differ(format!("shape {:?} where {:?} is expected", a.shape, b.shape));
    }
    if let (Data::Str(x), Data::Str(y)) = (&a.data, &b.data) {
        let outside = x.iter().zip(y).filter(|(p, q)| p != q).count() as u64;
        return Distance { elements: x.len() as u64, outside, ..Distance::default() };
    }
    let (x, y) = match (parts(a), parts(b)) {
        (Some(x), Some(y)) => (x, y),
        _ => return Distance::differ(format!("{} cannot be compared", a.dtype)),
    };
    let scale = y.iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
    // A complex number counts as two here.
    let mut out = Distance { elements: x.len() as u64, ..Distance::default() };
    if matches!(a.dtype, DType::F32 | DType::F64) {
        out.max_ulp = Some(0);
    }
    for (&p, &q) in x.iter().zip(&y) {
        if p.is_nan() && q.is_nan() {
            out.nan += 1;
            continue;
        }
        if p == q {
            continue;
        }
        let gap = (p - q).abs();
        if !gap.is_finite() {
            out.outside += 1;
            out.max_abs = f64::INFINITY;
            out.max_rel = f64::INFINITY;
            continue;
        }
        out.max_abs = out.max_abs.max(gap);
        // A bound that is no number holds for nothing.
        let within = gap <= atol + rtol * q.abs();
        out.outside += u64::from(!within);
        match a.dtype {
            DType::F32 => out.max_ulp = out.max_ulp.max(Some(ulp32(p as f32, q as f32))),
            DType::F64 => out.max_ulp = out.max_ulp.max(Some(ulp64(p, q))),
            _ => {}
        }
    }
    if out.max_abs.is_finite() && scale > 0.0 {
        out.max_rel = out.max_abs / scale;
    }
    out
}

/// Elements as real numbers; a complex one gives two.
fn parts(a: &Array) -> Option<Vec<f64>> {
    match &a.data {
        Data::C64(v) => Some(v.iter().flat_map(|c| [f64::from(c.re), f64::from(c.im)]).collect()),
        Data::C128(v) => Some(v.iter().flat_map(|c| [c.re, c.im]).collect()),
        Data::Bool(v) => Some(v.iter().map(|&b| f64::from(u8::from(b))).collect()),
        _ => a.to_f64s(),
    }
}

/// Distance on the line of floats, on which -0 and 0 are one point.
fn ulp32(a: f32, b: f32) -> u64 {
    let line = |v: f32| {
        let bits = v.to_bits();
        if bits >> 31 == 1 { -i64::from(bits & 0x7fff_ffff) } else { i64::from(bits) }
    };
    line(a).abs_diff(line(b))
}

fn ulp64(a: f64, b: f64) -> u64 {
    let line = |v: f64| {
        let bits = v.to_bits() as i64;
        if bits < 0 { i64::MIN.wrapping_sub(bits) } else { bits }
    };
    line(a).abs_diff(line(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datum(values: &[f64]) -> Datum {
        Array::from_f64s(DType::F32, vec![values.len()], values).unwrap().into()
    }

    #[test]
    fn distances_are_measured() {
        let d = distance(&datum(&[1.0, 2.0]), &datum(&[1.0, 2.5]), 0.0, 0.1);
        assert_eq!((d.max_abs, d.max_rel, d.outside, d.agrees()), (0.5, 0.2, 1, false));
        let next = f64::from(f32::from_bits(1.0f32.to_bits() + 3));
        assert_eq!(distance(&datum(&[next]), &datum(&[1.0]), 1e-3, 0.0).max_ulp, Some(3));
        assert_eq!(
            distance(&datum(&[-0.0]), &datum(&[0.0]), 0.0, 0.0),
            Distance { elements: 1, max_ulp: Some(0), ..Distance::default() }
        );
        assert!(!distance(&datum(&[f64::NAN]), &datum(&[1.0]), 1.0, 1.0).agrees());
        let flags = |v: Vec<bool>| Datum::from(Array::from_vec(vec![v.len()], v).unwrap());
        let none = [datum(&[]), datum(&[f64::NAN, f64::NAN])];
        assert!(none.iter().all(|d| distance(d, d, 0.0, 0.0).says_nothing()));
        let some = datum(&[f64::NAN, 1.0]);
        assert!(!distance(&some, &some, 0.0, 0.0).says_nothing());
        for bound in [f64::NAN, -1.0] {
            assert!(!distance(&datum(&[1.0]), &datum(&[2.0]), bound, 0.0).agrees());
        }
        assert!(distance(&flags(vec![true, false]), &flags(vec![true, false]), 0.0, 0.0).agrees());
        assert_eq!(distance(&flags(vec![true]), &flags(vec![false]), 0.0, 0.5).outside, 1);
        assert!(distance(&datum(&[1.0]), &datum(&[1.0, 2.0]), 1.0, 1.0).structural.is_some());
    }
}
