//! What a rule sees of a node, and what it makes of it.

use std::sync::Arc;

use airconv_ir::array::Array;
use airconv_ir::dim::{Dim, Shape, broadcast_shapes};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, NodeId, RegionId, TensorId, ValueId};
use airconv_ir::module::{Def, Function, InputRole, Module, Node};
use airconv_ir::op::Op;
use airconv_ir::tensor::Storage;
use airconv_ir::types::{TensorType, Type};
use rustc_hash::{FxHashMap, FxHashSet};

use super::paths::Paths;
use super::rules;
use crate::program::calls::{MEAN_KEEPDIM, RESHAPE, TO_DTYPE, UNSQUEEZE};
use crate::program::dtype::{held, is_half};
use crate::program::{
    Arg, Block, Call, Callee, Func, Layer, Path, Program, Source, Stmt, Var, VarInfo,
};

/// Why a rule does not take a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refuse(pub String);

impl Refuse {
    /// A refusal with a reason.
    pub fn because<T>(reason: impl Into<String>) -> Result<T, Self> {
        Err(Self(reason.into()))
    }
}

/// The lowering of one function.
pub(super) struct Lowerer<'m> {
    pub module: &'m Module,
    func: FuncId,
    paths: &'m Paths,
    /// Whether a rule is only asked whether it takes a node.
    probing: bool,
    program: Program,
    vars: FxHashMap<ValueId, Var>,
    stmts: Vec<Stmt>,
    /// How often each value is used; empty when probing.
    uses: FxHashMap<ValueId, usize>,
    /// Values that are rounded, as in quantisation.
    rounded: FxHashSet<ValueId>,
    /// Values whose elements are not in order.
    views: FxHashSet<Var>,
    /// Values that are never below zero.
    positive: FxHashSet<Var>,
    /// Values that got an axis of size 1, with what they were and the axis.
    wider: FxHashMap<Var, (Var, usize)>,
    /// Means whose axes are kept with size 1, with what they are of and the axes.
    means: FxHashMap<Var, (Var, Vec<usize>)>,
    /// What is another value in another dtype.
    cast: FxHashMap<Var, Var>,
    /// What is another value under another shape.
    reshaped: FxHashMap<Var, Var>,
    /// Results of layers that go row by row, with the operand and the weights.
    layers: FxHashMap<Var, (Layer, Var, Vec<Arg>)>,
    path: Path,
}

impl<'m> Lowerer<'m> {
    /// The lowering of a function; see [`Self::function`] and [`Self::probe`].
    pub fn new(module: &'m Module, func: FuncId, paths: &'m Paths, probing: bool) -> Self {
        Self {
            module,
            func,
            paths,
            probing,
            program: Program::default(),
            vars: FxHashMap::default(),
            stmts: Vec::new(),
            uses: FxHashMap::default(),
            rounded: FxHashSet::default(),
            views: FxHashSet::default(),
            positive: FxHashSet::default(),
            wider: FxHashMap::default(),
            means: FxHashMap::default(),
            cast: FxHashMap::default(),
            reshaped: FxHashMap::default(),
            layers: FxHashMap::default(),
            path: Path::from([]),
        }
    }

