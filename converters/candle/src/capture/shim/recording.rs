//! Recording of what a program computes. This file is added to a copy of candle-core by
//! `airconv capture`; the functions that make tensors call it.
//!
//! While [`start`] is in force on a thread, every tensor that is made there keeps the call that
//! made it. [`graph`] walks from results back to what they depend on. Nothing is recorded on
//! other threads, and nothing at all before the first [`start`].

use crate::op::{BackpropOp, BinaryOp, CmpOp, Op, ReduceOp, UnaryOp};
use crate::quantized::QTensor;
use crate::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Layout, Result, Tensor};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::panic::Location;
use std::sync::Arc;

/// The version of candle-core that this is.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A call by name: what it was given, and the numbers that say what it does.
#[derive(Clone)]
pub struct Call {
    /// What was called.
    pub name: String,
    /// The tensors that it was given.
    pub inputs: Vec<Tensor>,
    /// Axes, sizes and choices.
    pub ints: Vec<i64>,
    /// Other numbers.
    pub floats: Vec<f64>,
}

/// Something that a graph of calls cannot say.
#[derive(Clone)]
pub struct Event {
    /// What happened: a function that takes values out of tensors, or writes in place.
    pub what: String,
    /// The tensor that it happened to.
    pub tensor: Tensor,
    /// Where it was called from.
    pub at: &'static Location<'static>,
}

/// A tensor and the call that made it; none for a leaf.
pub struct Node {
    /// The tensor.
    pub tensor: Tensor,
    /// What made it.
    pub call: Option<Call>,
}

#[derive(Default)]
struct State {
    /// The value of a buffer that was written in place, by the place of the buffer.
    written: HashMap<usize, Tensor>,
    /// What a buffer held before the first such write.
    originals: HashMap<usize, Tensor>,
    /// Where data of the host became tensors.
    places: HashMap<usize, &'static Location<'static>>,
    events: Vec<Event>,
}

thread_local! {
    static STATE: RefCell<Option<State>> = const { RefCell::new(None) };
}

/// Begins a recording on this thread and gives the number below which tensors are older.
pub fn start() -> usize {
    STATE.with(|s| *s.borrow_mut() = Some(State::default()));
    Tensor::next_number()
}

/// Ends the recording of this thread; what was noted beside the calls.
pub fn stop() -> Vec<Event> {
    STATE.with(|s| s.borrow_mut().take()).map(|s| s.events).unwrap_or_default()
}

/// The number of a tensor; one that is made later has a higher number.
pub fn number(tensor: &Tensor) -> usize {
    tensor.number()
}

/// Whether this thread is recording.
pub fn active() -> bool {
    STATE.with(|s| s.borrow().is_some())
}

fn with<T>(f: impl FnOnce(&mut State) -> T) -> Option<T> {
    STATE.with(|s| s.borrow_mut().as_mut().map(f))
}

/// The value that a tensor stands for now: of a buffer that was written in place the latest.
pub fn resolve(t: &Tensor) -> Tensor {
    let current = with(|s| s.written.get(&t.buffer()).cloned()).flatten();
    match current {
        Some(current) if t.number() < current.number() => {
            if current.layout() == t.layout() {
                return current;
            }
            note("a view made before a write in place", t, Location::caller());
            t.clone()
        }
        _ => t.clone(),
    }
}

fn note(what: &str, tensor: &Tensor, at: &'static Location<'static>) {
    with(|s| s.events.push(Event { what: what.to_owned(), tensor: tensor.clone(), at }));
}

/// Notes that values are taken out of a tensor.
pub(crate) fn read(what: &str, tensor: &Tensor, at: &'static Location<'static>) {
    if active() {
        note(what, &resolve(tensor), at);
    }
}

/// Notes where data of the host became a tensor.
pub(crate) fn made(tensor: Tensor, at: &'static Location<'static>) -> Tensor {
    with(|s| s.places.insert(tensor.number(), at));
    tensor
}

/// Where data of the host became this tensor, if that is known. Ask before [`stop`].
pub fn place(tensor: &Tensor) -> Option<&'static Location<'static>> {
    with(|s| s.places.get(&tensor.number()).copied()).flatten()
}

/// The call that makes a new tensor; none while nothing is recorded.
pub(crate) fn call(name: &str, inputs: &[&Tensor], ints: &[i64], floats: &[f64]) -> BackpropOp {
    if !active() {
        return BackpropOp::none();
    }
    let inputs = inputs.iter().map(|t| resolve(t)).collect();
    let (ints, floats) = (ints.to_vec(), floats.to_vec());
    BackpropOp::recorded(Op::Recorded(Call { name: name.to_owned(), inputs, ints, floats }))
}

