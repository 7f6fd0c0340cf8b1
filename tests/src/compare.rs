//! Numeric comparison of values.

use airconv_ir::array::{Array, Data};
use airconv_ir::interp::Datum;

/// How far two values are apart, or that they are different things.
pub fn mismatch(got: &Datum, want: &Datum, rtol: f64, atol: f64) -> Option<String> {
    match (got, want) {
        (Datum::Tensor(a), Datum::Tensor(b)) => arrays(a, b, rtol, atol),
        (Datum::Sequence(a), Datum::Sequence(b)) => {
            if a.len() != b.len() {
                return Some(format!("{} elements, not {}", a.len(), b.len()));
            }
            a.iter().zip(b).find_map(|(x, y)| mismatch(x, y, rtol, atol))
        }
        (Datum::Optional(a), Datum::Optional(b)) => match (a, b) {
            (None, None) => None,
            (Some(x), Some(y)) => mismatch(x, y, rtol, atol),
            _ => Some("one optional is empty".to_owned()),
        },
        (Datum::Optional(Some(x)), y) => mismatch(x, y, rtol, atol),
        (x, Datum::Optional(Some(y))) => mismatch(x, y, rtol, atol),
        (Datum::Map(a), Datum::Map(b)) => {
            if a.len() != b.len() || a.keys().ne(b.keys()) {
                return Some("the keys of the maps differ".to_owned());
            }
            a.values().zip(b.values()).find_map(|(x, y)| mismatch(x, y, rtol, atol))
        }
        _ => Some("they are of different kinds".to_owned()),
    }
}

fn arrays(a: &Array, b: &Array, rtol: f64, atol: f64) -> Option<String> {
    if a.dtype != b.dtype {
        return Some(format!("dtype {}, not {}", a.dtype, b.dtype));
    }
    if a.shape != b.shape {
        return Some(format!("shape {:?}, not {:?}", a.shape, b.shape));
    }
    match (&a.data, &b.data) {
        (Data::Str(x), Data::Str(y)) => (x != y).then(|| "strings differ".to_owned()),
        (Data::C64(x), Data::C64(y)) => {
            let far = x.iter().zip(y).any(|(p, q)| !close((p - q).norm().into(), q.norm().into(), rtol, atol));
            far.then(|| "complex numbers differ".to_owned())
        }
        _ => {
            let (Some(x), Some(y)) = (a.to_f64s(), b.to_f64s()) else {
                return (a.data != b.data).then(|| "elements differ".to_owned());
            };
            let mut worst: Option<(usize, f64)> = None;
            for (i, (p, q)) in x.iter().zip(&y).enumerate() {
                let same = p == q || (p.is_nan() && q.is_nan());
                if !same && !close((p - q).abs(), q.abs(), rtol, atol) {
                    let gap = (p - q).abs();
                    if worst.is_none_or(|(_, w)| !(gap <= w)) {
                        worst = Some((i, gap));
                    }
                }
            }
            worst.map(|(i, gap)| format!("element {i} is {}, not {} (apart by {gap:e})", x[i], y[i]))
        }
    }
}

fn close(gap: f64, magnitude: f64, rtol: f64, atol: f64) -> bool {
    gap <= atol + rtol * magnitude
}