    pub fn f(&self) -> &'m Function {
        &self.module.functions[self.func]
    }

    /// Whether the rule of a node takes it.
    pub fn probe(&mut self, node: NodeId) -> Result<(), Refuse> {
        self.node(node)
    }

    /// The program of the function.
    pub fn function(&mut self) -> Result<Program, Refuse> {
        let f = self.f();
        airconv_ir::visit::walk(f, &mut |_, node| {
            for v in f.nodes[node].inputs() {
                *self.uses.entry(v).or_default() += 1;
                if matches!(f.nodes[node].op, Op::Round(_)) {
                    self.rounded.insert(v);
                }
            }
        });
        for region in f.regions.values() {
            for &v in &region.results {
                *self.uses.entry(v).or_default() += 1;
            }
        }
        self.program.symbols = f.symbols.values().map(|s| s.name.clone()).collect();
        for (input, &value) in f.inputs.iter().zip(&f.body().params) {
            if let InputRole::Param(Some(tensor)) = input.role {
                let var = self.weight(tensor, &input.name)?;
                self.vars.insert(value, var);
                continue;
            }
            let var = self.var_of(value, Source::Param)?;
            self.program.params.push(var);
            self.program.inputs.push(input.name.clone());
            let default = match input.role {
                InputRole::User { default: Some(tensor), .. } | InputRole::State(Some(tensor)) => {
                    Some(self.weight(tensor, &input.name)?)
                }
                _ => None,
            };
            self.program.defaults.push(default);
        }
        let mut body = self.block(f.body)?;
        body.sweep(&mut FxHashSet::default());
        self.program.body = body;
        self.program.outputs = f.outputs.iter().map(|o| o.name.clone()).collect();
        Ok(std::mem::take(&mut self.program))
    }

    /// The statements of a region.
    pub fn block(&mut self, region: RegionId) -> Result<Block, Refuse> {
        let outer = std::mem::take(&mut self.stmts);
        let f = self.f();
        for &node in &f.regions[region].nodes {
            self.node(node).map_err(|r| self.at(node, r))?;
        }
        let mut results = Vec::new();
        for &v in &f.regions[region].results {
            results.push(self.var(v)?);
        }
        let stmts = std::mem::replace(&mut self.stmts, outer);
        Ok(Block { stmts, results })
    }

    fn at(&self, node: NodeId, refuse: Refuse) -> Refuse {
        let node = &self.f().nodes[node];
        let place = self.module.source_of(node.origin).map(|o| format!(" at {o}"));
        Refuse(format!("`{}`{}: {}", node.op.name(), place.unwrap_or_default(), refuse.0))
    }

    fn node(&mut self, id: NodeId) -> Result<(), Refuse> {
        let node = &self.f().nodes[id];
        let Some(rule) = rules::find(node.op.kind()) else {
            return Refuse::because("candle has nothing for it");
        };
        if !self.probing {
            self.path = self.paths.find(self.module, node.origin);
        }
        let mut cx = Cx { l: self, node };
        rule(&mut cx, &node.op)
    }

    /// The variable of a value.
    pub fn var(&mut self, value: ValueId) -> Result<Var, Refuse> {
        match self.vars.get(&value) {
            Some(&var) => Ok(var),
            None if self.probing => match self.constant(value) {
                Some(tensor) => self.weight(tensor, ""),
                None => self.var_of(value, Source::Made),
            },
            None => Refuse::because(format!("{value} is used before it is made")),
        }
    }

    /// A new variable for a value.
    pub fn var_of(&mut self, value: ValueId, source: Source) -> Result<Var, Refuse> {
        let v = &self.f().values[value];
        let Type::Tensor(ty) = &v.ty else {
            return Refuse::because(format!("candle has tensors only, not {}", type_text(&v.ty)));
        };
        check_dtype(ty.dtype)?;
        let name = v.name.clone().unwrap_or_else(|| "".into());
        let op = match v.def {
            Def::Result { node, .. } => self.f().nodes[node].op.name(),
            Def::Param { .. } => "x",
        };
        let shape = ty.shape.to_vec();
        let var = self.push(VarInfo { dtype: ty.dtype, shape, source, name, op });
        self.vars.insert(value, var);
        Ok(var)
    }

    /// A new variable.
    pub fn push(&mut self, info: VarInfo) -> Var {
        let var = Var(self.program.vars.len() as u32);
        self.program.vars.push(info);
        var
    }

    /// The variable of a tensor of the module.
    pub fn weight(&mut self, tensor: TensorId, name: &str) -> Result<Var, Refuse> {
        let t = &self.module.tensors[tensor];
        check_dtype(t.dtype)?;
        if matches!(t.storage, Storage::External { .. }) {
            return Refuse::because("its elements have not been loaded");
        }
        let shape = t.ty().shape.to_vec();
        let source = Source::Weight(tensor);
        let op = "constant";
        Ok(self.push(VarInfo { dtype: t.dtype, shape, source, name: name.into(), op }))
    }

    /// Lets a variable stand for a value.
    pub fn bind(&mut self, value: ValueId, var: Var) {
        self.vars.insert(value, var);
    }

    /// Adds a statement.
    pub fn stmt(&mut self, stmt: Stmt) {
        if let Stmt::Let { vars, call, .. } = &stmt
            && let [var] = vars[..]
        {
            self.take_down(var, call);
        }
        self.stmts.push(stmt);
    }

    /// Takes down what rules for later values ask of how this one is made.
    fn take_down(&mut self, var: Var, call: &Call) {
        match (&call.callee, &call.args[..]) {
            (
                Callee::Layer(layer @ (Layer::Linear | Layer::Embedding)),
                [Arg::Tensor(x), rest @ ..],
            ) => {
                self.layers.insert(var, (*layer, *x, rest.to_vec()));
            }
            (Callee::Func(func), [Arg::Tensor(x), Arg::Number(axis)])
                if func.name == UNSQUEEZE.name =>
            {
                self.wider.insert(var, (*x, *axis));
            }
            (Callee::Func(func), [Arg::Tensor(x), Arg::Numbers(axes)])
                if func.name == MEAN_KEEPDIM.name =>
            {
                self.means.insert(var, (*x, axes.clone()));
            }
            (Callee::Func(func), [Arg::Tensor(x), Arg::Shape(_)]) if func.name == RESHAPE.name => {
                self.reshaped.insert(var, *x);
            }
            (Callee::Func(func), [Arg::Tensor(x), Arg::DType(_)]) if func.name == TO_DTYPE.name => {
                self.cast.insert(var, *x);
            }
            _ => {}
        }
    }

    /// Where the node belongs.
    pub fn path(&self) -> Path {
        self.path.clone()
    }

    pub fn is_probing(&self) -> bool {
        self.probing
    }

    pub fn info(&self, var: Var) -> &VarInfo {
        self.program.info(var)
    }

    /// The tensor of a value that is a constant.
    pub fn constant(&self, value: ValueId) -> Option<TensorId> {
        match self.def(value) {
            Some(Node { op: Op::Constant(c), .. }) => Some(c.tensor),
            Some(_) => None,
            None => self.vars.get(&value).and_then(|&v| match self.info(v).source {
                Source::Weight(t) => Some(t),
                _ => None,
            }),
        }
    }

    /// The node that makes a value.
    pub fn def(&self, value: ValueId) -> Option<&'m Node> {
        match self.f().values[value].def {
            Def::Result { node, .. } => Some(&self.f().nodes[node]),
            Def::Param { .. } => None,
        }
    }
}