/// The call of a function that needs no tensor; none for a variable.
pub(crate) fn constructor(name: &str, is_variable: bool, floats: &[f64]) -> BackpropOp {
    if is_variable { BackpropOp::none() } else { call(name, &[], &[], floats) }
}

pub(crate) fn cmp(lhs: &Tensor, rhs: &Tensor, op: CmpOp) -> BackpropOp {
    if !active() {
        return BackpropOp::new1(lhs, |a| Op::Cmp(a, op));
    }
    let name = match op {
        CmpOp::Eq => "eq",
        CmpOp::Ne => "ne",
        CmpOp::Le => "le",
        CmpOp::Ge => "ge",
        CmpOp::Lt => "lt",
        CmpOp::Gt => "gt",
    };
    call(name, &[lhs, rhs], &[], &[])
}

/// Of a generic type the last part of its name.
fn type_name<C>() -> &'static str {
    let name = std::any::type_name::<C>();
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

pub(crate) fn custom1<C: CustomOp1>(x: &Tensor, op: &C) -> BackpropOp {
    let _ = op;
    call(&format!("custom {}", type_name::<C>()), &[x], &[], &[])
}

pub(crate) fn custom2<C: CustomOp2>(x: &Tensor, y: &Tensor, op: &C) -> BackpropOp {
    if !active() {
        return BackpropOp::none();
    }
    let name = type_name::<C>();
    let eps = if op.name() == "rms-norm" { rms_norm_eps(op) } else { None };
    call(&format!("custom {name}"), &[x, y], &[], eps.as_slice())
}

pub(crate) fn custom3<C: CustomOp3>(x: &Tensor, y: &Tensor, z: &Tensor, op: &C) -> BackpropOp {
    if !active() {
        return BackpropOp::none();
    }
    let name = type_name::<C>();
    let eps = if op.name() == "layer-norm" { layer_norm_eps(op) } else { None };
    call(&format!("custom {name}"), &[x, y, z], &[], eps.as_slice())
}

/// A magnitude beside which any epsilon in use is large.
const TINY: f32 = 1e-15;

/// The epsilon with which TINY is normalised to `y`: the one of few digits that gives it.
fn eps_of(y: f32) -> Option<f64> {
    let (a, y) = (f64::from(TINY), f64::from(y));
    let eps = (a / y) * (a / y) - a * a;
    let short = format!("{eps:.4e}").parse().ok()?;
    (eps.is_finite() && eps >= 0.).then_some(short)
}

/// The private epsilon of a normalisation by the root mean square, from running it on two numbers.
fn rms_norm_eps<C: CustomOp2>(op: &C) -> Option<f64> {
    let (pair, one) = (Layout::contiguous((1, 2)), Layout::contiguous(2));
    let (x, alpha) = (CpuStorage::F32(vec![TINY; 2]), CpuStorage::F32(vec![1.; 2]));
    match op.cpu_fwd(&x, &pair, &alpha, &one).ok()?.0 {
        CpuStorage::F32(y) => eps_of(*y.first()?),
        _ => None,
    }
}

/// As [`rms_norm_eps`], for a layer norm.
fn layer_norm_eps<C: CustomOp3>(op: &C) -> Option<f64> {
    let (pair, one) = (Layout::contiguous((1, 2)), Layout::contiguous(2));
    let x = CpuStorage::F32(vec![TINY, -TINY]);
    let (alpha, beta) = (CpuStorage::F32(vec![1.; 2]), CpuStorage::F32(vec![0.; 2]));
    match op.cpu_fwd(&x, &pair, &alpha, &one, &beta, &one).ok()?.0 {
        CpuStorage::F32(y) => eps_of(*y.first()?),
        _ => None,
    }
}

/// The call of a product with quantised weights, which become an operand.
pub(crate) fn quantised_product(
    x: &Tensor,
    weight: &Arc<QTensor>,
    result: Tensor,
) -> Result<Tensor> {
    if !active() {
        return Ok(result);
    }
    let key = Arc::as_ptr(weight) as usize;
    let known = QUANTISED.with(|q| q.borrow().get(&key).map(|(_, dense)| dense.clone()));
    let dense = match known {
        Some(dense) => dense,
        None => {
            let dense = weight.dequantize(x.device())?;
            let entry = (weight.clone(), dense.clone());
            QUANTISED.with(|q| q.borrow_mut().insert(key, entry));
            dense
        }
    };
    Ok(result.as_call("qmatmul", &[x, &dense], &[], &[]))
}

thread_local! {
    /// Quantised weights as plain tensors, by place, so that one weight is one operand. They are
    /// kept, so that no other weight comes to lie in the place of one.
    static QUANTISED: RefCell<HashMap<usize, (Arc<QTensor>, Tensor)>> =
        RefCell::new(HashMap::new());
}

