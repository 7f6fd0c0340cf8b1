//! Support vector machines, in single precision with sums in double.

use super::scores::{self, Second, Transform, first_greatest};
use super::{EvalCx, EvalError, EvalResult, Labels, Matrix, f32s, matrix, one};
use crate::array::Array;
use crate::attr::Float;
use crate::infer::ml::support_count;
use crate::op::{SvmClassifier, SvmRegressor};

/// The sum of products.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

/// A kernel with its parameters.
struct Kernel<'a> {
    kind: &'a str,
    gamma: f32,
    coef0: f32,
    degree: f32,
}

impl<'a> Kernel<'a> {
    fn new(kind: &'a str, params: &[Float]) -> Self {
        let param = |i: usize| params.get(i).map_or(0.0, |f| f.0 as f32);
        Self { kind, gamma: param(0), coef0: param(1), degree: param(2) }
    }

    fn apply(&self, x: &[f32], vector: &[f32]) -> f32 {
        let affine = || f64::from(self.gamma) * dot(x, vector) + f64::from(self.coef0);
        match self.kind {
            "RBF" => {
                let square: f64 =
                    x.iter().zip(vector).map(|(&a, &b)| f64::from(a - b).powi(2)).sum();
                (-self.gamma * square as f32).exp()
            }
            "POLY" => (affine() as f32).powf(self.degree),
            "SIGMOID" => (affine() as f32).tanh(),
            _ => dot(x, vector) as f32,
        }
    }

    /// The kernel of a row with each of the support vectors.
    fn all(&self, x: &[f32], vectors: &[f32]) -> Vec<f32> {
        vectors.chunks(x.len().max(1)).map(|v| self.apply(x, v)).collect()
    }
}

/// One score per pair of classes, and the class that most pairs vote for.
fn pairs(
    op: &SvmClassifier,
    coefficients: &[f32],
    rho: &[f32],
    kernels: &[f32],
    classes: usize,
) -> (Vec<f32>, usize) {
    let counts: Vec<usize> =
        op.vectors_per_class.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
    let starts: Vec<usize> = counts
        .iter()
        .scan(0, |at, &n| {
            let start = *at;
            *at += n;
            Some(start)
        })
        .collect();
    let part = |class: usize| {
        let start = starts.get(class).copied().unwrap_or(0);
        start..start + counts.get(class).copied().unwrap_or(0)
    };
    // The coefficients of one class against another: a row skips the class itself.
    let sum = |class: usize, row: usize| {
        let range = part(class);
        let offset = row * kernels.len();
        let weights =
            coefficients.get(offset + range.start..offset + range.end).unwrap_or_default();
        dot(weights, kernels.get(range).unwrap_or_default())
    };
    let mut scores = Vec::new();
    let mut votes = vec![0usize; classes];
    for i in 0..classes {
        for j in i + 1..classes {
            let offset = rho.get(scores.len()).copied().unwrap_or(0.0);
            let score = sum(i, j - 1) + sum(j, i) + f64::from(offset);
            scores.push(score as f32);
            if let Some(v) = votes.get_mut(if score > 0.0 { i } else { j }) {
                *v += 1;
            }
        }
    }
    let mut best = 0;
    for (i, v) in votes.iter().enumerate() {
        if votes.get(best).is_some_and(|b| v > b) {
            best = i;
        }
    }
    (scores, best)
}

/// Probabilities of classes from those of pairs, by the second method of Wu, Lin and Weng (2004).
fn coupled(pair: &dyn Fn(usize, usize) -> f32, classes: usize) -> Vec<f32> {
    let mut q = vec![vec![0f32; classes]; classes];
    for (i, row) in q.iter_mut().enumerate() {
        let mut own = 0.0;
        for (j, slot) in row.iter_mut().enumerate() {
            if i != j {
                own += pair(j, i) * pair(j, i);
                *slot = -pair(j, i) * pair(i, j);
            }
        }
        if let Some(slot) = row.get_mut(i) {
            *slot = own;
        }
    }
    let mut p = vec![1.0 / classes as f32; classes];
    let least = 0.005 / classes as f32;
    for _ in 0..100 {
        let times = |p: &[f32], row: &[f32]| -> f32 { row.iter().zip(p).map(|(a, b)| a * b).sum() };
        let mut qp: Vec<f32> = q.iter().map(|row| times(&p, row)).collect();
        let mut pqp = times(&p, &qp);
        if qp.iter().all(|v| (v - pqp).abs() < least) {
            break;
        }
        for (i, row) in q.iter().enumerate() {
            let (own, at) = (row.get(i).copied().unwrap_or(1.0), qp.get(i).copied().unwrap_or(0.0));
            let change = (pqp - at) / own;
            if let Some(v) = p.get_mut(i) {
                *v += change;
            }
            let norm = 1.0 + change;
            pqp = (pqp + change * (change * own + 2.0 * at)) / norm / norm;
            for ((v, w), r) in qp.iter_mut().zip(p.iter_mut()).zip(row) {
                *v = (*v + change * r) / norm;
                *w /= norm;
            }
        }
    }
    p
}