fn check_dtype(dtype: DType) -> Result<(), Refuse> {
    match held(dtype) {
        Some(_) => Ok(()),
        None => Refuse::because(format!("candle has no {dtype}")),
    }
}

fn type_text(ty: &Type) -> &'static str {
    match ty {
        Type::Tensor(_) => "tensors",
        Type::Sequence(_) => "sequences",
        Type::Optional(_) => "optional values",
        Type::Map(..) => "maps",
        Type::Unranked(_) | Type::Unknown => "values of unknown rank",
    }
}

/// A float as short as its dtype allows: the shortest decimal that rounds to it.
pub(super) fn tidy(dtype: DType, value: f64) -> f64 {
    if dtype == DType::F64 || !value.is_finite() {
        return value;
    }
    let short = (value as f32).to_string().parse::<f64>();
    short.ok().filter(|v| (*v as f32) == (value as f32)).unwrap_or(value)
}

impl From<Var> for Arg {
    fn from(var: Var) -> Self {
        Arg::Tensor(var)
    }
}

/// A node while its rule runs.
pub(super) struct Cx<'a, 'm> {
    pub l: &'a mut Lowerer<'m>,
    pub node: &'m Node,
}

impl<'m> Cx<'_, 'm> {
    /// The value in an operand slot.
    pub fn value(&self, slot: usize) -> Option<ValueId> {
        self.node.operand(slot)
    }
    /// The variable of a required operand.
    pub fn x(&mut self, slot: usize) -> Result<Var, Refuse> {
        match self.node.operand(slot) {
            Some(v) => self.l.var(v),
            None => Refuse::because(format!("operand {slot} is missing")),
        }
    }
    /// The variable of an optional operand.
    pub fn opt(&mut self, slot: usize) -> Result<Option<Var>, Refuse> {
        self.node.operand(slot).map(|v| self.l.var(v)).transpose()
    }
    /// The tensor type of an operand.
    pub fn ty(&self, slot: usize) -> Result<TensorType, Refuse> {
        match self.node.operand(slot).and_then(|v| self.l.f().ty(v).as_tensor()) {
            Some(t) => Ok(t.clone()),
            None => Refuse::because(format!("the type of operand {slot} is not known")),
        }
    }
    /// The tensor type of a result.
    pub fn result_ty(&self, slot: usize) -> Result<TensorType, Refuse> {
        match self.node.result(slot).and_then(|v| self.l.f().ty(v).as_tensor()) {
            Some(t) => Ok(t.clone()),
            None => Refuse::because(format!("the type of result {slot} is not known")),
        }
    }
    /// What is known of a variable.
    pub fn info(&self, var: Var) -> &VarInfo {
        self.l.info(var)
    }
    /// The sizes of a variable.
    pub fn shape(&self, var: Var) -> Vec<Dim> {
        self.info(var).shape.clone()
    }
    /// The variable of an operand without the broadcasts that lead to it.
    pub fn bare(&mut self, slot: usize) -> Result<Var, Refuse> {
        let Some(value) = self.value(slot) else {
            return Refuse::because(format!("operand {slot} is missing"));
        };
        self.l.var(self.bare_value(value))
    }
    /// A value without the broadcasts that lead to it.
    pub fn bare_value(&self, mut value: ValueId) -> ValueId {
        while let Some(Node { op: Op::Broadcast(_), operands, .. }) = self.l.def(value) {
            match operands.first() {
                Some(Some(inner)) => value = *inner,
                _ => break,
            }
        }
        value
    }
    /// The operands without the broadcasts that lead to them, where candle's own broadcasting
    /// provably gives the result's shape; and whether the shapes are the result's already.
    pub fn broadcast_operands(&mut self) -> Result<(Vec<Var>, bool), Refuse> {
        let result = self.result_ty(0)?.shape;
        let values: Vec<ValueId> = self.node.inputs().collect();
        let bare: Vec<ValueId> = values.iter().map(|&v| self.bare_value(v)).collect();
        let mut shape = Shape::new();
        let mut fits = true;
        for &v in &bare {
            let Some(ty) = self.l.f().ty(v).as_tensor() else { break };
            match broadcast_shapes(&shape, &ty.shape) {
                Ok(wide) => shape = wide,
                Err(_) => fits = false,
            }
        }
        let chosen = if fits && shape == result { bare } else { values };
        let vars = chosen.into_iter().map(|v| self.l.var(v)).collect::<Result<Vec<_>, _>>()?;
        let same = vars.iter().all(|&v| self.info(v).shape == result[..]);
        Ok((vars, same))
    }
    /// The number that all elements of an operand are, where that is known.
    pub fn scalar(&self, slot: usize) -> Option<f64> {
        let array = self.splat(slot)?;
        array.to_f64s()?.first().copied().map(|v| tidy(array.dtype, v))
    }
    /// The integer that all elements of an operand are, where that is known.
    pub fn int_scalar(&self, slot: usize) -> Option<i64> {
        self.splat(slot)?.to_i64s()?.first().copied()
    }
    /// One element of an operand whose elements are known to be equal.
    fn splat(&self, slot: usize) -> Option<Array> {
        self.splat_of(self.value(slot)?)
    }
    /// The number that all elements of a value are, where that is known.
    pub fn number_of(&self, value: ValueId) -> Option<f64> {
        let array = self.splat_of(value)?;
        let int = || array.to_i64s()?.first().map(|&n| n as f64);
        array.to_f64s().and_then(|v| v.first().copied()).or_else(int)
    }
    fn splat_of(&self, value: ValueId) -> Option<Array> {
        let value = self.bare_value(value);
        let tensor = match self.l.def(value) {
            Some(Node { op: Op::Full(f), .. }) => f.value,
            _ => self.l.constant(value)?,
        };
        let t = &self.l.module.tensors[tensor];
        let splat = matches!(t.storage, Storage::Splat(_)) && t.numel().is_some_and(|n| n > 0);
        if t.numel() != Some(1) && !splat {
            return None;
        }
        let one = airconv_ir::tensor::Tensor { dims: Vec::new(), ..t.clone() };
        one.to_array().ok()
    }
    /// Whether a value is a weight.
    pub fn is_weight(&self, var: Var) -> bool {
        matches!(self.info(var).source, Source::Weight(_) | Source::Turned(_))
    }
    /// Whether the result is rounded next, so that the last bit counts.
    pub fn is_rounded(&self) -> bool {
        self.node.result(0).is_some_and(|v| self.l.rounded.contains(&v))
    }
    /// Whether nothing else uses a value.
    pub fn used_once(&self, value: ValueId) -> bool {
        self.l.is_probing() || self.l.uses.get(&value) == Some(&1)
    }
    /// Whether a variable's elements may be out of order.
    pub fn is_view(&self, var: Var) -> bool {
        self.l.views.contains(&var)
    }
    /// What a variable was before it got an axis of size 1 at this place, if that is how it was
    /// made.
    pub fn without_axis(&self, var: Var, axis: usize) -> Option<Var> {
        self.l.wider.get(&var).filter(|(_, a)| *a == axis).map(|(x, _)| *x)
    }
    /// What a variable is the mean of, its axes kept, and the axes.
    pub fn mean_of(&self, var: Var) -> Option<(Var, Vec<usize>)> {
        self.l.means.get(&var).cloned()
    }
    /// What a variable is in another dtype.
    pub fn cast_of(&self, var: Var) -> Option<Var> {
        self.l.cast.get(&var).copied()
    }
    /// What a variable is under another shape.
    pub fn reshape_of(&self, var: Var) -> Option<Var> {
        self.l.reshaped.get(&var).copied()
    }
    /// The layer that gives a variable row by row, with its operand and its weights.
    pub fn layer_of(&self, var: Var) -> Option<(Layer, Var, Vec<Arg>)> {
        self.l.layers.get(&var).cloned()
    }
    /// Takes down that a variable's elements may be out of order.
    pub fn mark_view(&mut self, var: Var) {
        self.l.views.insert(var);
    }
    /// Whether a variable's elements are known not to be below zero.
    pub fn is_positive(&self, var: Var) -> bool {
        self.l.positive.contains(&var)
    }
    /// Takes down that the result's elements are not below zero.
    pub fn mark_positive(&mut self) {
        if let Some(&var) = self.node.result(0).and_then(|v| self.l.vars.get(&v)) {
            self.l.positive.insert(var);
        }
    }

    // Making values.

    /// A call whose result is this node's.
    pub fn done(&mut self, func: &'static Func, args: Vec<Arg>) -> Result<(), Refuse> {
        self.done_all(Callee::Func(func), args, 1)
    }
    /// A layer whose result is this node's.
    pub fn done_layer(&mut self, layer: Layer, args: Vec<Arg>) -> Result<(), Refuse> {
        self.done_all(Callee::Layer(layer), args, 1)
    }
    /// A call on the operand of a function that candle computes in several steps, in `f32` where
    /// each step would round to 16 bits; its result is this node's.
    pub fn done_wide(&mut self, func: &'static Func, x: Var, rest: Vec<Arg>) -> Result<(), Refuse> {
        let dtype = self.info(x).dtype;
        let args = |x: Var| std::iter::once(Arg::from(x)).chain(rest).collect();
        if !is_half(dtype) {
            return self.done(func, args(x));
        }
        let shape = self.result_ty(0)?.shape.to_vec();
        let x = self.as_dtype(x, DType::F32);
        let y = self.temp(func, args(x), DType::F32, &shape);
        self.done(&TO_DTYPE, vec![y.into(), Arg::DType(dtype)])
    }
    /// A call whose `count` results are this node's.
    pub fn done_all(&mut self, callee: Callee, args: Vec<Arg>, count: usize) -> Result<(), Refuse> {
        let mut vars = Vec::new();
        for slot in 0..count {
            vars.push(match self.node.result(slot) {
                Some(v) => self.l.var_of(v, Source::Made)?,
                None => self.l.push(VarInfo {
                    dtype: DType::I64,
                    shape: Vec::new(),
                    source: Source::Made,
                    name: "".into(),
                    op: self.node.op.name(),
                }),
            });
        }
        let path = self.l.path();
        self.l.stmt(Stmt::Let { vars, call: Call { callee, args }, path });
        Ok(())
    }
    /// A variable that is this node's result.
    pub fn same(&mut self, var: Var) -> Result<(), Refuse> {
        self.same_at(0, var)
    }
    /// A variable that is one of this node's results.
    pub fn same_at(&mut self, slot: usize, var: Var) -> Result<(), Refuse> {
        if let Some(value) = self.node.result(slot) {
            self.l.bind(value, var);
        }
        Ok(())
    }
    /// A call on the way, with a result of this type.
    pub fn temp(
        &mut self,
        func: &'static Func,
        args: Vec<Arg>,
        dtype: DType,
        shape: &[Dim],
    ) -> Var {
        self.temp_callee(Callee::Func(func), args, dtype, shape)
    }
    /// A layer on the way.
    pub fn temp_layer(&mut self, layer: Layer, args: Vec<Arg>, dtype: DType, shape: &[Dim]) -> Var {
        self.temp_callee(Callee::Layer(layer), args, dtype, shape)
    }
    fn temp_callee(&mut self, callee: Callee, args: Vec<Arg>, dtype: DType, shape: &[Dim]) -> Var {
        let (name, op) = ("".into(), self.node.op.name());
        let info = VarInfo { dtype, shape: shape.to_vec(), source: Source::Made, name, op };
        let var = self.l.push(info);
        let path = self.l.path();
        self.l.stmt(Stmt::Let { vars: vec![var], call: Call { callee, args }, path });
        var
    }
    /// Numbers as a variable.
    pub fn literal(&mut self, array: Array) -> Var {
        self.named_literal(array, "")
    }
    /// Numbers as a variable of a name, under which they are stored when there are many.
    pub fn named_literal(&mut self, array: Array, name: &str) -> Var {
        let shape = array.shape.iter().map(|&d| Dim::Known(d as i64)).collect();
        let dtype = array.dtype;
        let source = Source::Literal(Arc::new(array));
        self.l.push(VarInfo { dtype, shape, source, name: name.into(), op: "constant" })
    }
    /// A variable with its elements in order.
    pub fn contiguous(&mut self, x: Var) -> Var {
        if !self.is_view(x) {
            return x;
        }
        let (dtype, shape) = (self.info(x).dtype, self.shape(x));
        self.temp(&crate::program::calls::CONTIGUOUS, vec![x.into()], dtype, &shape)
    }
    /// A variable under another shape.
    pub fn reshaped(&mut self, x: Var, shape: &[Dim]) -> Var {
        if self.info(x).shape == shape {
            return x;
        }
        let dtype = self.info(x).dtype;
        let args = vec![x.into(), Arg::Shape(shape.to_vec())];
        self.temp(&RESHAPE, args, dtype, shape)
    }
    /// A variable in another dtype.
    pub fn as_dtype(&mut self, x: Var, dtype: DType) -> Var {
        if held(self.info(x).dtype) == held(dtype) {
            return x;
        }
        let shape = self.shape(x);
        let args = vec![x.into(), Arg::DType(dtype)];
        self.temp(&TO_DTYPE, args, dtype, &shape)
    }
    /// A size as a number.
    pub fn known(&self, dim: &Dim, what: &str) -> Result<usize, Refuse> {
        match dim.as_known().and_then(|d| usize::try_from(d).ok()) {
            Some(d) => Ok(d),
            None => Refuse::because(format!("{what} is not known")),
        }
    }
}

/// Requires a dtype that candle's float functions take.
pub(super) fn float(dtype: DType, what: &str) -> Result<(), Refuse> {
    if crate::program::dtype::is_float(dtype) {
        return Ok(());
    }
    Refuse::because(format!("candle has no {what} of {dtype}"))
}

/// Requires a dtype whose arithmetic candle has.
pub(super) fn number(dtype: DType, what: &str) -> Result<(), Refuse> {
    if crate::program::dtype::is_own(dtype) {
        return Ok(());
    }
    Refuse::because(format!("candle has no {what} of {dtype}"))
}

/// Axes of an op as numbers.
pub(super) fn axes(list: &[i64]) -> Vec<usize> {
    list.iter().filter_map(|&a| usize::try_from(a).ok()).collect()
}

/// What a rule says to an op that is not its own.
pub(super) fn other<T>() -> Result<T, Refuse> {
    Refuse::because("the rule is for another op")
}
