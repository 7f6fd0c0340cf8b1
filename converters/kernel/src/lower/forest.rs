//! Tree ensembles as flat tables: what the three tree ops of the hub have in common.
//!
//! The nodes that roots lead to are numbered anew. A leaf leads to itself, so that a walk may
//! go on past it; a test for membership is a chain of tests for equality.

use airconv_ir::attr::Float;
use airconv_ir::dtype::DType;
use airconv_ir::ensemble::{Lists, Node};
use airconv_ir::entity::TensorId;
use airconv_ir::module::Module;
use airconv_ir::op::{TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor};

use super::Stop;
use super::code::{integers_of, numbers_of};

pub(super) use airconv_ir::ensemble::Test;

/// The comparisons of all nodes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tests {
    /// All the same.
    One(Test),
    /// The number of each node's.
    Each(TensorId),
}

/// What leaves vote for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Votes {
    /// Each leaf has one vote, and all are for one target: the weight of each node.
    Single {
        /// The target.
        target: i64,
        /// Weight per node.
        weights: TensorId,
    },
    /// The votes of each node begin at an index, and end where those of the next one begin.
    Many {
        /// Where the votes of each node begin, and the number of votes.
        first: TensorId,
        /// Target per vote.
        targets: TensorId,
        /// Weight per vote.
        weights: TensorId,
    },
}

/// An ensemble.
#[derive(Clone, Debug)]
pub(super) struct Forest {
    /// Whether it computes in double precision.
    pub double: bool,
    /// How many trees.
    pub trees: i64,
    /// The most nodes between a root and a leaf, the root included.
    pub depth: u32,
    /// The root of each tree.
    pub roots: TensorId,
    /// Feature per node.
    pub features: TensorId,
    /// Threshold per node.
    pub thresholds: TensorId,
    /// Two per node: where to go when the test fails, and when it holds.
    pub next: TensorId,
    /// The comparisons.
    pub tests: Tests,
    /// Whether NaN counts as true, per node; never when absent.
    pub missing: Option<TensorId>,
    /// The greatest feature that is asked for.
    pub features_end: i64,
    /// The votes.
    pub votes: Votes,
    /// Whether every row has a vote for each target.
    pub complete: bool,
    /// Whether no weight is negative.
    pub all_positive: bool,
    /// Whether a weight is NaN.
    pub has_nan: bool,
}

/// A node before it is numbered.
enum Raw {
    Branch { feature: i64, test: Test, threshold: f64, missing: bool, holds: usize, fails: usize },
    Leaf(Vec<(i64, f64)>),
}

fn refuse<T>(why: &str) -> Result<T, Stop> {
    Err(Stop::Unsupported(why.to_owned()))
}

/// The numbers of a list that is given plainly or as a tensor, rounded to single precision
/// unless the trees compute in double.
fn numbers(
    module: &Module,
    plain: &[Float],
    tensor: Option<TensorId>,
    double: bool,
) -> Result<Vec<f64>, Stop> {
    let mut list: Vec<f64> = match tensor {
        None => plain.iter().map(|f| f.0).collect(),
        Some(id) => match module.tensors[id].to_array().ok().and_then(|a| a.to_f64s()) {
            Some(list) => list,
            None => return refuse("a tensor of the trees does not hold numbers"),
        },
    };
    if !double {
        list.iter_mut().for_each(|x| *x = f64::from(*x as f32));
    }
    Ok(list)
}

/// The nodes of a classifier or regressor of versions 1 and 3, with their thresholds and weights.
fn raw(
    lists: Lists<'_>,
    thresholds: &[f64],
    weights: &[f64],
) -> Result<(Vec<Raw>, Vec<usize>), Stop> {
    let trees = lists.trees().map_err(Stop::Unsupported)?;
    let vote = |v: usize| Some((*lists.targets.get(v)?, *weights.get(v)?));
    let node = |(i, node): (usize, Node)| match node {
        Node::Leaf(votes) => Raw::Leaf(votes.into_iter().filter_map(vote).collect()),
        Node::Branch { feature, test, missing_holds, holds, fails } => {
            let threshold = thresholds.get(i).copied().unwrap_or(0.0);
            Raw::Branch { feature, test, threshold, missing: missing_holds, holds, fails }
        }
    };
    Ok((trees.nodes.into_iter().enumerate().map(node).collect(), trees.roots))
}

