//! Rules of the ml family: trees, linear models and tables.

use airconv_ir::array::Array;
use airconv_ir::attr::Float;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::ensemble::{Lists, Node};
use airconv_ir::entity::TensorId;
use airconv_ir::op::{Op, OpKind};

use super::cx::{Cx, Refuse, other};
use super::rules::Rule;
use crate::program::calls::*;
use crate::program::dtype::held;
use crate::program::{Arg, Func, Var};

pub(super) const RULES: &[(OpKind, Rule)] = &[
    (OpKind::TreeEnsembleRegressor, regressor),
    (OpKind::TreeEnsembleClassifier, classifier),
    (OpKind::LinearClassifier, linear_classifier),
    (OpKind::LabelEncoder, label_encoder),
    (OpKind::OneHotEncoder, one_hot_encoder),
];

/// The trees of an ensemble, with their thresholds and weights.
struct Ensemble<'a> {
    lists: Lists<'a>,
    thresholds: Vec<f32>,
    weights: Vec<f32>,
}

fn floats(cx: &Cx<'_, '_>, plain: &[Float], tensor: Option<TensorId>) -> Result<Vec<f32>, Refuse> {
    let Some(id) = tensor else { return Ok(plain.iter().map(|f| f.0 as f32).collect()) };
    match cx.l.module.tensors[id].to_array().ok().and_then(|a| a.to_f64s()) {
        Some(v) => Ok(v.into_iter().map(|x| x as f32).collect()),
        None => Refuse::because("a tensor of the trees does not hold numbers"),
    }
}

/// The rows of nodes, the roots, and the positions of votes.
type Nodes = (Vec<i64>, Vec<i64>, Vec<usize>);

impl Ensemble<'_> {
    /// The sums of votes as a variable: `[rows, count]` of `f32`.
    fn sums(&self, cx: &mut Cx<'_, '_>, count: usize) -> Result<Var, Refuse> {
        let ty = cx.ty(0)?;
        if ty.dtype == DType::F64 {
            return Refuse::because("its trees compare in double precision");
        }
        if ty.rank() != 2 {
            return Refuse::because("trees take rows of features");
        }
        let (nodes, roots, order) = self.nodes(count)?;
        let targets: Vec<i64> =
            order.iter().filter_map(|&v| self.lists.targets.get(v).copied()).collect();
        let votes: Vec<f32> = order.iter().filter_map(|&v| self.weights.get(v).copied()).collect();
        let rows = nodes.len() / 5;
        let mut thresholds = self.thresholds.clone();
        thresholds.resize(rows, 0.0);
        let ints = |shape: Vec<usize>, v: &[i64]| Array::from_i64s(DType::I64, shape, v);
        let arrays = [
            ("nodes", ints(vec![rows, 5], &nodes)),
            ("thresholds", Array::from_vec(vec![rows], thresholds)),
            ("roots", ints(vec![roots.len()], &roots)),
            ("targets", ints(vec![targets.len()], &targets)),
            ("votes", Array::from_vec(vec![votes.len()], votes)),
        ];
        let mut args = vec![Arg::from(cx.x(0)?)];
        for (name, array) in arrays {
            let array = array.map_err(|e| Refuse(e.to_string()))?;
            args.push(cx.named_literal(array, &format!("trees.{name}")).into());
        }
        args.push(Arg::Number(count));
        let rows = ty.shape.first().cloned().unwrap_or(Dim::Known(1));
        Ok(cx.temp(&TREE_VOTES, args, DType::F32, &[rows, Dim::Known(count as i64)]))
    }

    /// The rows of nodes one after the other, the roots, and votes in the order of leaves.
    fn nodes(&self, count: usize) -> Result<Nodes, Refuse> {
        let trees = self.lists.trees().map_err(Refuse)?;
        let fits = |v: &usize| {
            let target = self.lists.targets.get(*v).and_then(|&t| usize::try_from(t).ok());
            target.is_some_and(|t| t < count) && *v < self.weights.len()
        };
        let (mut nodes, mut order) = (Vec::new(), Vec::new());
        for node in trees.nodes {
            match node {
                Node::Leaf(votes) => {
                    if !votes.iter().all(fits) {
                        return Refuse::because("a vote has no target");
                    }
                    let start = order.len() as i64;
                    order.extend(votes);
                    nodes.extend([-1, 0, start, order.len() as i64, 0]);
                }
                Node::Branch { feature, .. } if feature < 0 => {
                    return Refuse::because("a node has no feature");
                }
                Node::Branch { feature, test, missing_holds, holds, fails } => {
                    let missing = i64::from(missing_holds);
                    nodes.extend([feature, test as i64, holds as i64, fails as i64, missing]);
                }
            }
        }
        Ok((nodes, trees.roots.into_iter().map(|r| r as i64).collect(), order))
    }
}

