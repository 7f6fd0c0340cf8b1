//! Which values lie in memory with their channels last.
//!
//! A convolution whose operands lie channel by channel last is a product whose rows are pixels:
//! each tap is a run of floats that lie together, nothing is packed, and padding is a run of
//! zeros. Where a program has such convolutions, their results, and what is made from those
//! element by element, lie in that order; all indices follow. Whatever needs the elements in
//! row-major order (the host, outputs, views of other ranks that are settled) gets a copy.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::module::{Function, Node};
use airconv_ir::op::{self, AutoPad, Op, PadMode};
use rustc_hash::{FxHashMap, FxHashSet};

use super::compute::needed;
use super::nest::around;
use super::pull::Pull;
use super::{Lowerer, Place, Stop, weight};
use crate::ir::{Access, BufferId, BufferKind};
use crate::phases;

/// The fewest channels of a result that make a vector.
const FEW: i64 = 8;

/// The fewest channels that a tap reads one after another, so that padding is tested for a run
/// and not for each element.
const RUN: i64 = 8;

/// The axes of a value that lies channel by channel last, outermost first.
fn channel_last(rank: usize) -> Vec<usize> {
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

/// The shape of a value that has channels and places: batch, channels, and up to three axes.
fn image(f: &Function, v: ValueId) -> Option<Vec<i64>> {
    let t = f.ty(v).as_tensor()?;
    let pixels = matches!(t.dtype, DType::F32 | DType::I32 | DType::U8 | DType::I8);
    if !pixels || !(3..=5).contains(&t.shape.len()) {
        return None;
    }
    t.shape.iter().map(Dim::as_known).collect()
}

/// Whether it makes a difference where the channels lie.
fn matters(shape: &[i64]) -> bool {
    shape[1] > 1 && shape[2..].iter().any(|&n| n > 1)
}

/// The values of a function that are best stored channel by channel last.
pub(super) fn find(f: &Function) -> FxHashSet<ValueId> {
    let mut found = FxHashSet::default();
    // Values that are made from such ones, with their batch and channels.
    let mut kin: FxHashMap<ValueId, [i64; 2]> = FxHashMap::default();
    for (_, region) in f.regions.iter() {
        for &id in &region.nodes {
            let node = &f.nodes[id];
            let Some(v) = node.result(0) else { continue };
            let of_operand = inherited(f, node, v, &kin);
            if let Some(of) = of_operand {
                kin.insert(v, of);
            }
            let Some(shape) = image(f, v) else { continue };
            let last = match &node.op {
                Op::Conv(c) => convolves(f, node, c, &found),
                Op::Concat(_) => {
                    let last = node.inputs().filter(|x| kin.contains_key(x)).count();
                    last > 0 && 2 * last >= node.inputs().count()
                }
                _ => of_operand == Some([shape[0], shape[1]]),
            };
            if last && matters(&shape) {
                found.insert(v);
                kin.insert(v, [shape[0], shape[1]]);
            }
        }
    }
    found
}

/// The batch and channels of the images that a value is made from: by views and ops that leave
/// channels apart, or by a form in between of the same elements (the groups of a normalisation).
fn inherited(
    f: &Function,
    node: &Node,
    v: ValueId,
    kin: &FxHashMap<ValueId, [i64; 2]>,
) -> Option<[i64; 2]> {
    let shape = |x: ValueId| -> Option<Vec<i64>> {
        f.ty(x).as_tensor()?.shape.iter().map(Dim::as_known).collect()
    };
    let own = shape(v)?;
    let begins = |of: &[i64; 2]| own.len() > 2 && own[..2] == of[..];
    let first = || node.operand(0).and_then(|x| kin.get(&x)).copied();
    match &node.op {
        Op::Reshape(_) => first(),
        Op::ReduceWindow(_) | Op::Pad(_) | Op::Slice(_) | Op::GatherNd(_) | Op::Reduce(_) => {
            first().filter(begins)
        }
        op if weight(op).is_some() => {
            let same = |x: &ValueId| shape(*x).as_ref() == Some(&own);
            node.inputs().filter(same).find_map(|x| kin.get(&x)).copied()
        }
        _ => None,
    }
}

/// Whether a convolution is worth being done with channels last.
fn convolves(f: &Function, node: &Node, c: &op::Conv, found: &FxHashSet<ValueId>) -> bool {
    let (Some(x), Some(w)) = (node.operand(0), node.operand(1)) else { return false };
    let (Some(xs), Some(ws)) = (image(f, x), image(f, w)) else { return false };
    if c.auto_pad != AutoPad::Explicit {
        return false;
    }
    let (outputs, each) = (ws[0] / c.groups.max(1), ws[1]);
    if c.input_dilations.iter().any(|&d| d != 1) {
        // A product for each phase.
        return c.groups == 1
            && outputs >= 2 * FEW
            && each >= RUN
            && phases::are_few(&c.input_dilations, &ws[2..]);
    }
    if c.groups > 1 && outputs == 1 && each == 1 {
        return ws[0] >= FEW;
    }
    let before = unpadded(f, x).unwrap_or(x);
    let wide = outputs >= 2 * FEW && (xs[1] >= FEW || each <= 4);
    if c.groups > 1 { outputs >= 2 * FEW && each >= RUN } else { wide || found.contains(&before) }
}

/// Whether a convolution, wherever it stands, is worth being done with channels last and has rows
/// that are copied in runs.
pub(super) fn has_runs(f: &Function, node: &Node, c: &op::Conv) -> bool {
    let plain = op::Conv { auto_pad: AutoPad::Explicit, ..c.clone() };
    let gaps = c.input_dilations.iter().any(|&d| d != 1);
    c.groups == 1 && !gaps && convolves(f, node, &plain, &FxHashSet::default())
}

/// What a value is with zeros around its places.
fn unpadded(f: &Function, v: ValueId) -> Option<ValueId> {
    let node = &f.nodes[airconv_ir::visit::producer(f, v)?];
    let Op::Pad(p) = &node.op else { return None };
    let inside = |d: &[Dim]| d.iter().take(2).all(|d| d.as_known() == Some(0));
    let zero = node.operand(1).is_none();
    if p.mode == PadMode::Constant && zero && inside(&p.low) && inside(&p.high) {
        node.operand(0)
    } else {
        None
    }
}

impl Lowerer<'_> {
    /// The order in memory of the axes of a value that is stored now; `None` for row-major.
    pub(super) fn order_of(&self, v: ValueId) -> Option<Vec<usize>> {
        if !self.channel_last.contains(&v) {
            return None;
        }
        Some(channel_last(self.f.ty(v).as_tensor()?.shape.len()))
    }

    /// Whether an image has so few channels that loops over them are no vectors.
    pub(super) fn has_few_channels(&self, v: ValueId) -> bool {
        image(self.f, v).is_some_and(|s| s[1] < FEW)
    }

    /// Gives a new buffer an order of its axes.
    pub(super) fn lay(&mut self, buffer: BufferId, order: &[usize]) {
        let shape = &mut self.program.buffers[buffer.0 as usize].shape;
        let physical = order.iter().map(|&axis| shape[axis].clone()).collect();
        *shape = physical;
        self.orders.insert(buffer, order.to_vec());
    }

    /// The memory of a value in row-major order.
    pub(super) fn settle(&mut self, v: ValueId) -> Result<BufferId, Stop> {
        if let Some(&plain) = self.plain.get(&v) {
            return Ok(plain);
        }
        let stored = self.stored(v)?;
        if !self.orders.contains_key(&stored) {
            return Ok(stored);
        }
        let plain = self.copy(v, None)?;
        self.plain.insert(v, plain);
        Ok(plain)
    }

    /// A copy of a stored value in another order.
    fn copy(&mut self, v: ValueId, order: Option<&[usize]>) -> Result<BufferId, Stop> {
        let stored = self.place(v)?;
        let to = self.new_buffer(v, BufferKind::Temporary)?;
        self.places.insert(v, stored);
        if let Some(order) = order {
            self.lay(to, order);
        }
        let made = {
            let mut p = Pull::new(self, "copy");
            let shape = p.shape_of(v)?;
            let (at, axes) = p.space_in(&shape, 1, order);
            let val = p.element(v, &at)?;
            let param = p.parameter(to, Access::Write)?;
            let flat = p.place_in(to, &at)?;
            let body = p.store(param, flat, val);
            p.finish(around(axes, body))
        };
        self.launch(made.0, made.1, made.2);
        Ok(to)
    }

    /// Brings a value into row-major memory, where it is read from now on.
    pub(super) fn stored_in_rows(&mut self, v: ValueId) -> Result<(), Stop> {
        let plain = self.settle(v)?;
        if let Place::Buffer(last) = self.place(v)?
            && last != plain
        {
            self.last.insert(v, last);
            self.places.insert(v, Place::Buffer(plain));
        }
        Ok(())
    }

    /// The memory of a value with its channels last, where it is read from now on.
    fn stored_last(&mut self, v: ValueId) -> Result<(), Stop> {
        if let Some(&last) = self.last.get(&v) {
            self.places.insert(v, Place::Buffer(last));
            return Ok(());
        }
        let stored = self.stored(v)?;
        let shape = image(self.f, v);
        if self.orders.contains_key(&stored) || !shape.as_ref().is_some_and(|s| matters(s)) {
            return Ok(());
        }
        let order = channel_last(shape.map_or(0, |s| s.len()));
        let last = self.copy(v, Some(&order))?;
        self.plain.insert(v, stored);
        self.last.insert(v, last);
        self.places.insert(v, Place::Buffer(last));
        Ok(())
    }

    /// Brings the bytes of weights with one number for each channel and tap into an order in which
    /// the channels of a tap lie together; says whether they are such weights.
    pub(super) fn taps_first(&mut self, w: ValueId, c: &op::Conv) -> Result<bool, Stop> {
        let single = image(self.f, w).is_some_and(|s| s[1] == 1 && s[0] == c.groups);
        let Some(bytes) = self.bytes_of(w).filter(|_| single && c.groups > 1) else {
            return Ok(false);
        };
        let stored = self.stored(bytes)?;
        if !self.orders.contains_key(&stored) {
            let rank = self.tensor(bytes)?.shape.len();
            let order: Vec<usize> = (1..rank).chain([0]).collect();
            let turned = self.copy(bytes, Some(&order))?;
            self.plain.insert(bytes, stored);
            self.places.insert(bytes, Place::Buffer(turned));
        }
        self.widened(w, bytes);
        Ok(true)
    }

    /// Brings the image that a convolution with channels last reads into memory. Zeros around it
    /// are left to the convolution where its taps read enough channels.
    pub(super) fn image_of(&mut self, node: &Node, c: &op::Conv) -> Result<(), Stop> {
        let (x, w) = (needed(node.operand(0))?, needed(node.operand(1))?);
        let each = image(self.f, w).map_or(1, |s| s[1]);
        let runs = each >= RUN || (c.groups > 1 && each == 1);
        let inner = unpadded(self.f, x).filter(|_| matches!(self.place(x), Ok(Place::Inline(_))));
        let whole = inner.unwrap_or(x);
        if let Some(bytes) = self.bytes_of(whole) {
            // Runs of bytes are copied for a product, so that short ones do.
            self.channel_last.extend(image(self.f, bytes).filter(|s| matters(s)).map(|_| bytes));
            self.stored_last(bytes)?;
            self.widened(whole, bytes);
            return Ok(());
        }
        if let (true, Some(inner)) = (runs, inner) {
            return self.stored_last(inner);
        }
        if matches!(self.place(x)?, Place::Inline(_)) {
            // It is made for this convolution, so in the order that this one reads.
            self.channel_last.extend(image(self.f, x).filter(|s| matters(s)).map(|_| x));
        }
        self.stored_last(x)
    }
}