/// The tables of a regressor.
pub(super) fn of_regressor(
    module: &mut Module,
    op: &TreeEnsembleRegressor,
    double: bool,
) -> Result<Forest, Stop> {
    let get = |plain: &[Float], tensor| numbers(module, plain, tensor, double);
    let thresholds = get(&op.nodes_values, op.nodes_values_as_tensor)?;
    let weights = get(&op.target_weights, op.target_weights_as_tensor)?;
    let (nodes, roots) = raw(op.into(), &thresholds, &weights)?;
    numbered(module, nodes, &roots, op.n_targets, double)
}

/// The tables of a classifier with this many classes.
pub(super) fn of_classifier(
    module: &mut Module,
    op: &TreeEnsembleClassifier,
    double: bool,
) -> Result<Forest, Stop> {
    let get = |plain: &[Float], tensor| numbers(module, plain, tensor, double);
    let thresholds = get(&op.nodes_values, op.nodes_values_as_tensor)?;
    let weights = get(&op.class_weights, op.class_weights_as_tensor)?;
    let (nodes, roots) = raw(op.into(), &thresholds, &weights)?;
    let classes = op.classlabels_int64s.len().max(op.classlabels_strings.len()) as i64;
    let all_positive = weights.iter().all(|w| *w >= 0.0);
    let made = numbered(module, nodes, &roots, classes, double)?;
    Ok(Forest { all_positive, ..made })
}

/// The base values of an ensemble.
pub(super) fn bases(
    module: &Module,
    plain: &[Float],
    tensor: Option<TensorId>,
    double: bool,
) -> Result<Vec<f64>, Stop> {
    numbers(module, plain, tensor, double)
}