/// Adds numbers, one per column.
fn plus(cx: &mut Cx<'_, '_>, x: Var, base: &[f32]) -> Result<Var, Refuse> {
    if base.is_empty() || base.iter().all(|b| *b == 0.0) {
        return Ok(x);
    }
    let shape = cx.shape(x);
    if let [one] = base {
        let one = super::cx::tidy(DType::F32, f64::from(*one));
        return Ok(cx.temp(&ADD_SCALAR, vec![x.into(), Arg::Float(one)], DType::F32, &shape));
    }
    let array = Array::from_vec(vec![base.len()], base.to_vec());
    let base = cx.literal(array.map_err(|e| Refuse(e.to_string()))?);
    Ok(cx.temp(&BROADCAST_ADD, vec![x.into(), base.into()], DType::F32, &shape))
}

fn regressor<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::TreeEnsembleRegressor(t) = op else { return other() };
    let divisor = match t.aggregate_function.as_str() {
        "SUM" => None,
        "AVERAGE" => Some(()),
        _ => return Refuse::because("its trees are neither added nor averaged"),
    };
    if t.post_transform != "NONE" {
        return Refuse::because("its scores are transformed");
    }
    let count = usize::try_from(t.n_targets).unwrap_or(0);
    let base = floats(cx, &t.base_values, t.base_values_as_tensor)?;
    if count != 1 && !base.is_empty() {
        return Refuse::because("several targets have bases");
    }
    let trees = Ensemble {
        lists: t.into(),
        thresholds: floats(cx, &t.nodes_values, t.nodes_values_as_tensor)?,
        weights: floats(cx, &t.target_weights, t.target_weights_as_tensor)?,
    };
    let mut y = trees.sums(cx, count)?;
    if divisor.is_some() {
        let mut ids = t.nodes_treeids.clone();
        ids.dedup();
        let shape = cx.shape(y);
        let args = vec![y.into(), Arg::Float(ids.len() as f64)];
        y = cx.temp(&DIV_SCALAR, args, DType::F32, &shape);
    }
    let y = plus(cx, y, &base)?;
    cx.same(y)
}

/// The transform of scores of classes.
fn transformed(cx: &mut Cx<'_, '_>, x: Var, name: &str) -> Result<Var, Refuse> {
    let func: &'static Func = match name {
        "NONE" => return Ok(x),
        "LOGISTIC" => &SIGMOID,
        "SOFTMAX" => &SOFTMAX_LAST_DIM,
        _ => return Refuse::because("its scores are transformed in a way that candle lacks"),
    };
    let shape = cx.shape(x);
    Ok(cx.temp(func, vec![x.into()], DType::F32, &shape))
}

/// The labels at positions.
fn labels(cx: &mut Cx<'_, '_>, at: Var, labels: &[i64]) -> Result<(), Refuse> {
    let shape = cx.shape(at);
    let at = cx.as_dtype(at, DType::I64);
    if labels.iter().enumerate().all(|(i, &l)| i as i64 == l) {
        return cx.same_at(0, at);
    }
    let array = Array::from_i64s(DType::I64, vec![labels.len()], labels);
    let table = cx.named_literal(array.map_err(|e| Refuse(e.to_string()))?, "labels");
    let args = vec![table.into(), at.into(), Arg::Number(0)];
    let found = cx.temp(&INDEX_SELECT, args, DType::I64, &shape);
    cx.same_at(0, found)
}

/// The position of the first greatest score of each row.
fn greatest(cx: &mut Cx<'_, '_>, scores: Var) -> Var {
    let rows = cx.shape(scores).first().cloned().unwrap_or(Dim::Known(1));
    cx.temp(&ARGMAX, vec![scores.into(), Arg::Number(1)], DType::U32, &[rows])
}

fn classifier<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::TreeEnsembleClassifier(t) = op else { return other() };
    if !t.classlabels_strings.is_empty() {
        return Refuse::because("candle has no strings for labels");
    }
    let classes = t.classlabels_int64s.len();
    let base = floats(cx, &t.base_values, t.base_values_as_tensor)?;
    let trees = Ensemble {
        lists: t.into(),
        thresholds: floats(cx, &t.nodes_values, t.nodes_values_as_tensor)?,
        weights: floats(cx, &t.class_weights, t.class_weights_as_tensor)?,
    };
    let positive = trees.weights.iter().all(|w| *w >= 0.0);
    if classes > 2 {
        if base.len() != classes && !(positive && base.is_empty()) {
            return Refuse::because("a class may have neither votes nor a base");
        }
        let sums = trees.sums(cx, classes)?;
        let sums = plus(cx, sums, &base)?;
        let at = greatest(cx, sums);
        labels(cx, at, &t.classlabels_int64s)?;
        let scores = transformed(cx, sums, &t.post_transform)?;
        return cx.same_at(1, scores);
    }
    let one_sided = classes == 2 && t.class_ids.iter().all(|&c| c == 0);
    if !one_sided || base.len() > 1 {
        return Refuse::because("its votes are not all for the first of two classes");
    }
    let score = trees.sums(cx, 1)?;
    let score = plus(cx, score, &base)?;
    let limit = if positive { 0.5 } else { 0.0 };
    let column = cx.shape(score);
    let above = cx.temp(&GT_SCALAR, vec![score.into(), Arg::Float(limit)], DType::Bool, &column);
    let rows = column.first().cloned().unwrap_or(Dim::Known(1));
    let above = cx.temp(&SQUEEZE, vec![above.into(), Arg::Number(1)], DType::Bool, &[rows.clone()]);
    labels(cx, above, &t.classlabels_int64s)?;
    // The score of the other class is the rest to 1, or the opposite.
    let logistic = t.post_transform == "LOGISTIC";
    if t.post_transform == "PROBIT" {
        return Refuse::because("its scores are transformed in a way that candle lacks");
    }
    let add = if positive && !logistic { 1.0 } else { 0.0 };
    let args = vec![score.into(), Arg::Float(-1.0), Arg::Float(add)];
    let rest = cx.temp(&AFFINE, args, DType::F32, &column);
    let pair = [rows, Dim::Known(2)];
    let args = vec![Arg::Tensors(vec![rest, score]), Arg::Number(1)];
    let both = cx.temp(&CAT, args, DType::F32, &pair);
    let both = if logistic { transformed(cx, both, "LOGISTIC")? } else { both };
    cx.same_at(1, both)
}

