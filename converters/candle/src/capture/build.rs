//! A recording as a program of the hub.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use airconv_api::Report;
use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::diag::Diagnostic;
use airconv_ir::dim::{Dim, Range, Shape};
use airconv_ir::dtype::DType;
use airconv_ir::entity::{FuncId, OriginId, TensorId, ValueId};
use airconv_ir::module::{ArgKindRole, Function, InputRole, Module, Origin, OutputRole};
use airconv_ir::op::Constant;
use airconv_ir::tensor::Tensor;
use airconv_ir::types::Type;

use super::error::CaptureError;
use super::explain::{Number, Sizes};
use super::generalise::{Joint, join};
use super::pattern;
use super::recording::Recording;
use super::rules;

/// Why a call could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// The call contradicts what is known of it.
    Invalid(String),
    /// The call is right and cannot be read.
    Unsupported(String),
}

impl From<BuildError> for Stop {
    fn from(e: BuildError) -> Self {
        Self::Invalid(e.to_string())
    }
}

pub(super) type R<T> = Result<T, Stop>;

/// The program that is being made.
pub(super) struct Cx<'r> {
    module: Module,
    func: FuncId,
    origin: OriginId,
    recording: &'r Recording,
    /// The symbolic sizes.
    pub sizes: Sizes,
    /// The value of every node so far; none where it could not be read.
    values: Vec<Option<ValueId>>,
    /// Tensors of the module by name.
    tensors: HashMap<String, TensorId>,
    /// Truth values that candle holds as `u8`, by the latter.
    truths: HashMap<ValueId, ValueId>,
}

/// A call with its operands as values.
pub(super) struct Call<'a> {
    /// What was recorded.
    pub node: &'a Joint,
    /// The operands.
    pub operands: Vec<ValueId>,
}

/// Makes a module of a recording. Everything that cannot be read is said in the report.
pub fn module(recording: &Recording, report: &mut Report) -> Result<Module, CaptureError> {
    let nodes = join(recording)?;
    let mut cx = Cx::new(recording);
    note_events(recording, report);
    let mut refused: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
    for (index, node) in nodes.iter().enumerate() {
        let value = match cx.read(node, report) {
            Ok(value) => value,
            Err(Stop::Invalid(why)) => {
                return Err(CaptureError::malformed(place(node, index), why));
            }
            Err(Stop::Unsupported(why)) => {
                let at = place(node, index);
                let entry = refused.entry((node.op.clone(), why));
                entry.or_insert_with(|| (0, at)).0 += 1;
                None
            }
        };
        cx.values.push(value);
    }
    for ((op, why), (count, at)) in &refused {
        let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
        let message = format!("`{op}` cannot be read{times}: {why}");
        report.push(Diagnostic::error("candle-unsupported", message).at(at.clone()));
    }
    if let Some(((op, _), (_, at))) = refused.first_key_value() {
        let message = format!("{} kinds of calls cannot be read, such as `{op}`", refused.len());
        return Err(CaptureError::unsupported(at.clone(), message));
    }
    cx.finish()
}

fn place(node: &Joint, index: usize) -> String {
    match &node.at {
        Some(at) => format!("{at}: node {index} ({})", node.op),
        None => format!("node {index} ({})", node.op),
    }
}

/// Values that were taken out of tensors decide what a program does: a program that was recorded
/// once has decided for good.
fn note_events(recording: &Recording, report: &mut Report) {
    for event in recording.program.traces.iter().take(1).flat_map(|t| &t.events) {
        let message = format!(
            "`{}` of what depends on inputs: what the program did with the values is fixed",
            event.what
        );
        report.lossy("host-values", &message, event.at.clone());
    }
}

impl<'r> Cx<'r> {
    fn new(recording: &'r Recording) -> Self {
        let program = &recording.program;
        let mut module = Module::default();
        let origin = module.origins.push(Origin::Unknown);
        let func = module.functions.push(Function::new(program.program.as_str()));
        module.entry = func;
        let f = &mut module.functions[func];
        let range = Range { min: Some(1), max: None };
        let symbols = program.sizes.iter().map(|name| f.add_symbol(name, range, None)).collect();
        let runs = program.traces.iter().map(|t| t.sizes.clone()).collect();
        Self {
            module,
            func,
            origin,
            recording,
            sizes: Sizes::new(symbols, runs),
            values: Vec::new(),
            tensors: HashMap::new(),
            truths: HashMap::new(),
        }
    }

