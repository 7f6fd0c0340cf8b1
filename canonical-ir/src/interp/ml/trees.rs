//! Tree ensembles. Thresholds and sums have the precision of the input: double for f64, single
//! for every other dtype.

use num_traits::{AsPrimitive, Float as NumFloat};

use super::scores::{self, Second, Transform};
use super::{EvalCx, EvalError, EvalResult, Labels, Matrix, matrix, one};
use crate::array::{Array, Data, FloatElement};
use crate::attr::Float;
use crate::dtype::DType;
use crate::ensemble;
use crate::entity::TensorId;
use crate::op::{TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor};

/// A native float that trees compute in.
trait Number: FloatElement + AsPrimitive<f32> + AsPrimitive<f64>
where
    f64: AsPrimitive<Self>,
    f32: AsPrimitive<Self>,
{
}
impl Number for f32 {}
impl Number for f64 {}

/// The comparison of a node.
enum Test<T> {
    Compare(ensemble::Test),
    Member(Vec<T>),
}

impl<T: NumFloat> Test<T> {
    fn holds(&self, x: T, threshold: T) -> bool {
        use ensemble::Test::*;
        match self {
            Self::Compare(LessOrEqual) => x <= threshold,
            Self::Compare(Less) => x < threshold,
            Self::Compare(GreaterOrEqual) => x >= threshold,
            Self::Compare(Greater) => x > threshold,
            Self::Compare(Equal) => x == threshold,
            Self::Compare(NotEqual) => x != threshold,
            Self::Member(set) => set.contains(&x),
        }
    }
}

enum Node<T> {
    Branch {
        feature: usize,
        test: Test<T>,
        threshold: T,
        missing_holds: bool,
        holds: usize,
        fails: usize,
    },
    /// A range of votes.
    Leaf(std::ops::Range<usize>),
}

struct Forest<T> {
    nodes: Vec<Node<T>>,
    roots: Vec<usize>,
    /// Target and weight.
    votes: Vec<(usize, T)>,
}

impl<T: NumFloat> Forest<T> {
    /// The votes of the leaf that a row falls into.
    fn votes(&self, root: usize, row: &[T]) -> Result<&[(usize, T)], EvalError> {
        let mut at = root;
        for _ in 0..=self.nodes.len() {
            match self.nodes.get(at) {
                Some(Node::Branch { feature, test, threshold, missing_holds, holds, fails }) => {
                    let Some(&x) = row.get(*feature) else {
                        return EvalError::failed(format!(
                            "a node asks for feature {feature} of {}",
                            row.len()
                        ));
                    };
                    let yes = test.holds(x, *threshold) || (*missing_holds && x.is_nan());
                    at = if yes { *holds } else { *fails };
                }
                Some(Node::Leaf(range)) => {
                    return Ok(self.votes.get(range.clone()).unwrap_or_default());
                }
                None => return EvalError::failed("a node leads to one that does not exist"),
            }
        }
        EvalError::failed("the nodes of a tree form a cycle")
    }
}

/// How the votes of trees are combined.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aggregate {
    Average,
    Sum,
    Min,
    Max,
}

/// The combined votes for one target, if there was one.
type Score<T> = Option<T>;

fn aggregate<T: NumFloat>(
    forest: &Forest<T>,
    row: &[T],
    targets: usize,
    how: Aggregate,
) -> Result<Vec<Score<T>>, EvalError> {
    let mut scores: Vec<Score<T>> = vec![None; targets];
    for &root in &forest.roots {
        for &(target, weight) in forest.votes(root, row)? {
            let Some(slot) = scores.get_mut(target) else {
                return EvalError::failed(format!("a leaf votes for target {target} of {targets}"));
            };
            *slot = Some(match (*slot, how) {
                (None, _) => weight,
                (Some(s), Aggregate::Sum | Aggregate::Average) => s + weight,
                (Some(s), Aggregate::Min) => {
                    if weight < s {
                        weight
                    } else {
                        s
                    }
                }
                (Some(s), Aggregate::Max) => {
                    if weight > s {
                        weight
                    } else {
                        s
                    }
                }
            });
        }
    }
    Ok(scores)
}