/// Class probabilities from the scores of pairs, by Platt's sigmoids.
fn probabilities(scores: &[f32], a: &[f32], b: &[f32], classes: usize) -> Vec<f32> {
    let mut table = vec![0f32; classes * classes];
    let mut next = scores.iter().zip(a.iter().zip(b));
    for i in 0..classes {
        for j in i + 1..classes {
            let Some((score, (a, b))) = next.next() else { continue };
            let p = (1.0 - scores::logistic(score * a + b)).clamp(1e-7, 1.0 - 1e-7);
            if let Some(slot) = table.get_mut(i * classes + j) {
                *slot = p;
            }
            if let Some(slot) = table.get_mut(j * classes + i) {
                *slot = 1.0 - p;
            }
        }
    }
    coupled(&|i, j| table.get(i * classes + j).copied().unwrap_or(0.0), classes)
}

/// Support vector classes.
pub fn svm_classifier(cx: &mut EvalCx<'_, '_>, op: &SvmClassifier) -> EvalResult {
    let x: Matrix<f32> = matrix(cx, "svm_classifier")?;
    let labels = Labels { ints: &op.classlabels_ints, strings: &op.classlabels_strings };
    let classes = labels.len();
    let vectors = support_count(&op.vectors_per_class).unwrap_or(0);
    let (coefficients, rho) = (f32s(&op.coefficients), f32s(&op.rho));
    let support = f32s(&op.support_vectors);
    let transform = Transform::parse(&op.post_transform);
    let all_positive = coefficients.iter().all(|&c| c >= 0.0);
    let (a, b) = (f32s(&op.prob_a), f32s(&op.prob_b));
    let linear = vectors == 0;
    let expected = if linear { classes } else { vectors }.checked_mul(x.columns);
    if expected != Some(if linear { coefficients.len() } else { support.len() }) {
        return EvalError::failed("the coefficients do not go with the features");
    }
    let kernel = Kernel::new(&op.kernel_type, &op.kernel_params);
    let (mut ids, mut out) = (Vec::new(), Vec::new());
    let mut width = 0;
    for r in 0..x.rows {
        let row = x.row(r);
        let (line, second, id) = if linear {
            let offset = rho.first().copied().unwrap_or(0.0);
            let line: Vec<f32> = coefficients
                .chunks(x.columns.max(1))
                .map(|c| (dot(row, c) + f64::from(offset)) as f32)
                .collect();
            let best = first_greatest(&line);
            let most = line.get(best).copied().unwrap_or(0.0);
            let positive = if all_positive { most >= 0.5 } else { most > 0.0 };
            let id = if classes == 2 && positive { 1 } else { best };
            (line, Second::None, id)
        } else {
            let kernels = kernel.all(row, &support);
            let (line, best) = pairs(op, &coefficients, &rho, &kernels, classes);
            if !a.is_empty() {
                (probabilities(&line, &a, &b, classes), Second::None, best)
            } else if transform == Transform::None {
                (line, Second::Negative, best)
            } else {
                (line, Second::Rest, best)
            }
        };
        ids.push(id);
        let mut line = scores::finish(transform, line, second);
        if !linear && classes == 2 && line.len() == 1 {
            line.push(0.0);
        }
        width = line.len();
        out.extend(line);
    }
    if x.rows == 0 {
        let pairs = classes * classes.saturating_sub(1) / 2;
        width = if linear || !a.is_empty() || classes == 2 { classes } else { pairs };
    }
    let scores = Array::from_vec(vec![x.rows, width], out)?;
    Ok(vec![Some(labels.pick(&ids)?.into()), Some(scores.into())])
}

/// Support vector regression.
pub fn svm_regressor(cx: &mut EvalCx<'_, '_>, op: &SvmRegressor) -> EvalResult {
    let x: Matrix<f32> = matrix(cx, "svm_regressor")?;
    let (coefficients, support) = (f32s(&op.coefficients), f32s(&op.support_vectors));
    let rho = op.rho.first().map_or(0.0, |f| f.0 as f32);
    let kernel = Kernel::new(&op.kernel_type, &op.kernel_params);
    let linear = op.n_supports <= 0;
    let given = if linear { coefficients.len() } else { support.len() };
    let rows = if linear { 1 } else { coefficients.len() };
    if rows.checked_mul(x.columns) != Some(given) {
        return EvalError::failed("the coefficients do not go with the features");
    }
    let value = |r: usize| {
        let row = x.row(r);
        let sum = if linear {
            dot(row, &coefficients)
        } else {
            dot(&kernel.all(row, &support), &coefficients)
        };
        let y = (sum + f64::from(rho)) as f32;
        if !op.one_class {
            y
        } else if y > 0.0 {
            1.0
        } else {
            -1.0
        }
    };
    one(Array::from_vec(vec![x.rows, 1], (0..x.rows).map(value).collect())?)
}
