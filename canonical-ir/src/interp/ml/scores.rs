//! What classifiers and regressors do to their scores at the end, in single precision.

use std::f32::consts::{PI, SQRT_2};

/// A transform of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// The transform with this name.
    pub(super) fn parse(name: &str) -> Self {
        match name {
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            _ => Self::None,
        }
    }

    /// The transform with this number in `tree_ensemble`.
    pub(super) fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Softmax,
            2 => Self::Logistic,
            3 => Self::SoftmaxZero,
            4 => Self::Probit,
            _ => Self::None,
        }
    }
}

pub(super) fn logistic(x: f32) -> f32 {
    let v = 1.0 / (1.0 + (-x.abs()).exp());
    if x < 0.0 { 1.0 - v } else { v }
}

/// The quantile of the normal distribution, by an approximation of the inverse error function.
pub(super) fn probit(x: f32) -> f32 {
    let x = 2.0 * x - 1.0;
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = ((1.0 - x) * (1.0 + x)).ln();
    let v = 2.0 / (PI * 0.147) + 0.5 * log;
    let square = (v * v - 1.0 / 0.147 * log).sqrt() - v;
    SQRT_2 * sign * square.sqrt()
}

/// The transform of a row of two or more scores.
pub(super) fn apply(transform: Transform, scores: &mut [f32]) {
    match transform {
        Transform::None => {}
        Transform::Logistic => scores.iter_mut().for_each(|s| *s = logistic(*s)),
        Transform::Probit => scores.iter_mut().for_each(|s| *s = probit(*s)),
        Transform::Softmax => {
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            scores.iter_mut().for_each(|s| *s = (*s - most).exp());
            let sum: f32 = scores.iter().sum();
            scores.iter_mut().for_each(|s| *s /= sum);
        }
        Transform::SoftmaxZero => {
            let most = scores.iter().copied().fold(f32::MIN, f32::max);
            let mut sum = 0.0;
            for s in scores.iter_mut() {
                if s.abs() > 1e-7 {
                    *s = (*s - most).exp();
                    sum += *s;
                } else {
                    *s *= (-most).exp();
                }
            }
            scores.iter_mut().for_each(|s| *s /= sum);
        }
    }
}

/// The position of the first greatest score.
pub(super) fn first_greatest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (i, s) in scores.iter().enumerate() {
        if scores.get(best).is_some_and(|b| s > b) {
            best = i;
        }
    }
    best
}

/// How the one score of two classes becomes two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Second {
    /// It stays one.
    None,
    /// As a probability: the rest to 1 comes first.
    Rest,
    /// As a signed distance: its negative comes first.
    Negative,
}

/// The final form of the scores of a row.
pub(super) fn finish(transform: Transform, mut scores: Vec<f32>, second: Second) -> Vec<f32> {
    if let &[score] = scores.as_slice() {
        return match (transform, second) {
            (Transform::Probit, _) => vec![probit(score)],
            (_, Second::None) => scores,
            (Transform::Logistic, _) => vec![logistic(-score), logistic(score)],
            (_, Second::Rest) => vec![1.0 - score, score],
            (_, Second::Negative) => vec![-score, score],
        };
    }
    apply(transform, &mut scores);
    scores
}