/// To be called before a buffer is written in place.
pub(crate) fn before_write(t: &Tensor) -> Result<()> {
    let known = with(|s| s.written.contains_key(&t.buffer()));
    if known == Some(false) {
        let copy = t.copy()?;
        with(|s| s.originals.insert(t.buffer(), copy));
    }
    Ok(())
}

/// To be called after a buffer was written in place: it has the value of this call from now on.
pub(crate) fn written(name: &str, t: &Tensor, others: &[&Tensor], ints: &[i64]) {
    if !active() {
        return;
    }
    let whole = resolve(t);
    let mut inputs = vec![&whole];
    inputs.extend(others);
    let now = t.clone().as_call(name, &inputs, ints, &[]);
    with(|s| s.written.insert(t.buffer(), now));
}

/// The tensors that `results` depend on, with the calls that made them, those made first first.
/// Copies stand for what they copy. Ask before [`stop`].
pub fn graph(results: &[Tensor]) -> Vec<Node> {
    let mut nodes: BTreeMap<usize, Node> = BTreeMap::new();
    let mut open: Vec<Tensor> = results.iter().map(origin).collect();
    while let Some(tensor) = open.pop() {
        if nodes.contains_key(&tensor.number()) {
            continue;
        }
        let call = tensor.recorded_op().as_ref().map(|op| translate(op, &tensor));
        if let Some(call) = &call {
            open.extend(call.inputs.iter().cloned());
        }
        nodes.insert(tensor.number(), Node { tensor, call });
    }
    nodes.into_values().collect()
}

/// What a leaf held when it was first used.
pub fn original(leaf: &Tensor) -> Tensor {
    let before = with(|s| s.originals.get(&leaf.buffer()).cloned()).flatten();
    before.filter(|b| b.layout() == leaf.layout()).unwrap_or_else(|| leaf.clone())
}

/// The tensor that this is a copy of; itself if it is none.
pub fn origin(tensor: &Tensor) -> Tensor {
    let mut tensor = resolve(tensor);
    loop {
        let next = match tensor.recorded_op() {
            Some(Op::Copy(t) | Op::ToDevice(t)) => t.clone(),
            _ => return tensor,
        };
        tensor = next;
    }
}