/// The tables of trees of version 5.
pub(super) fn of_ensemble(
    module: &mut Module,
    op: &TreeEnsemble,
    double: bool,
) -> Result<Forest, Stop> {
    let splits = numbers(module, &[], Some(op.nodes_splits), double)?;
    let weights = numbers(module, &[], Some(op.leaf_weights), double)?;
    let modes = module.tensors[op.nodes_modes].to_array().ok().and_then(|a| a.to_i64s());
    let Some(modes) = modes else { return refuse("modes that are not integers") };
    let members = match op.membership_values {
        Some(id) => numbers(module, &[], Some(id), double)?,
        None => Vec::new(),
    };
    let mut sets = members.split(|m| m.is_nan());
    let count = op.nodes_featureids.len();
    let leaves = op.leaf_targetids.len();
    let mut nodes: Vec<Raw> = Vec::with_capacity(count + leaves);
    // Tests for membership that go on, placed after the leaves.
    let mut chained: Vec<Raw> = Vec::new();
    for (i, &feature) in op.nodes_featureids.iter().enumerate() {
        let next = |ids: &[i64], leafs: &[i64]| -> usize {
            let id = ids.get(i).and_then(|&n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
            match leafs.get(i) {
                Some(0) if id < count => id,
                Some(0) | None => usize::MAX,
                Some(_) => match id.checked_add(count) {
                    Some(id) if id < count + leaves => id,
                    _ => usize::MAX,
                },
            }
        };
        let holds = next(&op.nodes_truenodeids, &op.nodes_trueleafs);
        let fails = next(&op.nodes_falsenodeids, &op.nodes_falseleafs);
        let missing = op.nodes_missing_value_tracks_true.get(i) == Some(&1);
        let test = |test, threshold, fails| Raw::Branch {
            feature,
            test,
            threshold,
            missing,
            holds,
            fails,
        };
        let split = splits.get(i).copied().unwrap_or(0.0);
        let mode = modes.get(i).copied().unwrap_or(-1);
        nodes.push(match usize::try_from(mode).ok().and_then(|m| Test::ALL.get(m)) {
            Some(&mode) => test(mode, split, fails),
            None if mode == 6 => {
                // Nothing equals NaN.
                let set = sets.next().filter(|s| !s.is_empty()).unwrap_or(&[f64::NAN]);
                let after = |k: usize| count + leaves + k;
                let mut values = set.iter().rev();
                let last = values.next().copied().unwrap_or(f64::NAN);
                let mut node = test(Test::Equal, last, fails);
                for &value in values {
                    chained.push(node);
                    node = test(Test::Equal, value, after(chained.len() - 1));
                }
                node
            }
            None => return refuse("a node without a mode"),
        });
    }
    for (&target, &weight) in op.leaf_targetids.iter().zip(&weights) {
        nodes.push(Raw::Leaf(vec![(target, weight)]));
    }
    if nodes.len() != count + leaves {
        return refuse("leaves without weights");
    }
    nodes.append(&mut chained);
    let roots: Vec<usize> =
        op.tree_roots.iter().map(|&r| usize::try_from(r).unwrap_or(usize::MAX)).collect();
    numbered(module, nodes, &roots, op.n_targets, double)
}

/// The most nodes between each node and a leaf, itself included when it branches; for those
/// that a root leads to.
fn heights(nodes: &[Raw], roots: &[usize]) -> Result<Vec<Option<u32>>, Stop> {
    let mut heights: Vec<Option<u32>> = vec![None; nodes.len()];
    let mut open = vec![false; nodes.len()];
    let mut todo: Vec<(usize, bool)> = roots.iter().rev().map(|&r| (r, false)).collect();
    while let Some((at, seen)) = todo.pop() {
        let Some(node) = nodes.get(at) else {
            return refuse("a node leads to one that does not exist");
        };
        if heights[at].is_some() {
            continue;
        }
        let &Raw::Branch { holds, fails, .. } = node else {
            heights[at] = Some(0);
            continue;
        };
        if seen {
            let below = |n: usize| heights.get(n).copied().flatten().unwrap_or(0);
            heights[at] = Some(1 + below(holds).max(below(fails)));
            continue;
        }
        if std::mem::replace(&mut open[at], true) {
            return refuse("the nodes of a tree form a cycle");
        }
        todo.extend([(at, true), (fails, false), (holds, false)]);
    }
    Ok(heights)
}

/// Whether every row has a vote for each target: for each there is a tree all of whose leaves
/// vote for it.
fn complete(nodes: &[Raw], roots: &[usize], targets: i64) -> bool {
    let mut sure = std::collections::BTreeSet::new();
    for &root in roots {
        let mut common: Option<Vec<i64>> = None;
        let mut todo = vec![root];
        while let Some(at) = todo.pop() {
            match nodes.get(at) {
                Some(Raw::Branch { holds, fails, .. }) => {
                    todo.extend([*holds, *fails]);
                    if todo.len() > nodes.len() {
                        // Nodes with more than one way to them: not worth the time.
                        return false;
                    }
                }
                Some(Raw::Leaf(votes)) => {
                    let here = votes.iter().map(|(t, _)| *t);
                    match &mut common {
                        None => common = Some(here.collect()),
                        Some(list) => list.retain(|t| votes.iter().any(|(u, _)| u == t)),
                    }
                }
                None => return false,
            }
            if common.as_ref().is_some_and(Vec::is_empty) {
                break;
            }
        }
        sure.extend(common.into_iter().flatten());
    }
    (0..targets).all(|t| sure.contains(&t))
}

/// Numbers the nodes that roots lead to and makes tables of them.
fn numbered(
    module: &mut Module,
    nodes: Vec<Raw>,
    roots: &[usize],
    targets: i64,
    double: bool,
) -> Result<Forest, Stop> {
    let heights = heights(&nodes, roots)?;
    let mut numbers = vec![0i64; nodes.len()];
    let mut count = 0i64;
    for (slot, height) in numbers.iter_mut().zip(&heights) {
        if height.is_some() {
            *slot = count;
            count += 1;
        }
    }
    let number = |n: usize| numbers.get(n).copied().unwrap_or(0);
    let (mut features, mut thresholds, mut next) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tests, mut missing) = (Vec::new(), Vec::new());
    let (mut first, mut vote_targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    let mut leaves = Vec::new();
    for (i, (node, _)) in nodes.iter().zip(&heights).enumerate().filter(|(_, (_, h))| h.is_some()) {
        first.push(vote_targets.len() as i64);
        match node {
            Raw::Branch { feature, test, threshold, missing: nan, holds, fails } => {
                if *feature < 0 {
                    return refuse("a node asks for a feature that does not exist");
                }
                features.push(*feature);
                thresholds.push(*threshold);
                next.extend([number(*fails), number(*holds)]);
                tests.push(Some(*test));
                missing.push(i64::from(*nan));
            }
            Raw::Leaf(votes) => {
                features.push(0);
                thresholds.push(0.0);
                next.extend([number(i), number(i)]);
                tests.push(None);
                missing.push(0);
                leaves.push(votes.len());
                for &(target, weight) in votes {
                    if !(0..targets).contains(&target) {
                        return refuse("a leaf votes for a target that does not exist");
                    }
                    vote_targets.push(target);
                    weights.push(weight);
                }
            }
        }
    }
    first.push(vote_targets.len() as i64);
    if count > i64::from(i32::MAX / 2) {
        return refuse("more nodes than indices reach");
    }
    let float = if double { DType::F64 } else { DType::F32 };
    let mut kinds: Vec<Test> = tests.iter().flatten().copied().collect();
    kinds.dedup();
    let one = kinds.first().copied().unwrap_or(Test::Equal);
    let tests = if kinds.iter().all(|&k| k == one) {
        Tests::One(one)
    } else {
        let codes: Vec<i64> = tests.iter().map(|t| t.map_or(0, |t| t as i64)).collect();
        Tests::Each(integers_of(module, DType::U8, &codes)?)
    };
    let missing =
        if missing.contains(&1) { Some(integers_of(module, DType::U8, &missing)?) } else { None };
    let all_positive = weights.iter().all(|w| *w >= 0.0);
    let has_nan = weights.iter().any(|w| w.is_nan());
    let same = vote_targets.first().filter(|t| vote_targets.iter().all(|u| u == *t)).copied();
    let votes = match same {
        Some(target) if leaves.iter().all(|&n| n == 1) => {
            let each: Vec<f64> = first
                .windows(2)
                .map(|w| if w[0] < w[1] { weights.get(w[0] as usize).copied() } else { None })
                .map(|w| w.unwrap_or(0.0))
                .collect();
            Votes::Single { target, weights: numbers_of(module, float, &each)? }
        }
        _ => Votes::Many {
            first: integers_of(module, DType::I32, &first)?,
            targets: integers_of(module, DType::I32, &vote_targets)?,
            weights: numbers_of(module, float, &weights)?,
        },
    };
    let root_numbers: Vec<i64> = roots.iter().map(|&r| number(r)).collect();
    let features_end = features.iter().copied().max().unwrap_or(0) + 1;
    Ok(Forest {
        double,
        trees: roots.len() as i64,
        depth: roots.iter().filter_map(|&r| heights.get(r).copied().flatten()).max().unwrap_or(0),
        roots: integers_of(module, DType::I32, &root_numbers)?,
        features: integers_of(module, DType::I32, &features)?,
        thresholds: numbers_of(module, float, &thresholds)?,
        next: integers_of(module, DType::I32, &next)?,
        tests,
        missing,
        features_end,
        votes,
        complete: complete(&nodes, roots, targets),
        all_positive,
        has_nan,
    })
}