/// Linear scores of three classes and more.
fn linear_classifier<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::LinearClassifier(l) = op else { return other() };
    let ty = cx.ty(0)?;
    let classes = l.classlabels_ints.len();
    if !l.classlabels_strings.is_empty() || classes < 2 || l.intercepts.len() != classes {
        return Refuse::because("it has labels that are strings, or one score");
    }
    let Some(columns) = l.coefficients.len().checked_div(classes).filter(|_| ty.rank() == 2) else {
        return Refuse::because("its coefficients do not go with the features");
    };
    let numbers = |v: &[Float]| v.iter().map(|f| f.0 as f32).collect::<Vec<f32>>();
    let array = Array::from_vec(vec![classes, columns], numbers(&l.coefficients));
    let weight = cx.named_literal(array.map_err(|e| Refuse(e.to_string()))?, "coefficients");
    let x = cx.x(0)?;
    let x = cx.as_dtype(x, DType::F32);
    let rows = ty.shape.first().cloned().unwrap_or(Dim::Known(1));
    let shape = [Dim::Known(columns as i64), Dim::Known(classes as i64)];
    let turned = cx.temp(&T, vec![weight.into()], DType::F32, &shape);
    let shape = [rows, Dim::Known(classes as i64)];
    let scores = cx.temp(&MATMUL, vec![x.into(), turned.into()], DType::F32, &shape);
    let scores = plus(cx, scores, &numbers(&l.intercepts))?;
    let at = greatest(cx, scores);
    labels(cx, at, &l.classlabels_ints)?;
    let scores = transformed(cx, scores, &l.post_transform)?;
    cx.same_at(1, scores)
}

/// Each element compared with each category, along a new last axis.
fn one_hot_encoder<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::OneHotEncoder(o) = op else { return other() };
    let dtype = cx.ty(0)?.dtype;
    if !o.cats_strings.is_empty() || held(dtype).is_none() {
        return Refuse::because("candle has no strings for categories");
    }
    if !o.zeros {
        return Refuse::because("it fails where a category is unknown");
    }
    let x = cx.x(0)?;
    let x = cx.as_dtype(x, DType::I64);
    let mut shape = cx.shape(x);
    let count = o.cats_int64s.len();
    let categories = Array::from_i64s(DType::I64, vec![count], &o.cats_int64s);
    let categories = cx.named_literal(categories.map_err(|e| Refuse(e.to_string()))?, "categories");
    let axis = shape.len();
    shape.push(Dim::Known(1));
    let x = cx.temp(&UNSQUEEZE, vec![x.into(), Arg::Number(axis)], DType::I64, &shape);
    if let Some(last) = shape.last_mut() {
        *last = Dim::Known(count as i64);
    }
    let same = cx.temp(&EQ, vec![x.into(), categories.into()], DType::Bool, &shape);
    cx.done(&TO_DTYPE, vec![same.into(), Arg::DType(DType::F32)])
}

fn label_encoder<'m>(cx: &mut Cx<'_, 'm>, op: &'m Op) -> Result<(), Refuse> {
    let Op::LabelEncoder(l) = op else { return other() };
    let mut args = vec![Arg::from(cx.x(0)?)];
    for (id, name) in [(l.keys, "keys"), (l.values, "values"), (l.default, "default")] {
        let t = &cx.l.module.tensors[id];
        if held(t.dtype).is_none() {
            return Refuse::because(format!("candle has no {}", t.dtype));
        }
        let array = t.to_array().map_err(|e| Refuse(e.to_string()))?;
        args.push(cx.named_literal(array, &format!("table.{name}")).into());
    }
    cx.done(&LOOKUP, args)
}
