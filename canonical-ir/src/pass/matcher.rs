//! Helpers to recognise patterns above a node.
//!
//! Elementwise operands are wrapped in `broadcast` nodes; a pattern looks through these where
//! only the elements matter. A [`Pattern`] collects the nodes that it consumed, so that it can
//! be asked at the end whether anything else needs what they compute.

use super::PassCx;
use super::editor::Site;
use crate::array::Array;
use crate::dim::Dim;
use crate::dtype::{Class, DType};
use crate::entity::{NodeId, TensorId, ValueId};
use crate::module::Node;
use crate::op::{Op, OpKind};
use crate::tensor::{Storage, Tensor};
use crate::types::TensorType;

/// Why a candidate is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decline {
    /// It is not the pattern.
    NoMatch,
    /// It is the pattern but for this.
    Because(&'static str),
}

/// The outcome of a match.
pub type Matched<T> = Result<T, Decline>;

/// A pattern was found but for one thing.
pub fn because<T>(why: &'static str) -> Matched<T> {
    Err(Decline::Because(why))
}

/// Turns a part that was not found into [`Decline::NoMatch`].
pub trait OrNoMatch<T> {
    /// The part, or no match.
    fn or_no(self) -> Matched<T>;
}

impl<T> OrNoMatch<T> for Option<T> {
    fn or_no(self) -> Matched<T> {
        self.ok_or(Decline::NoMatch)
    }
}

/// No match unless it holds.
pub fn only(holds: bool) -> Matched<()> {
    if holds { Ok(()) } else { Err(Decline::NoMatch) }
}

/// The distance between 1 and the next value of a float dtype.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        DType::F32 => f64::from(f32::EPSILON),
        DType::F16 => 1.0 / 1024.0,
        DType::BF16 => 1.0 / 128.0,
        _ => 0.0,
    }
}

/// Whether a constant of a dtype stands for a number: equal to it but for rounding.
pub fn stands_for(dtype: DType, constant: f64, number: f64) -> bool {
    // Programs often write constants that were rounded to f32 before.
    let unit = epsilon(dtype).max(f64::from(f32::EPSILON));
    constant == number || (constant - number).abs() <= 2.0 * unit * number.abs()
}

impl Site<'_> {
    /// The node that makes a value.
    pub fn def(&self, value: ValueId) -> Option<(NodeId, &Node)> {
        let id = self.producer(value)?;
        Some((id, self.f().nodes.get(id)?))
    }
    /// The tensor type of a value.
    pub fn tensor_ty(&self, value: ValueId) -> Option<&TensorType> {
        self.ty(value).as_tensor()
    }
    /// The value before broadcasts.
    pub fn unbroadcast(&self, mut value: ValueId) -> ValueId {
        for _ in 0..8 {
            match self.def(value) {
                Some((_, Node { op: Op::Broadcast(_), operands, .. })) => {
                    match operands.first().copied().flatten() {
                        Some(inner) => value = inner,
                        None => break,
                    }
                }
                _ => break,
            }
        }
        value
    }
    /// The tensor of a constant.
    pub fn constant(&self, value: ValueId) -> Option<(TensorId, &Tensor)> {
        match self.def(value)?.1.op {
            Op::Constant(ref c) => Some((c.tensor, self.module().tensors.get(c.tensor)?)),
            _ => None,
        }
    }
    /// The elements of a constant of at most so many bytes.
    pub fn constant_array(&self, value: ValueId, most: u64) -> Option<Array> {
        let (_, tensor) = self.constant(value)?;
        let small = tensor.byte_len().is_some_and(|n| n <= most);
        if small { tensor.to_array().ok() } else { None }
    }
    /// The number that all elements of a value are, seen through broadcasts: a constant of one
    /// element, or one that is stored as a repetition of one.
    pub fn scalar(&self, value: ValueId) -> Option<f64> {
        let value = self.unbroadcast(value);
        let tensor = match &self.def(value)?.1.op {
            Op::Constant(c) => self.module().tensors.get(c.tensor)?,
            Op::Full(f) => self.module().tensors.get(f.value)?,
            _ => return None,
        };
        let splat = matches!(tensor.storage, Storage::Splat(_)) && tensor.numel() != Some(0);
        if tensor.numel() != Some(1) && !splat {
            return None;
        }
        let one = Tensor { dims: Vec::new(), ..tensor.clone() };
        match tensor.dtype.class() {
            Class::Float | Class::Signed | Class::Unsigned => {
                one.to_array().ok()?.to_f64s()?.first().copied()
            }
            Class::Bool | Class::Complex | Class::String => None,
        }
    }
    /// Whether all elements of a value stand for a number.
    pub fn is_scalar(&self, value: ValueId, number: f64) -> bool {
        let Some(dtype) = self.ty(value).dtype() else { return false };
        self.scalar(value).is_some_and(|c| stands_for(dtype, c, number))
    }
    /// The single bool that all elements of a value are.
    pub fn truth(&self, value: ValueId) -> Option<bool> {
        let array = self.constant_array(self.unbroadcast(value), 4096)?;
        let values = array.as_slice::<bool>()?;
        let first = *values.first()?;
        values.iter().all(|&v| v == first).then_some(first)
    }
}

