//! Brings a hub function into the form that kernels are made from: core ops only, calls
//! inlined, windows without padding.

use airconv_api::legalize::expand;
use airconv_ir::array::{Array, Scalar};
use airconv_ir::builder::Builder;
use airconv_ir::copy::{import_regions, substitute_symbols};
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, NodeId, RegionId, ValueId};
use airconv_ir::infer::control::Bindings;
use airconv_ir::infer::conv::window::{Windows, spread};
use airconv_ir::module::{Module, Node};
use airconv_ir::op::{self, AutoPad, Effects, Op, OpKind, PadMode, ReduceKind, Tier};
use airconv_ir::types::TensorType;
use rustc_hash::{FxHashMap, FxHashSet};

use super::Stop;
use super::facts::Facts;
use super::lookup::{Table, of_encoder};
use super::trees::{Trees, of_node};

/// The deepest nesting of calls and decompositions.
const DEEPEST: u32 = 64;

/// Nodes that came from one composite whose reductions run along rows of its result, so that
/// one loop nest can hold all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    /// The nodes.
    pub members: FxHashMap<NodeId, NodeId>,
    /// The values that are results of a composite.
    pub results: FxHashMap<ValueId, NodeId>,
    /// The tables of tree ensembles, or why there are none.
    pub trees: FxHashMap<NodeId, Result<Trees, Stop>>,
    /// The tables of label encoders, or why there are none.
    pub tables: FxHashMap<NodeId, Result<Table, Stop>>,
}

/// Composites whose decomposition is kept in one loop nest.
fn is_row_wise(op: &Op) -> bool {
    matches!(
        op.kind(),
        OpKind::Softmax
            | OpKind::LogSoftmax
            | OpKind::LayerNormalization
            | OpKind::RmsNormalization
            | OpKind::SkipLayerNormalization
            | OpKind::SkipRmsNormalization
            | OpKind::LpNormalization
            | OpKind::MeanVarianceNormalization
    )
}

/// The entry function with every composite decomposed and every call inlined; `bytes` says whether
/// products of bytes stay what they are.
pub(super) fn flatten(module: &Module, bytes: bool) -> Result<(Module, Groups), Stop> {
    let mut flat = module.clone();
    let func = flat.entry;
    let mut groups = Groups::default();
    let mut sizes = Bindings::default();
    let mut facts = Facts::default();
    let mut region = 0;
    while region < flat.functions[func].regions.len() {
        let mut pass = Flatten {
            module: &mut flat,
            func,
            groups: &mut groups,
            sizes: &mut sizes,
            facts: &mut facts,
            bytes,
        };
        pass.region(RegionId(region as u32))?;
        region += 1;
    }
    // A size may stand for one that stands for another one.
    for _ in 0..DEEPEST {
        let known = sizes.clone();
        let mut changed = false;
        for dim in sizes.values_mut() {
            let next = dim.substitute(&mut |s| known.get(&s).cloned());
            changed |= next != *dim;
            *dim = next;
        }
        if !changed {
            break;
        }
    }
    if !sizes.is_empty() {
        substitute_symbols(&mut flat.functions[func], &sizes);
    }
    Ok((flat, groups))
}

pub(super) struct Flatten<'m> {
    pub(super) module: &'m mut Module,
    pub(super) func: FuncId,
    groups: &'m mut Groups,
    /// What decompositions found for sizes that the composite had named.
    sizes: &'m mut Bindings,
    /// What is known of the values so far.
    pub(super) facts: &'m mut Facts,
    /// See [`super::LowerOptions::bytes`].
    pub(super) bytes: bool,
}

/// A node to look at: how deep it was made, and the row-wise composite that it came from.
#[derive(Clone, Copy)]
struct Work {
    node: NodeId,
    depth: u32,
    group: Option<NodeId>,
}

