//! What classifiers and regressors do to the scores of a row at the end, in single precision.

use airconv_ir::dim::Dim;
use airconv_ir::op::ReduceKind;

use super::Stop;
use super::pull::Pull;
use crate::ir::{BinOp, Expr, ExprId, Scalar, UnOp};

/// A transform of scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transform {
    None,
    Logistic,
    Softmax,
    /// As softmax, but scores next to 0 are scaled and not part of the sum.
    SoftmaxZero,
    Probit,
}

impl Transform {
    /// The transform with this name.
    pub fn named(name: &str) -> Transform {
        match name {
            "LOGISTIC" => Transform::Logistic,
            "SOFTMAX" => Transform::Softmax,
            "SOFTMAX_ZERO" => Transform::SoftmaxZero,
            "PROBIT" => Transform::Probit,
            _ => Transform::None,
        }
    }

    /// The transform with this number in `tree_ensemble`.
    pub fn numbered(number: i64) -> Transform {
        match number {
            1 => Transform::Softmax,
            2 => Transform::Logistic,
            3 => Transform::SoftmaxZero,
            4 => Transform::Probit,
            _ => Transform::None,
        }
    }

    /// Whether it needs the greatest score and the sum of a row.
    pub fn by_row(self) -> bool {
        matches!(self, Transform::Softmax | Transform::SoftmaxZero)
    }
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

/// The greatest score of a row and the sum of what softmax makes of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stats {
    pub most: ExprId,
    pub sum: ExprId,
}

impl Pull<'_, '_> {
    fn single(&mut self, x: f64) -> ExprId {
        self.number(Scalar::F32, x)
    }

    fn logistic(&mut self, x: ExprId) -> ExprId {
        let size = self.b.unary(UnOp::Abs, x);
        let size = self.negative(size);
        let e = self.b.unary(UnOp::Exp, size);
        let one = self.single(1.0);
        let below = self.plus(one, e);
        let v = self.over(one, below);
        let zero = self.single(0.0);
        let negative = self.less(x, zero);
        let rest = self.minus(one, v);
        self.pick(negative, rest, v)
    }

    /// The quantile of the normal distribution by Winitzki's approximation of the inverse error
    /// function with 0.147.
    fn probit(&mut self, x: ExprId) -> ExprId {
        let a = 0.147f32;
        let (one, two) = (self.single(1.0), self.single(2.0));
        let x = self.times(two, x);
        let x = self.minus(x, one);
        let zero = self.single(0.0);
        let negative = self.less(x, zero);
        let (low, high) = (self.minus(one, x), self.plus(one, x));
        let product = self.times(low, high);
        let log = self.b.unary(UnOp::Log, product);
        let first = self.single(f64::from(2.0 / (std::f32::consts::PI * a)));
        let half = self.single(0.5);
        let half = self.times(half, log);
        let v = self.plus(first, half);
        let square = self.times(v, v);
        let factor = self.single(f64::from(1.0 / a));
        let part = self.times(factor, log);
        let inner = self.minus(square, part);
        let root = self.b.unary(UnOp::Sqrt, inner);
        let inner = self.minus(root, v);
        let root = self.b.unary(UnOp::Sqrt, inner);
        let scale = self.single(f64::from(std::f32::consts::SQRT_2));
        let y = self.times(scale, root);
        let minus = self.negative(y);
        self.pick(negative, minus, y)
    }

    /// Whether a score counts in the sum of [`Transform::SoftmaxZero`].
    fn counts(&mut self, x: ExprId) -> ExprId {
        let size = self.b.unary(UnOp::Abs, x);
        let least = self.single(f64::from(1e-7f32));
        self.less(least, size)
    }

    /// What a score adds to the sum of its row.
    fn part(&mut self, transform: Transform, x: ExprId, most: ExprId) -> ExprId {
        let rest = self.minus(x, most);
        let e = self.b.unary(UnOp::Exp, rest);
        if transform == Transform::Softmax {
            return e;
        }
        let (counts, zero) = (self.counts(x), self.single(0.0));
        self.pick(counts, e, zero)
    }

    /// The greatest of the scores of a row, each an `F32` by its place.
    pub fn most(
        &mut self,
        count: i64,
        score: &mut dyn FnMut(&mut Self, &Dim) -> Result<ExprId, Stop>,
    ) -> Result<ExprId, Stop> {
        let n = Dim::Known(count);
        let t = self.counter(&n);
        let x = score(self, &t)?;
        let axes = vec![(super::special::variable(&t)?, n)];
        Ok(self.b.add(Expr::Reduce { kind: ReduceKind::Max, axes, x }))
    }

    /// The sum of what softmax makes of the scores of a row.
    pub fn softmax_sum(
        &mut self,
        transform: Transform,
        count: i64,
        most: ExprId,
        score: &mut dyn FnMut(&mut Self, &Dim) -> Result<ExprId, Stop>,
    ) -> Result<ExprId, Stop> {
        let n = Dim::Known(count);
        let t = self.counter(&n);
        let x = score(self, &t)?;
        let x = self.part(transform, x, most);
        let axes = vec![(super::special::variable(&t)?, n)];
        Ok(self.b.add(Expr::Reduce { kind: ReduceKind::Sum, axes, x }))
    }

    /// The transform of one score of a row of two or more; `stats` for those that look at rows.
    pub fn transformed(&mut self, transform: Transform, x: ExprId, stats: Option<Stats>) -> ExprId {
        match (transform, stats) {
            (Transform::Logistic, _) => self.logistic(x),
            (Transform::Probit, _) => self.probit(x),
            (Transform::Softmax, Some(stats)) => {
                let e = self.part(transform, x, stats.most);
                self.over(e, stats.sum)
            }
            (Transform::SoftmaxZero, Some(stats)) => {
                let e = self.part(Transform::Softmax, x, stats.most);
                let minus = self.negative(stats.most);
                let factor = self.b.unary(UnOp::Exp, minus);
                let small = self.times(x, factor);
                let counts = self.counts(x);
                let y = self.pick(counts, e, small);
                self.over(y, stats.sum)
            }
            _ => x,
        }
    }

    /// The final form of a short row of scores.
    pub fn finished(
        &mut self,
        transform: Transform,
        scores: &[ExprId],
        second: Second,
    ) -> Vec<ExprId> {
        if let &[score] = scores {
            if transform == Transform::Probit {
                return vec![self.probit(score)];
            }
            let minus = self.negative(score);
            return match (transform, second) {
                (_, Second::None) => vec![score],
                (Transform::Logistic, _) => vec![self.logistic(minus), self.logistic(score)],
                (_, Second::Rest) => {
                    let one = self.single(1.0);
                    vec![self.minus(one, score), score]
                }
                (_, Second::Negative) => vec![minus, score],
            };
        }
        let mut all = scores.iter().copied();
        let stats = match all.next() {
            Some(first) if transform.by_row() => {
                let most = all.fold(first, |a, b| self.b.binary(BinOp::MaxNum, a, b));
                let zero = self.single(0.0);
                let parts: Vec<ExprId> =
                    scores.iter().map(|&x| self.part(transform, x, most)).collect();
                let sum = parts.into_iter().fold(zero, |a, b| self.plus(a, b));
                Some(Stats { most, sum })
            }
            _ => None,
        };
        scores.iter().map(|&x| self.transformed(transform, x, stats)).collect()
    }
}