/// The scores of a regression over a row, before the post-transform.
fn regress<T: Number>(
    forest: &Forest<T>,
    row: &[T],
    targets: usize,
    how: Aggregate,
    base: &[T],
) -> Result<Vec<T>, EvalError>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
{
    let count: T = (forest.roots.len() as f64).as_();
    let scores = aggregate(forest, row, targets, how)?;
    let base = |i: usize| match base {
        [one] if targets == 1 => *one,
        all if all.len() == targets => all.get(i).copied().unwrap_or_else(T::zero),
        _ => T::zero(),
    };
    let score = |(i, s): (usize, Score<T>)| {
        // One of several targets without a vote is 0, whatever its base.
        let s = match s {
            None if targets > 1 => return T::zero(),
            other => other.unwrap_or_else(T::zero),
        };
        let s = if how == Aggregate::Average { s / count } else { s };
        s + base(i)
    };
    Ok(scores.into_iter().enumerate().map(score).collect())
}

/// The post-transform, which goes through f32 unless it is none.
fn transformed<T: Number>(transform: Transform, scores: Vec<T>) -> Vec<T>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
{
    if transform == Transform::None {
        return scores;
    }
    let singles: Vec<f32> = scores.iter().map(|s| s.as_()).collect();
    scores::finish(transform, singles, Second::None).iter().map(|s| s.as_()).collect()
}

/// The numbers of a list that is given plainly or as a tensor.
fn numbers<T: Number>(
    cx: &mut EvalCx<'_, '_>,
    plain: &[Float],
    tensor: Option<TensorId>,
) -> Result<Vec<T>, EvalError>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
{
    let Some(id) = tensor else { return Ok(plain.iter().map(|f| f.0.as_()).collect()) };
    match cx.module_tensor(id)?.to_f64s() {
        Some(v) => Ok(v.into_iter().map(AsPrimitive::as_).collect()),
        None => EvalError::failed("a tensor of the trees does not hold numbers"),
    }
}

/// The trees of a classifier or regressor of versions 1 and 3, with their thresholds and weights.
fn forest<T: Number>(
    lists: ensemble::Lists<'_>,
    thresholds: &[T],
    weights: &[T],
) -> Result<Forest<T>, EvalError>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
{
    let trees = lists.trees().map_err(EvalError::Failed)?;
    let mut votes = Vec::with_capacity(weights.len());
    let mut nodes = Vec::with_capacity(trees.nodes.len());
    for (i, node) in trees.nodes.into_iter().enumerate() {
        nodes.push(match node {
            ensemble::Node::Leaf(cast) => {
                let start = votes.len();
                for vote in cast {
                    let (Some(&target), Some(&weight)) =
                        (lists.targets.get(vote), weights.get(vote))
                    else {
                        continue;
                    };
                    let Ok(target) = usize::try_from(target) else {
                        return EvalError::failed(format!("a leaf votes for target {target}"));
                    };
                    votes.push((target, weight));
                }
                Node::Leaf(start..votes.len())
            }
            ensemble::Node::Branch { feature, test, missing_holds, holds, fails } => Node::Branch {
                feature: usize::try_from(feature).unwrap_or(usize::MAX),
                test: Test::Compare(test),
                threshold: thresholds.get(i).copied().unwrap_or_else(T::zero),
                missing_holds,
                holds,
                fails,
            },
        });
    }
    Ok(Forest { nodes, roots: trees.roots, votes })
}

/// Whether the trees compute in double precision.
fn double(cx: &EvalCx<'_, '_>) -> Result<bool, EvalError> {
    Ok(cx.array(0)?.dtype == DType::F64)
}