impl Flatten<'_> {
    fn region(&mut self, region: RegionId) -> Result<(), Stop> {
        let func = self.func;
        let nodes = std::mem::take(&mut self.module.functions[func].regions[region].nodes);
        let mut replaced: FxHashMap<ValueId, ValueId> = FxHashMap::default();
        let mut order = Vec::with_capacity(nodes.len());
        let mut todo: Vec<Work> =
            nodes.into_iter().rev().map(|node| Work { node, depth: 0, group: None }).collect();
        while let Some(Work { node: id, depth, group }) = todo.pop() {
            let node = &mut self.module.functions[func].nodes[id];
            for operand in node.operands.iter_mut().flatten() {
                while let Some(&new) = replaced.get(operand) {
                    *operand = new;
                }
            }
            let node = node.clone();
            let Some(pairs) = self.simpler(region, &node)? else {
                order.push(id);
                self.tables_of(id, &node);
                self.fold(id, &node);
                self.facts.note(&self.module.functions[func], id);
                if let Some(g) = group {
                    self.groups.members.insert(id, g);
                }
                continue;
            };
            if depth > DEEPEST {
                return Err(Stop::Unsupported(format!("`{}` nests too deep", node.op.name())));
            }
            let inner = group.or(is_row_wise(&node.op).then_some(id));
            for (old, new) in pairs {
                self.same_sizes(old, new);
                if group.is_none() && inner.is_some() {
                    self.groups.results.insert(new, id);
                }
                if let Some(g) = self.groups.results.remove(&old) {
                    self.groups.results.insert(new, g);
                }
                replaced.insert(old, new);
            }
            let fresh = std::mem::take(&mut self.module.functions[func].regions[region].nodes);
            let work = |node| Work { node, depth: depth + 1, group: inner };
            todo.extend(fresh.into_iter().rev().map(work));
        }
        let last = |mut v: ValueId| {
            while let Some(&new) = replaced.get(&v) {
                v = new;
            }
            v
        };
        let r = &mut self.module.functions[func].regions[region];
        r.results = r.results.iter().map(|&v| last(v)).collect();
        r.nodes = order;
        self.drop_unused(region);
        Ok(())
    }

    /// Leaves out views and elementwise ops of a region that nothing uses and that name no size,
    /// such as what made floats of bytes for a product that is one of bytes now.
    fn drop_unused(&mut self, region: RegionId) {
        let f = &mut self.module.functions[self.func];
        let mut used: FxHashSet<ValueId> = f.regions[region].results.iter().copied().collect();
        let mut nodes = std::mem::take(&mut f.regions[region].nodes);
        nodes.reverse();
        nodes.retain(|&id| {
            let node = &f.nodes[id];
            let plain = super::weight(&node.op).is_some() || super::nest::is_view(&node.op);
            let pure = plain && node.op.info().effects == Effects::Pure;
            let needed = |v: &ValueId| {
                let sized = f.ty(*v).as_tensor().and_then(TensorType::known_shape);
                used.contains(v) || sized.is_none()
            };
            let stays = !pure || node.results.iter().flatten().any(needed);
            if stays {
                used.extend(node.inputs());
            }
            stays
        });
        nodes.reverse();
        f.regions[region].nodes = nodes;
    }

    /// Makes the tables of ops that are tables; they become tensors of the module.
    fn tables_of(&mut self, id: NodeId, node: &Node) {
        if let Op::LabelEncoder(op) = &node.op {
            self.groups.tables.insert(id, of_encoder(self.module, op));
            return;
        }
        let dtype = node.operand(0).and_then(|x| self.module.functions[self.func].ty(x).dtype());
        if let Some(dtype) = dtype
            && let Some(trees) = of_node(self.module, node, dtype)
        {
            self.groups.trees.insert(id, trees);
        }
    }

    /// Lets the sizes that only the old value named stand for those of the new one.
    fn same_sizes(&mut self, old: ValueId, new: ValueId) {
        let f = &self.module.functions[self.func];
        let (Some(a), Some(b)) = (f.ty(old).as_tensor(), f.ty(new).as_tensor()) else { return };
        for (a, b) in a.shape.iter().zip(&b.shape) {
            let Some(symbol) = a.as_symbol() else { continue };
            let given = f.symbols.get(symbol).is_some_and(|s| s.why.is_none());
            let mut itself = false;
            b.symbols(&mut |s| itself |= s == symbol);
            if a != b && !given && !itself && !b.is_any() {
                self.sizes.entry(symbol).or_insert_with(|| b.clone());
            }
        }
    }

    /// Emits simpler nodes for a node, with old and new results; `None` when it stays.
    fn simpler(&mut self, region: RegionId, node: &Node) -> Result<Option<Pairs>, Stop> {
        match &node.op {
            Op::Call(call) => {
                let callee = self.module.functions[call.function].clone();
                let body = Op::If(op::If { then_branch: callee.body, else_branch: callee.body });
                let caller = &mut self.module.functions[self.func];
                let Op::If(body) = import_regions(&callee, caller, &body) else {
                    return Err(Stop::Unsupported("a call without a body".to_owned()));
                };
                let args: Vec<ValueId> = node.inputs().collect();
                let mut b = Builder::new(self.module, self.func, region, node.origin);
                let results = b.inline_region(body.then_branch, &args).map_err(Stop::build)?;
                Ok(Some(pairs(node, results)))
            }
            Op::Contract(contract) => match self.scaled_product(region, node, contract)? {
                Some(pairs) => Ok(Some(pairs)),
                None => self.whole_numbers(region, node, contract),
            },
            Op::Conv(conv) => {
                let mut made = self.scaled_convolution(region, node, conv)?;
                if made.is_none() {
                    made = self.whole_convolution(region, node, conv)?;
                }
                match made {
                    None => self.without_padding(region, node, conv),
                    made => Ok(made),
                }
            }
            Op::ReduceWindow(window) => self.windows_without_padding(region, node, window),
            op if op.info().tier == Tier::Composite => {
                match expand(self.module, self.func, region, node) {
                    Ok(pairs) => Ok(Some(pairs)),
                    Err(e) => Err(Stop::NeedsSizes(format!("`{}`: {e}", op.name()))),
                }
            }
            _ => Ok(None),
        }
    }

    /// A convolution of explicitly padded data.
    fn without_padding(
        &mut self,
        region: RegionId,
        node: &Node,
        conv: &op::Conv,
    ) -> Result<Option<Pairs>, Stop> {
        let (Some(x), Some(w)) = (node.operand(0), node.operand(1)) else { return Ok(None) };
        let f = &self.module.functions[self.func];
        let (Some(xt), Some(wt)) = (f.ty(x).as_tensor(), f.ty(w).as_tensor()) else {
            return Ok(None);
        };
        // Data with gaps is padded where it is read.
        if conv.input_dilations.iter().any(|&d| d != 1)
            || (conv.auto_pad == AutoPad::Explicit && conv.pads.iter().all(|&p| p == 0))
        {
            return Ok(None);
        }
        let spatial: Vec<Dim> = xt.shape[2..].iter().map(|d| spread(d, 1)).collect();
        let windows = Windows {
            kernel: &wt.shape[2..],
            strides: &conv.strides,
            dilations: &conv.dilations,
            pads: &conv.pads,
            auto_pad: conv.auto_pad,
            ceil_mode: false,
        };
        let Some(axes) = windows.axes(&spatial) else { return Ok(None) };
        let zero = Dim::Known(0);
        let side = |pick: fn(&airconv_ir::infer::conv::window::WindowAxis) -> Dim| -> Vec<Dim> {
            [zero.clone(), zero.clone()].into_iter().chain(axes.iter().map(pick)).collect()
        };
        let pad = op::Pad {
            low: side(|a| a.low.clone()),
            high: side(|a| a.high.clone()),
            mode: PadMode::Constant,
        };
        let bare =
            op::Conv { pads: vec![0; 2 * axes.len()], auto_pad: AutoPad::Explicit, ..conv.clone() };
        let bias = node.operand(2);
        let mut b = Builder::new(self.module, self.func, region, node.origin);
        let padded = if pad.low.iter().chain(&pad.high).all(|d| *d == zero) {
            x
        } else {
            b.emit(pad, &[x]).map_err(Stop::build)?
        };
        let y = b.emit_opt(bare, &[Some(padded), Some(w), bias]).map_err(Stop::build)?;
        Ok(Some(pairs(node, vec![y])))
    }

    /// A window reduction of explicitly padded data.
    fn windows_without_padding(
        &mut self,
        region: RegionId,
        node: &Node,
        op: &op::ReduceWindow,
    ) -> Result<Option<Pairs>, Stop> {
        let Some(x) = node.operand(0) else { return Ok(None) };
        let Some(dtype) = self.module.functions[self.func].ty(x).dtype() else { return Ok(None) };
        if op.pads.iter().all(|&p| p == 0) {
            return Ok(None);
        }
        let rank = op.pads.len() / 2;
        let known = |pads: &[i64]| pads.iter().map(|&p| Dim::Known(p)).collect::<Vec<_>>();
        let pad = op::Pad {
            low: known(&op.pads[..rank]),
            high: known(&op.pads[rank..]),
            mode: PadMode::Constant,
        };
        let bare = op::ReduceWindow { pads: vec![0; op.pads.len()], ..op.clone() };
        let value = neutral(op.kind, dtype)?;
        let mut b = Builder::new(self.module, self.func, region, node.origin);
        let value = b.constant(&value).map_err(Stop::build)?;
        let padded = b.emit(pad, &[x, value]).map_err(Stop::build)?;
        let y = b.emit(bare, &[padded]).map_err(Stop::build)?;
        Ok(Some(pairs(node, vec![y])))
    }
}

/// The old results of a node, each with the new one.
pub(super) type Pairs = Vec<(ValueId, ValueId)>;

pub(super) fn pairs(node: &Node, new: Vec<ValueId>) -> Pairs {
    node.results.iter().flatten().copied().zip(new).collect()
}

/// What padding adds nothing to a reduction.
fn neutral(kind: ReduceKind, dtype: DType) -> Result<Array, Stop> {
    let range = dtype.int_range();
    let value = match (kind, range) {
        (ReduceKind::Sum | ReduceKind::Or, _) => Scalar::Int(0),
        (ReduceKind::Prod | ReduceKind::And, _) => Scalar::Int(1),
        (ReduceKind::Max, Some((low, _))) => Scalar::Int(low),
        (ReduceKind::Min, Some((_, high))) => Scalar::Int(high),
        (ReduceKind::Max, None) => Scalar::Float(f64::NEG_INFINITY),
        (ReduceKind::Min, None) => Scalar::Float(f64::INFINITY),
    };
    let value = match value {
        Scalar::Int(i) if dtype.is_float() => Scalar::Float(i as f64),
        other => other,
    };
    Array::scalar(dtype, &value).map_err(|e| Stop::Unsupported(e.to_string()))
}