fn translate(op: &Op, out: &Tensor) -> Call {
    let plain = |name: &str, inputs: &[&Tensor], ints: Vec<usize>, floats: Vec<f64>| Call {
        name: name.to_owned(),
        inputs: inputs.iter().map(|t| (*t).clone()).collect(),
        ints: ints.into_iter().map(|i| i as i64).collect(),
        floats,
    };
    let mut call = match op {
        Op::Recorded(call) => call.clone(),
        Op::Binary(a, b, op) => plain(binary(*op), &[a, b], vec![], vec![]),
        Op::Unary(a, op) => plain(unary(*op), &[a], vec![], vec![]),
        Op::Cmp(a, _) => plain("cmp", &[a], vec![], vec![]),
        Op::Reduce(a, op, kept) => {
            let axes = (0..kept.len()).filter(|&i| kept[i] != a.dims()[i]).collect();
            plain(reduce(*op), &[a], axes, vec![])
        }
        Op::Matmul(a, b) => plain("matmul", &[a, b], vec![], vec![]),
        Op::Gather(a, i, dim) => plain("gather", &[a, i], vec![*dim], vec![]),
        Op::Scatter(a, i, s, dim) => plain("scatter", &[a, i, s], vec![*dim], vec![]),
        Op::ScatterAdd(a, i, s, dim) => plain("scatter_add", &[a, i, s], vec![*dim], vec![]),
        Op::IndexSelect(a, i, dim) => plain("index_select", &[a, i], vec![*dim], vec![]),
        Op::IndexAdd(a, i, s, dim) => plain("index_add", &[a, i, s], vec![*dim], vec![]),
        Op::WhereCond(c, a, b) => plain("where_cond", &[c, a, b], vec![], vec![]),
        Op::Conv1D { arg, kernel, padding, stride, dilation } => {
            plain("conv1d", &[arg, kernel], vec![*padding, *stride, *dilation, 1], vec![])
        }
        Op::Conv2D { arg, kernel, padding, stride, dilation } => {
            plain("conv2d", &[arg, kernel], vec![*padding, *stride, *dilation, 1], vec![])
        }
        Op::ConvTranspose1D { arg, kernel, padding, output_padding, stride, dilation } => {
            let ints = vec![*padding, *output_padding, *stride, *dilation, 1];
            plain("conv_transpose1d", &[arg, kernel], ints, vec![])
        }
        Op::ConvTranspose2D { arg, kernel, padding, output_padding, stride, dilation } => {
            let ints = vec![*padding, *output_padding, *stride, *dilation, 1];
            plain("conv_transpose2d", &[arg, kernel], ints, vec![])
        }
        Op::AvgPool2D { arg, kernel_size: k, stride: s } => {
            plain("avg_pool2d", &[arg], vec![k.0, k.1, s.0, s.1], vec![])
        }
        Op::MaxPool2D { arg, kernel_size: k, stride: s } => {
            plain("max_pool2d", &[arg], vec![k.0, k.1, s.0, s.1], vec![])
        }
        Op::UpsampleNearest1D { arg, target_size } => {
            plain("upsample_nearest1d", &[arg], vec![*target_size], vec![])
        }
        Op::UpsampleNearest2D { arg, target_h, target_w } => {
            plain("upsample_nearest2d", &[arg], vec![*target_h, *target_w], vec![])
        }
        Op::UpsampleBilinear2D { arg, target_h, target_w, align_corners } => {
            let ints = vec![*target_h, *target_w, usize::from(*align_corners)];
            plain("upsample_bilinear2d", &[arg], ints, vec![])
        }
        Op::Cat(args, dim) => plain("cat", &args.iter().collect::<Vec<_>>(), vec![*dim], vec![]),
        Op::Affine { arg, mul, add } => plain("affine", &[arg], vec![], vec![*mul, *add]),
        Op::ToDType(a) => plain("to_dtype", &[a], vec![], vec![]),
        Op::Copy(a) | Op::ToDevice(a) => plain("copy", &[a], vec![], vec![]),
        Op::Broadcast(a) => plain("broadcast_as", &[a], vec![], vec![]),
        Op::Narrow(a, dim, start, len) => plain("narrow", &[a], vec![*dim, *start, *len], vec![]),
        Op::SliceScatter0(a, s, start) => plain("slice_set", &[a, s], vec![0, *start], vec![]),
        Op::Reshape(a) => plain("reshape", &[a], vec![], vec![]),
        Op::Transpose(a, dim1, dim2) => {
            let mut perm: Vec<usize> = (0..out.rank()).collect();
            perm.swap(*dim1, *dim2);
            plain("permute", &[a], perm, vec![])
        }
        Op::Permute(a, dims) => plain("permute", &[a], dims.clone(), vec![]),
        Op::Elu(a, alpha) => plain("elu", &[a], vec![], vec![*alpha]),
        Op::Powf(a, e) => plain("powf", &[a], vec![], vec![*e]),
        Op::CustomOp1(a, c) => plain(&format!("custom {}", c.name()), &[a], vec![], vec![]),
        Op::CustomOp2(a, b, c) => plain(&format!("custom {}", c.name()), &[a, b], vec![], vec![]),
        Op::CustomOp3(a, b, d, c) => {
            plain(&format!("custom {}", c.name()), &[a, b, d], vec![], vec![])
        }
    };
    for input in &mut call.inputs {
        *input = skip_copies(input);
    }
    call
}

/// As [`origin`], of a value that was resolved when it was used.
fn skip_copies(tensor: &Tensor) -> Tensor {
    let mut tensor = tensor.clone();
    loop {
        let next = match tensor.recorded_op() {
            Some(Op::Copy(t) | Op::ToDevice(t)) => t.clone(),
            _ => return tensor,
        };
        tensor = next;
    }
}

fn binary(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "add",
        BinaryOp::Mul => "mul",
        BinaryOp::Sub => "sub",
        BinaryOp::Div => "div",
        BinaryOp::Maximum => "maximum",
        BinaryOp::Minimum => "minimum",
    }
}

fn unary(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Exp => "exp",
        UnaryOp::Log => "log",
        UnaryOp::Sin => "sin",
        UnaryOp::Cos => "cos",
        UnaryOp::Abs => "abs",
        UnaryOp::Neg => "neg",
        UnaryOp::Recip => "recip",
        UnaryOp::Sqr => "sqr",
        UnaryOp::Sqrt => "sqrt",
        UnaryOp::Gelu => "gelu",
        UnaryOp::GeluErf => "gelu_erf",
        UnaryOp::Erf => "erf",
        UnaryOp::Relu => "relu",
        UnaryOp::Silu => "silu",
        UnaryOp::Tanh => "tanh",
        UnaryOp::Floor => "floor",
        UnaryOp::Ceil => "ceil",
        UnaryOp::Round => "round",
        UnaryOp::Sign => "sign",
    }
}

fn reduce(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "sum",
        ReduceOp::Min => "min",
        ReduceOp::Max => "max",
        ReduceOp::ArgMin => "argmin",
        ReduceOp::ArgMax => "argmax",
    }
}