/// Trees that add up to targets.
pub fn tree_ensemble_regressor(cx: &mut EvalCx<'_, '_>, op: &TreeEnsembleRegressor) -> EvalResult {
    if double(cx)? { regressor::<f64>(cx, op) } else { regressor::<f32>(cx, op) }
}

fn regressor<T: Number>(cx: &mut EvalCx<'_, '_>, op: &TreeEnsembleRegressor) -> EvalResult
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    i64: AsPrimitive<T>,
    i32: AsPrimitive<T>,
    i16: AsPrimitive<T>,
    i8: AsPrimitive<T>,
    u64: AsPrimitive<T>,
    u32: AsPrimitive<T>,
    u16: AsPrimitive<T>,
    u8: AsPrimitive<T>,
{
    let x: Matrix<T> = matrix(cx, "tree_ensemble_regressor")?;
    let base: Vec<T> = numbers(cx, &op.base_values, op.base_values_as_tensor)?;
    let thresholds: Vec<T> = numbers(cx, &op.nodes_values, op.nodes_values_as_tensor)?;
    let weights: Vec<T> = numbers(cx, &op.target_weights, op.target_weights_as_tensor)?;
    let forest = forest(op.into(), &thresholds, &weights)?;
    let how = match op.aggregate_function.as_str() {
        "AVERAGE" => Aggregate::Average,
        "MIN" => Aggregate::Min,
        "MAX" => Aggregate::Max,
        _ => Aggregate::Sum,
    };
    let transform = Transform::parse(&op.post_transform);
    let targets = usize::try_from(op.n_targets).unwrap_or(0);
    cx.check_size(DType::F32, &[x.rows, targets])?;
    let mut out: Vec<f32> = Vec::with_capacity(x.rows * targets);
    for r in 0..x.rows {
        let scores = regress(&forest, x.row(r), targets, how, &base)?;
        out.extend(transformed(transform, scores).iter().map(|s| -> f32 { s.as_() }));
    }
    one(Array::from_vec(vec![x.rows, targets], out)?)
}

/// Trees of version 5.
pub fn tree_ensemble(cx: &mut EvalCx<'_, '_>, op: &TreeEnsemble) -> EvalResult {
    if double(cx)? { ensemble::<f64>(cx, op) } else { ensemble::<f32>(cx, op) }
}