    /// A builder at the end of the program.
    pub fn b(&mut self) -> Builder<'_> {
        let region = self.module.functions[self.func].body;
        Builder::new(&mut self.module, self.func, region, self.origin)
    }

    fn read(&mut self, node: &Joint, report: &mut Report) -> R<Option<ValueId>> {
        let value = match node.op.as_str() {
            "input" => self.input(node)?,
            "parameter" | "constant" => self.leaf(node, report)?,
            _ => {
                let operands = node.operands.iter().map(|&o| self.values.get(o).copied().flatten());
                // What follows from a call that cannot be read is not said again.
                let Some(operands) = operands.collect::<Option<Vec<ValueId>>>() else {
                    return Ok(None);
                };
                self.origin = self.module.origins.push(Origin::Source {
                    format: "candle".into(),
                    path: node.at.as_deref().unwrap_or_default().into(),
                    name: "".into(),
                    op: node.op.as_str().into(),
                });
                let call = Call { node, operands };
                let value = rules::read(self, &call)?;
                self.check(node, value)?;
                value
            }
        };
        for dim in self.shape(value)? {
            self.sizes.meet(&dim);
        }
        Ok(Some(value))
    }

    fn input(&mut self, node: &Joint) -> R<ValueId> {
        let name = node.names.first().map(String::as_str).unwrap_or_default();
        let dims: Option<Vec<Dim>> = node.dims.iter().map(|d| self.sizes.explain(d, &[])).collect();
        let dims = dims.ok_or_else(|| {
            Stop::Unsupported(format!("the shape of the input `{name}` does not follow from sizes"))
        })?;
        let role = InputRole::User { default: None, kind: ArgKindRole::Tensor };
        let ty = Type::tensor(node.dtype, dims);
        Ok(self.module.functions[self.func].add_input(name, ty, role))
    }

    /// A parameter or a constant; one that differs from run to run is made by a rule, if it has one.
    fn leaf(&mut self, node: &Joint, report: &mut Report) -> R<ValueId> {
        let at = node.at.as_deref().unwrap_or_default();
        let Some(first) = node.names.first() else {
            return Err(Stop::Invalid("it has no name".to_owned()));
        };
        if node.names.iter().any(|n| n != first) {
            let tensors: Vec<&Tensor> =
                node.names.iter().filter_map(|n| self.recording.tensors.get(n)).collect();
            let Some(value) = pattern::value(self, node, &tensors)? else {
                let taken = self.recording.program.traces.iter().find_map(|t| t.events.first());
                let taken = taken.map_or(String::new(), |event| {
                    format!("; the program takes values out by `{}` at {}", event.what, event.at)
                });
                return Err(Stop::Unsupported(format!(
                    "data of the host differs from run to run, and no rule makes it{taken}"
                )));
            };
            let what = "data of the host is made by a rule that fits all runs";
            report.structural("host-data-rule", what, at);
            return Ok(value);
        }
        if node.op == "constant" && !at.is_empty() && !node.dims.is_empty() {
            report.structural("host-data", "data of the host is a constant", at);
        }
        let id = match self.tensors.get(first) {
            Some(&id) => id,
            None => {
                let tensor = self.recording.tensors.get(first).cloned();
                let tensor =
                    tensor.ok_or_else(|| Stop::Invalid(format!("there is no tensor `{first}`")))?;
                let id = self.module.tensors.push(tensor);
                self.tensors.insert(first.clone(), id);
                id
            }
        };
        let name: Arc<str> = first.as_str().into();
        let mut b = self.b();
        let value = b.emit(Constant { tensor: id }, &[])?;
        b.name(value, name);
        Ok(value)
    }

    /// Whether a value has the type that candle gave it in every run.
    fn check(&mut self, node: &Joint, value: ValueId) -> R<()> {
        let ty = self.b().tensor_ty(value)?;
        let wrong = |what: String| Err(Stop::Invalid(what));
        if ty.dtype != node.dtype {
            return wrong(format!("it became {} instead of {}", ty.dtype, node.dtype));
        }
        if ty.shape.len() != node.dims.len() {
            let (got, want) = (ty.shape.len(), node.dims.len());
            return wrong(format!("it became of rank {got} instead of {want}"));
        }
        for (axis, (dim, want)) in ty.shape.iter().zip(&node.dims).enumerate() {
            let got = self.sizes.values(dim);
            if got.as_ref() != Some(want) {
                return wrong(format!("axis {axis} became {got:?} instead of {want:?}"));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Module, CaptureError> {
        let Some(trace) = self.recording.program.traces.first() else {
            return Err(CaptureError::malformed("", "there is no run"));
        };
        let mut names: Vec<&str> = Vec::new();
        for output in &trace.outputs {
            let Some(value) = self.values.get(output.node).copied().flatten() else {
                return Err(CaptureError::malformed("outputs", "an output is no node"));
            };
            if names.contains(&output.name.as_str()) {
                let message = format!("two outputs are called `{}`", output.name);
                return Err(CaptureError::malformed("outputs", message));
            }
            names.push(&output.name);
            let role = OutputRole::User(ArgKindRole::Tensor);
            self.module.functions[self.func].add_output(&output.name, value, role);
        }
        Ok(self.module)
    }

    // What rules ask.

    /// The shape of a value.
    pub fn shape(&mut self, value: ValueId) -> R<Shape> {
        Ok(self.b().tensor_ty(value)?.shape)
    }
    /// The element type of a value.
    pub fn dtype(&mut self, value: ValueId) -> R<DType> {
        Ok(self.b().tensor_ty(value)?.dtype)
    }
    /// Remembers of which truth value a `u8` was made.
    pub fn hold_truth(&mut self, truth: ValueId) -> R<ValueId> {
        let value = self.b().cast(truth, DType::U8)?;
        self.truths.insert(value, truth);
        Ok(value)
    }
    /// A value as truth: whether it is not zero.
    pub fn truth(&mut self, value: ValueId) -> R<ValueId> {
        if let Some(&truth) = self.truths.get(&value) {
            return Ok(truth);
        }
        let mut b = self.b();
        let zero = b.scalar_like(value, 0.0)?;
        let equal = b.equal(value, zero)?;
        Ok(b.not(equal)?)
    }
    /// The truth value that a `u8` was made of, if it was.
    pub fn known_truth(&self, value: ValueId) -> Option<ValueId> {
        self.truths.get(&value).copied()
    }
    /// Gives a value that is the same truth in another shape.
    pub fn moved(
        &mut self,
        from: ValueId,
        f: impl Fn(&mut Self, ValueId) -> R<ValueId>,
    ) -> R<ValueId> {
        match self.known_truth(from) {
            Some(truth) => {
                let truth = f(self, truth)?;
                self.hold_truth(truth)
            }
            None => f(self, from),
        }
    }
    /// A number as a scalar of a dtype.
    pub fn number(&mut self, number: &Number, dtype: DType) -> R<ValueId> {
        let mut b = self.b();
        Ok(match number {
            Number::Known(v) => b.scalar(dtype, *v)?,
            Number::Size(dim) => {
                let size = b.dim_scalar(dim)?;
                b.cast(size, dtype)?
            }
            Number::Inverse(dim) => {
                let size = b.dim_scalar(dim)?;
                let size = b.cast(size, dtype)?;
                let one = b.scalar(dtype, 1.0)?;
                b.div(one, size)?
            }
        })
    }
}

impl Call<'_> {
    /// An operand.
    pub fn operand(&self, at: usize) -> R<ValueId> {
        let missing = || Stop::Invalid(format!("operand {at} is missing"));
        self.operands.get(at).copied().ok_or_else(missing)
    }
    /// The sizes of all operands.
    fn near(&self, cx: &mut Cx<'_>) -> R<Vec<Dim>> {
        let mut out = Vec::new();
        for &operand in &self.operands {
            out.extend(cx.shape(operand)?);
        }
        Ok(out)
    }
    fn values(&self, at: usize) -> R<&[i64]> {
        let missing = || Stop::Invalid(format!("argument {at} is missing"));
        self.node.ints.get(at).map(Vec::as_slice).ok_or_else(missing)
    }
    /// An integer that is the same in every run.
    pub fn int(&self, at: usize) -> R<i64> {
        let values = self.values(at)?;
        match values.split_first() {
            Some((first, rest)) if rest.iter().all(|v| v == first) => Ok(*first),
            _ => Err(Stop::Unsupported(format!("argument {at} depends on sizes: {values:?}"))),
        }
    }
    /// An axis of an operand.
    pub fn axis(&self, cx: &mut Cx<'_>, at: usize, operand: usize) -> R<usize> {
        let axis = self.int(at)?;
        let rank = cx.shape(self.operand(operand)?)?.len();
        let axis = usize::try_from(axis).ok().filter(|&a| a < rank);
        axis.ok_or_else(|| Stop::Invalid(format!("{:?} is no axis", self.node.ints.get(at))))
    }
    /// An integer as an expression of sizes.
    pub fn dim(&self, cx: &mut Cx<'_>, at: usize) -> R<Dim> {
        let near = self.near(cx)?;
        let values = self.values(at)?;
        cx.sizes.explain(values, &near).ok_or_else(|| {
            Stop::Unsupported(format!("argument {at} does not follow from sizes: {values:?}"))
        })
    }
    /// The shape of the result as expressions of sizes.
    pub fn dims(&self, cx: &mut Cx<'_>) -> R<Vec<Dim>> {
        let near = self.near(cx)?;
        let explain = |values: &Vec<i64>| {
            cx.sizes.explain(values, &near).ok_or_else(|| {
                Stop::Unsupported(format!("a size does not follow from others: {values:?}"))
            })
        };
        self.node.dims.iter().map(explain).collect()
    }
    /// A number, of which sizes may be a part.
    pub fn number(&self, cx: &mut Cx<'_>, at: usize) -> R<Number> {
        let near = self.near(cx)?;
        let missing = || Stop::Invalid(format!("number {at} is missing"));
        let values = self.node.floats.get(at).ok_or_else(missing)?;
        cx.sizes.number(values, &near).ok_or_else(|| {
            Stop::Unsupported(format!("number {at} does not follow from sizes: {values:?}"))
        })
    }
    /// A number that is the same in every run.
    pub fn float(&self, cx: &mut Cx<'_>, at: usize) -> R<f64> {
        match self.number(cx, at)? {
            Number::Known(v) => Ok(v),
            other => Err(Stop::Unsupported(format!("number {at} depends on sizes: {other:?}"))),
        }
    }
}
