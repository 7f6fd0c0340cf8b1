//! Evaluation of the image family.

use super::{EvalCx, EvalError, EvalResult, one};
use crate::array::{Array, Data, Scalar};
use crate::op::*;

/// A box as two corners.
#[derive(Clone, Copy)]
struct Corners {
    low: [f32; 2],
    high: [f32; 2],
}

impl Corners {
    fn new(b: &[f32], centre: bool) -> Option<Self> {
        let &[a, b, c, d] = b else { return None };
        Some(if centre {
            let (w, h) = (c / 2.0, d / 2.0);
            Self { low: [a - w, b - h], high: [a + w, b + h] }
        } else {
            Self { low: [a.min(c), b.min(d)], high: [a.max(c), b.max(d)] }
        })
    }

    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Whether the overlap, as a part of the union, is above a threshold.
    fn overlaps(&self, other: &Self, threshold: f32) -> bool {
        let side = |i: usize| self.high[i].min(other.high[i]) - self.low[i].max(other.low[i]);
        let (a, b) = (side(0), side(1));
        if a <= 0.0 || b <= 0.0 {
            return false;
        }
        let common = a * b;
        let (first, second) = (self.area(), other.area());
        let union = first + second - common;
        if common <= 0.0 || first <= 0.0 || second <= 0.0 || union <= 0.0 {
            return false;
        }
        common / union > threshold
    }
}

fn floats(array: &Array) -> Result<Vec<f32>, EvalError> {
    match &array.data {
        Data::F32(v) => Ok(v.clone()),
        Data::F64(v) => Ok(v.iter().map(|&x| x as f32).collect()),
        _ => Err(EvalError::Unsupported(format!("`non_max_suppression` of {}", array.dtype))),
    }
}

fn number(cx: &EvalCx<'_, '_>, slot: usize) -> Result<Option<f64>, EvalError> {
    Ok(match cx.opt_scalar(slot)? {
        Some(Scalar::Int(n)) => Some(n as f64),
        Some(Scalar::Float(x)) => Some(x),
        Some(other) => return EvalError::failed(format!("{other} is not a number")),
        None => None,
    })
}

/// Greedy suppression: per batch and class from the highest score down, equal scores from the
/// lower position up.
pub fn non_max_suppression(cx: &mut EvalCx<'_, '_>, op: &NonMaxSuppression) -> EvalResult {
    let (boxes, scores) = (cx.array(0)?, cx.array(1)?);
    let (&[batches, count, 4], &[score_batches, classes, score_count]) =
        (boxes.shape.as_slice(), scores.shape.as_slice())
    else {
        return EvalError::failed("boxes are not [n, boxes, 4] or scores not [n, classes, boxes]");
    };
    if batches != score_batches || count != score_count {
        return EvalError::failed(format!(
            "boxes {:?} and scores {:?} do not go together",
            boxes.shape, scores.shape
        ));
    }
    let most = number(cx, 2)?.unwrap_or(0.0).max(0.0) as usize;
    let overlap = number(cx, 3)?.unwrap_or(0.0) as f32;
    let least = number(cx, 4)?.map(|x| x as f32);
    let (boxes, scores) = (floats(boxes)?, floats(scores)?);
    let mut selected: Vec<i64> = Vec::new();
    for batch in 0..batches {
        let corners: Vec<Corners> = boxes
            .chunks_exact(4)
            .skip(batch * count)
            .take(count)
            .filter_map(|b| Corners::new(b, op.center_point_box))
            .collect();
        for class in 0..classes {
            let first = (batch * classes + class) * count;
            let scores = scores.get(first..first + count).unwrap_or_default();
            let mut order: Vec<(usize, f32)> = scores
                .iter()
                .copied()
                .enumerate()
                .filter(|(_, s)| least.is_none_or(|t| *s > t))
                .collect();
            order.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap_or(std::cmp::Ordering::Equal));
            let mut kept: Vec<Corners> = Vec::new();
            for (index, _) in order {
                if kept.len() >= most {
                    break;
                }
                let Some(candidate) = corners.get(index) else { continue };
                if kept.iter().any(|k| k.overlaps(candidate, overlap)) {
                    continue;
                }
                kept.push(*candidate);
                selected.extend([batch as i64, class as i64, index as i64]);
            }
        }
    }
    one(Array::from_vec(vec![selected.len() / 3, 3], selected)?)
}