/// A pattern that is being matched above a root node.
pub struct Pattern<'p, 's> {
    /// The root.
    pub site: &'p Site<'s>,
    /// The nodes below the root that are part of the pattern.
    pub consumed: Vec<NodeId>,
}

impl<'p, 's> Pattern<'p, 's> {
    /// A pattern at a node.
    pub fn at(site: &'p Site<'s>) -> Self {
        Self { site, consumed: Vec::new() }
    }
    fn consume(&mut self, node: NodeId) {
        if node != self.site.node && !self.consumed.contains(&node) {
            self.consumed.push(node);
        }
    }
    /// The node of this kind that makes a value, seen through broadcasts.
    pub fn find(&mut self, value: ValueId, kind: OpKind) -> Matched<&'p Node> {
        let site = self.site;
        let inner = site.unbroadcast(value);
        let (id, node) = site.def(inner).or_no()?;
        only(node.op.kind() == kind)?;
        let mut v = value;
        while v != inner {
            let (id, node) = site.def(v).or_no()?;
            self.consume(id);
            v = node.operand(0).or_no()?;
        }
        self.consume(id);
        Ok(node)
    }
    /// The operand of a unary node of this kind.
    pub fn unary(&mut self, value: ValueId, kind: OpKind) -> Matched<ValueId> {
        self.find(value, kind)?.operand(0).or_no()
    }
    /// The two operands of a node of this kind.
    pub fn binary(&mut self, value: ValueId, kind: OpKind) -> Matched<(ValueId, ValueId)> {
        let node = self.find(value, kind)?;
        Ok((node.operand(0).or_no()?, node.operand(1).or_no()?))
    }
    /// The other operand of a commutative node of this kind whose one operand is a number.
    pub fn with_scalar(&mut self, value: ValueId, kind: OpKind) -> Matched<(ValueId, f64)> {
        let (a, b) = self.binary(value, kind)?;
        if let Some(c) = self.site.scalar(b) {
            return Ok((a, c));
        }
        Ok((b, self.site.scalar(a).or_no()?))
    }
    /// Tries both orders of two values; what a failed try consumed is forgotten.
    pub fn either<T>(
        &mut self,
        (a, b): (ValueId, ValueId),
        mut f: impl FnMut(&mut Self, ValueId, ValueId) -> Matched<T>,
    ) -> Matched<T> {
        let mark = self.consumed.len();
        match f(self, a, b) {
            Ok(found) => Ok(found),
            Err(first) => {
                self.consumed.truncate(mark);
                f(self, b, a).map_err(|second| match first {
                    Decline::NoMatch => second,
                    because => because,
                })
            }
        }
    }
    /// Tries one form, then another; what a failed try consumed is forgotten.
    pub fn or<T>(
        &mut self,
        first: impl FnOnce(&mut Self) -> Matched<T>,
        second: impl FnOnce(&mut Self) -> Matched<T>,
    ) -> Matched<T> {
        let mark = self.consumed.len();
        match first(self) {
            Err(Decline::NoMatch) => {
                self.consumed.truncate(mark);
                second(self)
            }
            other => other,
        }
    }
    /// Whether two values are one, seen through broadcasts.
    pub fn same(&self, a: ValueId, b: ValueId) -> bool {
        self.site.unbroadcast(a) == self.site.unbroadcast(b)
    }
    /// Fails when something outside the pattern uses what its nodes compute, or when the
    /// result is a narrow float: one op rounds once where the nodes rounded at each step.
    pub fn closed(&self) -> Matched<()> {
        let f = self.site.f();
        for v in f.nodes[self.site.node].outputs() {
            let dtype = self.site.ty(v).dtype();
            if dtype.is_some_and(|d| d.is_float() && !matches!(d, DType::F32 | DType::F64)) {
                return because("fusing would leave out roundings of a narrow float");
            }
        }
        let mut inside: rustc_hash::FxHashMap<ValueId, u32> = Default::default();
        for &node in self.consumed.iter().chain([&self.site.node]) {
            for v in f.nodes[node].inputs() {
                *inside.entry(v).or_default() += 1;
            }
        }
        for &node in &self.consumed {
            for v in f.nodes[node].outputs() {
                if inside.get(&v).copied().unwrap_or(0) != self.site.uses(v) {
                    return because("an intermediate value has other uses");
                }
            }
        }
        Ok(())
    }

    /// Takes a product apart: factors that are not numbers, and the product of the numbers.
    /// Products and quotients by numbers within are taken apart too while nothing else uses
    /// them.
    pub fn factors(&mut self, value: ValueId) -> (Vec<ValueId>, f64) {
        let (mut factors, mut number) = (Vec::new(), 1.0);
        let mut todo = vec![(value, true)];
        while let Some((v, top)) = todo.pop() {
            if let Some(c) = self.site.scalar(v) {
                number *= c;
                continue;
            }
            let (site, inner) = (self.site, self.site.unbroadcast(v));
            let own = top || (site.uses(inner) == 1 && site.uses(v) == 1);
            let def = site.def(inner).filter(|_| own && factors.len() + todo.len() < 8);
            match def {
                Some((id, node)) if matches!(node.op, Op::Mul(_)) => {
                    self.consume(id);
                    todo.extend(node.inputs().rev().map(|x| (x, false)));
                }
                Some((id, node)) if matches!(node.op, Op::Neg(_)) => {
                    self.consume(id);
                    number = -number;
                    todo.extend(node.inputs().map(|x| (x, false)));
                }
                Some((id, node)) if matches!(node.op, Op::Div(_)) => {
                    match (node.operand(0), node.operand(1).and_then(|d| site.scalar(d))) {
                        (Some(x), Some(c)) => {
                            self.consume(id);
                            number /= c;
                            todo.push((x, false));
                        }
                        _ => factors.push(inner),
                    }
                }
                _ => factors.push(inner),
            }
        }
        (factors, number)
    }

    /// Takes a sum of a number and one other value apart.
    pub fn shifted(&mut self, value: ValueId) -> Matched<(ValueId, f64)> {
        self.or(
            |p| p.with_scalar(value, OpKind::Add),
            |p| {
                let (x, c) = p.binary(value, OpKind::Sub)?;
                Ok((x, -p.site.scalar(c).or_no()?))
            },
        )
    }
}

/// Runs a match at a node and records why a near miss was declined. Gives what was found and
/// the nodes of the pattern below the root.
pub fn matching<T>(
    site: &Site<'_>,
    cx: &mut PassCx,
    find: impl FnOnce(&mut Pattern<'_, '_>) -> Matched<T>,
) -> Option<(T, Vec<NodeId>)> {
    let mut pattern = Pattern::at(site);
    match find(&mut pattern) {
        Ok(found) => Some((found, pattern.consumed)),
        Err(Decline::NoMatch) => None,
        Err(Decline::Because(why)) => {
            site.decline(cx, why);
            None
        }
    }
}

/// The axes of a rank, from one on.
pub fn axes_from(axes: &[i64], rank: usize) -> Option<usize> {
    let mut sorted = axes.to_vec();
    sorted.sort_unstable();
    let first = usize::try_from(*sorted.first()?).ok()?;
    let wanted: Vec<i64> = (first..rank).map(|a| a as i64).collect();
    (sorted == wanted).then_some(first)
}

/// Whether all sizes are known numbers.
pub fn all_known(dims: &[Dim]) -> Option<Vec<i64>> {
    dims.iter().map(Dim::as_known).collect()
}