fn ensemble<T: Number>(cx: &mut EvalCx<'_, '_>, op: &TreeEnsemble) -> EvalResult
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    i64: AsPrimitive<T>,
    i32: AsPrimitive<T>,
    i16: AsPrimitive<T>,
    i8: AsPrimitive<T>,
    u64: AsPrimitive<T>,
    u32: AsPrimitive<T>,
    u16: AsPrimitive<T>,
    u8: AsPrimitive<T>,
{
    let x: Matrix<T> = matrix(cx, "tree_ensemble")?;
    let dtype = cx.array(0)?.dtype;
    let splits: Vec<T> = numbers(cx, &[], Some(op.nodes_splits))?;
    let weights: Vec<T> = numbers(cx, &[], Some(op.leaf_weights))?;
    let modes = cx.module_tensor(op.nodes_modes)?.to_i64s().unwrap_or_default();
    let members: Vec<T> = match op.membership_values {
        Some(id) => numbers(cx, &[], Some(id))?,
        None => Vec::new(),
    };
    let mut sets = members.split(|m| m.is_nan());
    let count = op.nodes_featureids.len();
    let mut forest = Forest { nodes: Vec::new(), roots: Vec::new(), votes: Vec::new() };
    for (i, &feature) in op.nodes_featureids.iter().enumerate() {
        let next = |ids: &[i64], leafs: &[i64]| -> usize {
            let id = ids.get(i).and_then(|&n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            match leafs.get(i) {
                Some(0) if id < count => id,
                Some(0) | None => usize::MAX,
                Some(_) => id.saturating_add(count),
            }
        };
        let mode = modes.get(i).copied();
        let comparison = mode.and_then(|m| usize::try_from(m).ok());
        let test = match comparison.and_then(|m| ensemble::Test::ALL.get(m)) {
            Some(&test) => Test::Compare(test),
            None if mode == Some(6) => Test::Member(sets.next().unwrap_or_default().to_vec()),
            None => return EvalError::failed(format!("there is no mode {mode:?}")),
        };
        forest.nodes.push(Node::Branch {
            feature: usize::try_from(feature).unwrap_or(usize::MAX),
            test,
            threshold: splits.get(i).copied().unwrap_or_else(T::zero),
            missing_holds: op.nodes_missing_value_tracks_true.get(i) == Some(&1),
            holds: next(&op.nodes_truenodeids, &op.nodes_trueleafs),
            fails: next(&op.nodes_falsenodeids, &op.nodes_falseleafs),
        });
    }
    for (i, (&target, &weight)) in op.leaf_targetids.iter().zip(&weights).enumerate() {
        forest.votes.push((usize::try_from(target).unwrap_or(usize::MAX), weight));
        forest.nodes.push(Node::Leaf(i..i + 1));
    }
    forest.roots =
        op.tree_roots.iter().map(|&r| usize::try_from(r).unwrap_or(usize::MAX)).collect();
    let how = match op.aggregate_function {
        0 => Aggregate::Average,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        _ => Aggregate::Sum,
    };
    let transform = Transform::from_number(op.post_transform);
    let targets = usize::try_from(op.n_targets).unwrap_or(0);
    cx.check_size(dtype, &[x.rows, targets])?;
    let mut out: Vec<T> = Vec::with_capacity(x.rows * targets);
    for r in 0..x.rows {
        let scores = regress(&forest, x.row(r), targets, how, &[])?;
        out.extend(transformed(transform, scores));
    }
    let data: Data = T::wrap(out);
    one(Array::narrowed(dtype, vec![x.rows, targets], data)?)
}

/// Trees that vote for classes.
pub fn tree_ensemble_classifier(
    cx: &mut EvalCx<'_, '_>,
    op: &TreeEnsembleClassifier,
) -> EvalResult {
    if double(cx)? { classifier::<f64>(cx, op) } else { classifier::<f32>(cx, op) }
}

fn classifier<T: Number>(cx: &mut EvalCx<'_, '_>, op: &TreeEnsembleClassifier) -> EvalResult
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
    i64: AsPrimitive<T>,
    i32: AsPrimitive<T>,
    i16: AsPrimitive<T>,
    i8: AsPrimitive<T>,
    u64: AsPrimitive<T>,
    u32: AsPrimitive<T>,
    u16: AsPrimitive<T>,
    u8: AsPrimitive<T>,
{
    let x: Matrix<T> = matrix(cx, "tree_ensemble_classifier")?;
    let base: Vec<T> = numbers(cx, &op.base_values, op.base_values_as_tensor)?;
    let thresholds: Vec<T> = numbers(cx, &op.nodes_values, op.nodes_values_as_tensor)?;
    let weights: Vec<T> = numbers(cx, &op.class_weights, op.class_weights_as_tensor)?;
    let forest = forest(op.into(), &thresholds, &weights)?;
    let labels = Labels { ints: &op.classlabels_int64s, strings: &op.classlabels_strings };
    let classes = labels.len();
    let voter = Voter {
        classes,
        base,
        transform: Transform::parse(&op.post_transform),
        // All votes are for one of two classes.
        one_sided: classes == 2 && op.class_ids.iter().all(|c| Some(c) == op.class_ids.first()),
        all_positive: weights.iter().all(|w| *w >= T::zero()),
    };
    cx.check_size(DType::F32, &[x.rows, classes])?;
    let (mut ids, mut out) = (Vec::new(), Vec::new());
    for r in 0..x.rows {
        let votes = aggregate(&forest, x.row(r), classes, Aggregate::Sum)?;
        let (id, mut scores) = voter.decide(votes)?;
        scores.resize(classes, 0.0);
        ids.push(id);
        out.extend(scores);
    }
    // As ONNX Runtime does it: two classes that both get votes, and a lone one, are called 0 and 1.
    let unnamed = classes <= 2 && !voter.one_sided && labels.strings.is_empty();
    let chosen = if unnamed {
        Array::from_vec(vec![x.rows], ids.iter().map(|&i| i as i64).collect())?
    } else {
        labels.pick(&ids)?
    };
    let scores = Array::from_vec(vec![x.rows, classes], out)?;
    Ok(vec![Some(chosen.into()), Some(scores.into())])
}

/// What turns the votes of a row into a class and scores.
struct Voter<T> {
    classes: usize,
    base: Vec<T>,
    transform: Transform,
    one_sided: bool,
    all_positive: bool,
}

impl<T: Number> Voter<T>
where
    f64: AsPrimitive<T>,
    f32: AsPrimitive<T>,
{
    fn base(&self, i: usize) -> T {
        self.base.get(i).copied().unwrap_or_else(T::zero)
    }

    /// The position of the class, and the final scores.
    fn decide(&self, votes: Vec<Score<T>>) -> Result<(usize, Vec<f32>), EvalError> {
        let singles = |v: &[Score<T>]| -> Vec<f32> {
            v.iter().map(|s| s.unwrap_or_else(T::zero).as_()).collect()
        };
        if self.classes > 2 {
            return self.many(votes, &singles);
        }
        let [first, second] = [votes.first().copied().flatten(), votes.get(1).copied().flatten()];
        let mut default = Second::None;
        let scores: Vec<Score<T>> = match (self.base.len(), self.classes) {
            (2, 1) => {
                let s = first.unwrap_or_else(T::zero) + self.base(1);
                vec![Some(-s), Some(s)]
            }
            (1, 1) => vec![Some(first.unwrap_or_else(T::zero) + self.base(0))],
            (_, 1) => vec![Some(first.unwrap_or_else(T::zero))],
            // The base of the first class counts only where the second has no vote.
            (2, _) if second.is_some() => {
                let s = self.base(1) + first.unwrap_or_else(T::zero);
                vec![first.map(|_| -s), Some(s)]
            }
            (2, _) => vec![first.map(|s| s + self.base(0)), None],
            (n, _) => {
                if n == 0 {
                    default = Second::Negative;
                }
                let first = first.map(|s| s + self.base(0));
                if second.is_some() { vec![first, second] } else { vec![first] }
            }
        };
        let weight = match (scores.get(1).copied().flatten(), second.is_some() || self.classes == 1)
        {
            (Some(s), true) => s,
            _ => scores.first().copied().flatten().unwrap_or_else(T::zero),
        };
        let half: T = 0.5f64.as_();
        let (positive, form) = match (self.one_sided, self.all_positive) {
            (true, true) => (weight > half, Second::Rest),
            (true, false) => (weight > T::zero(), Second::Negative),
            (false, _) => (weight > T::zero(), default),
        };
        Ok((usize::from(positive), scores::finish(self.transform, singles(&scores), form)))
    }

    fn many(
        &self,
        mut votes: Vec<Score<T>>,
        singles: &dyn Fn(&[Score<T>]) -> Vec<f32>,
    ) -> Result<(usize, Vec<f32>), EvalError> {
        for (slot, &base) in votes.iter_mut().zip(&self.base) {
            *slot = Some(slot.map_or(base, |s| s + base));
        }
        let mut best: Option<(usize, T)> = None;
        for (i, s) in votes.iter().enumerate() {
            if let Some(s) = *s
                && best.is_none_or(|(_, b)| s > b)
            {
                best = Some((i, s));
            }
        }
        let Some((class, _)) = best else { return EvalError::failed("no class has a vote") };
        Ok((class, scores::finish(self.transform, singles(&votes), Second::None)))
    }
}
