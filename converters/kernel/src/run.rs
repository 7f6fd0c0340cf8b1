//! Runs the steps of a program: memory, sizes, control flow, and host ops. What runs a kernel is
//! a [`Backend`].

mod chain;
mod oracle;
mod steady;
mod straight;
mod timed;

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_ir::array::Array;
use airconv_ir::attr::AttrVisitor;
use airconv_ir::dim::{Dim, solve_for};
use airconv_ir::dtype::DType;
use airconv_ir::entity::SymbolId;
use airconv_ir::interp::{Datum, EvalError, EvalLimits, Interpreter};
use airconv_ir::module::InputRole;
use rustc_hash::FxHashMap;

use crate::carrier::{array_of, constant_of, memory_of, view};
use crate::ir::{
    Access, BufferId, BufferKind, Elem, Fit, HostOp, Launch, Loop, Program, Size, Step,
};
use crate::lower::Lowered;
use crate::memory::{Block, Mem};

pub use self::chain::Chain;
pub use self::oracle::Oracle;
pub use self::timed::{Spent, Timed};

/// What runs kernels.
pub trait Backend {
    /// Runs a kernel of the program on one memory per parameter and one value per size.
    ///
    /// # Errors
    /// The code of a failed check, or what else went wrong.
    fn launch(&self, launch: &Launch, buffers: &[Mem], sizes: &[i64]) -> Result<(), LaunchError>;

    /// Whether [`Backend::launch_chain`] runs a chain; the values in between have no memory then.
    fn chains(&self, _chain: &Chain<'_>) -> bool {
        false
    }

    /// Runs a chain for which [`Backend::chains`] holds, on one memory per parameter of each
    /// launch.
    ///
    /// # Errors
    /// As [`Backend::launch`].
    fn launch_chain(&self, _chain: &Chain<'_>, _: [&[Mem]; 3]) -> Result<(), LaunchError> {
        Err(LaunchError::Broken("chains are not run as one".to_owned()))
    }
}

/// Why a kernel stopped.
#[derive(Clone, Debug, PartialEq)]
pub enum LaunchError {
    /// A check of the program failed; the code says which.
    Check(u32),
    /// The kernel is wrong, or its memory.
    Broken(String),
}

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// The program fails on these inputs, as its ops define.
    #[error("{0}")]
    Failed(String),
    /// The inputs do not fit the program.
    #[error("{0}")]
    Input(String),
    /// A limit was reached.
    #[error("limit reached: {0}")]
    Limit(String),
    /// The host cannot run an op.
    #[error("{0}")]
    Unsupported(String),
    /// A fault of this software.
    #[error("internal fault: {0}")]
    Internal(String),
}

/// Bounds on a run.
#[derive(Clone, Copy, Debug)]
pub struct RunLimits {
    /// The most bytes of one array.
    pub array_bytes: u64,
    /// The most iterations of loops.
    pub iterations: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self { array_bytes: 8 << 30, iterations: 50_000_000 }
    }
}

/// What a buffer holds.
#[derive(Clone, Debug)]
enum Held {
    /// Memory and its shape.
    Memory { memory: Memory, dims: Vec<usize> },
    /// A host value.
    Host(Datum),
}

/// Memory that is shared.
#[derive(Clone, Debug)]
pub enum Memory {
    /// Of a run.
    Block(Arc<Block>),
    /// Bytes of a module, read only.
    Bytes(bytes::Bytes),
    /// An array of the caller whose elements lie as kernels want them, read only.
    Array(Arc<Array>),
}

impl Memory {
    /// The memory as kernels see it.
    pub fn mem(&self) -> Mem {
        match self {
            Memory::Block(b) => b.mem(),
            Memory::Bytes(b) => Mem { ptr: b.as_ptr().cast_mut(), len: b.len() },
            Memory::Array(a) => view(a).unwrap_or(Mem { ptr: std::ptr::dangling_mut(), len: 0 }),
        }
    }
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Memory::Block(b) => b.bytes(),
            Memory::Bytes(b) => b,
            Memory::Array(_) => {
                let Mem { ptr, len } = self.mem();
                // SAFETY: the array is shared, so that nobody writes to it, and has that many bytes.
                unsafe { std::slice::from_raw_parts(ptr, len) }
            }
        }
    }
}

/// Runs a lowered program as often as one likes; constants and memory are kept between runs.
pub struct Machine<'p, B> {
    lowered: &'p Lowered,
    backend: B,
    limits: RunLimits,
    /// Constants, and what was made from constants alone.
    constants: FxHashMap<BufferId, Held>,
    /// Which buffers are the same in every run.
    unchanging: Vec<bool>,
    spare: Vec<Block>,
    interpreter: Option<Interpreter>,
    /// The shapes of the last inputs for which the program could not be laid out.
    winding: Option<Vec<Vec<usize>>>,
    layout: Option<straight::Straight<'p>>,
}

/// The state of one run.
struct Frame<'p> {
    held: Vec<Option<Held>>,
    sizes: Vec<Option<i64>>,
    /// What the sizes may be; kernels count on it.
    bounds: &'p [Size],
    /// Sizes that depend on more than one that is not bound yet, with the value they must have.
    pending: Vec<(Dim, i64)>,
    iterations: u64,
}

impl Frame<'_> {
    fn size(&self, dim: &Dim) -> Result<i64, RunError> {
        dim.eval(&|s: SymbolId| self.sizes.get(s.0 as usize).copied().flatten())
            .ok_or_else(|| RunError::Internal(format!("the size {dim} is not bound")))
    }
    fn bind(&mut self, dim: &Dim, value: i64) -> Result<(), RunError> {
        let get = |s: SymbolId| self.sizes.get(s.0 as usize).copied().flatten();
        match dim.eval(&get) {
            Some(v) if v == value => Ok(()),
            Some(v) => Err(RunError::Failed(format!("size {value} where {v} is expected"))),
            None => {
                let Some((symbol, v)) = solve_for(dim, value, &get) else {
                    self.pending.push((dim.clone(), value));
                    return Ok(());
                };
                let place = symbol.0 as usize;
                let (Some(slot), Some(size)) = (self.sizes.get_mut(place), self.bounds.get(place))
                else {
                    return Err(RunError::Internal(format!("there is no size {symbol}")));
                };
                if !size.range.contains(v) {
                    return Err(RunError::Failed(format!("size `{}` cannot be {v}", size.name)));
                }
                *slot = Some(v);
                Ok(())
            }
        }
    }
    /// Checks what an op asks of sizes.
    fn fit(&mut self, fit: &Fit) -> Result<(), RunError> {
        self.settle()?;
        let (from, to) = (self.size(&fit.from)?, self.size(&fit.to)?);
        if fit.holds(from, to) {
            return Ok(());
        }
        Err(RunError::Failed(format!("sizes do not fit: `{}` got {from} for {to}", fit.op)))
    }
    /// Checks what waited for sizes that are bound by now.
    fn settle(&mut self) -> Result<(), RunError> {
        for (dim, value) in std::mem::take(&mut self.pending) {
            self.bind(&dim, value)?;
        }
        Ok(())
    }
}

impl<'p, B: Backend> Machine<'p, B> {
    /// A machine for a program.
    pub fn new(lowered: &'p Lowered, backend: B, limits: RunLimits) -> Self {
        Self {
            lowered,
            backend,
            limits,
            constants: FxHashMap::default(),
            unchanging: lowered.program.unchanging(),
            spare: Vec::new(),
            interpreter: None,
            winding: None,
            layout: None,
        }
    }

    /// What runs the kernels.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    fn program(&self) -> &'p Program {
        &self.lowered.program
    }

    /// Runs the program on inputs by name. Inputs with a default, parameters and state may be
    /// left out.
    pub fn run(
        &mut self,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Vec<(String, Datum)>, RunError> {
        if let Some(outputs) = self.straight(inputs)? {
            return Ok(outputs);
        }
        let program = self.program();
        let mut frame = self.frame();
        let specs = &self.lowered.module.main().inputs;
        for ((name, buffer), spec) in program.inputs.iter().zip(specs) {
            let held = self.input(inputs.get(name), &spec.role, *buffer, name)?;
            frame.held[buffer.0 as usize] = Some(held);
        }
        self.steps(&program.steps, &mut frame)?;
        let mut out = Vec::with_capacity(program.outputs.len());
        for (name, buffer) in &program.outputs {
            out.push((name.clone(), self.datum(&mut frame, *buffer)?));
        }
        // Inputs have memory of their own in each run.
        for (held, buffer) in frame.held.into_iter().zip(&program.buffers) {
            if let Some(held) = held
                && !matches!(buffer.kind, BufferKind::Input(_))
            {
                self.recycle(held);
            }
        }
        Ok(out)
    }

    /// The state at the start of a run.
    fn frame(&self) -> Frame<'p> {
        let program = self.program();
        Frame {
            held: vec![None; program.buffers.len()],
            sizes: vec![None; program.sizes.len()],
            bounds: &program.sizes,
            pending: Vec::new(),
            iterations: 0,
        }
    }

    /// An input, given or stored.
    fn input(
        &self,
        given: Option<&Datum>,
        role: &InputRole,
        buffer: BufferId,
        name: &str,
    ) -> Result<Held, RunError> {
        let stored = match *role {
            InputRole::User { default, .. } => default,
            InputRole::Param(tensor) | InputRole::State(tensor) => tensor,
        };
        match (given, stored) {
            (Some(given), _) => self.hold(buffer, given, name),
            (None, Some(tensor)) => {
                let tensor = &self.lowered.module.tensors[tensor];
                let array = tensor.to_array().map_err(|e| RunError::Input(e.to_string()))?;
                self.hold(buffer, &array.into(), name)
            }
            (None, None) => Err(RunError::Input(format!("input `{name}` is not given"))),
        }
    }

    /// An input as its buffer holds it.
    fn hold(&self, buffer: BufferId, datum: &Datum, name: &str) -> Result<Held, RunError> {
        let b = self.program().buffer(buffer);
        let Some(dtype) = b.dtype else { return Ok(Held::Host(datum.clone())) };
        let wrong = |what: String| RunError::Input(format!("input `{name}` {what}"));
        let Datum::Tensor(array) = datum else {
            return Err(wrong("is not a tensor".to_owned()));
        };
        if array.dtype != dtype {
            return Err(wrong(format!("is {}, not {dtype}", array.dtype)));
        }
        if array.shape.len() != b.shape.len() {
            let (n, m) = (array.shape.len(), b.shape.len());
            return Err(wrong(format!("has rank {n}, not {m}")));
        }
        held(array)
    }

    /// What a buffer holds.
    fn get(&mut self, frame: &Frame<'_>, buffer: BufferId) -> Result<Held, RunError> {
        match &frame.held[buffer.0 as usize] {
            Some(held) => Ok(held.clone()),
            None => self.constant(buffer),
        }
    }

    /// What a buffer of a constant holds.
    fn constant(&mut self, buffer: BufferId) -> Result<Held, RunError> {
        let b = self.program().buffer(buffer);
        if let Some(held) = self.constants.get(&buffer) {
            return Ok(held.clone());
        }
        let BufferKind::Constant(id) = b.kind else {
            return Err(RunError::Internal(format!("buffer {} holds nothing", buffer.0)));
        };
        let tensor = &self.lowered.module.tensors[id];
        let failed = |e: String| RunError::Input(e);
        let held = if b.dtype.is_none() {
            let array = tensor.to_array().map_err(|e| failed(e.to_string()))?;
            Held::Host(array.into())
        } else {
            let memory = constant_of(tensor).map_err(failed)?;
            Held::Memory { memory, dims: tensor.dims.iter().map(|&d| d as usize).collect() }
        };
        self.constants.insert(buffer, held.clone());
        Ok(held)
    }

    fn datum(&mut self, frame: &mut Frame<'_>, buffer: BufferId) -> Result<Datum, RunError> {
        match self.get(frame, buffer)? {
            Held::Host(d) => Ok(d),
            Held::Memory { memory, dims } => {
                let dtype = self.program().buffer(buffer).dtype.unwrap_or(DType::U8);
                let array = array_of(dtype, dims, memory.bytes());
                Ok(array.map_err(|e| RunError::Internal(e.to_string()))?.into())
            }
        }
    }

    fn memory(
        &mut self,
        frame: &mut Frame<'_>,
        buffer: BufferId,
        access: Access,
    ) -> Result<Mem, RunError> {
        let b = self.program().buffer(buffer);
        if frame.held[buffer.0 as usize].is_none()
            && access != Access::Read
            && b.kind == BufferKind::Temporary
        {
            let dtype = b.dtype.unwrap_or(DType::U8);
            let dims = b
                .shape
                .iter()
                .map(|d| {
                    let n = frame.size(d)?;
                    usize::try_from(n).map_err(|_| RunError::Failed(format!("a size of {n}")))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let block = self.block(dtype, &dims)?;
            let memory = Memory::Block(Arc::new(block));
            frame.held[buffer.0 as usize] = Some(Held::Memory { memory, dims });
        }
        let held = frame.held[buffer.0 as usize].as_ref().or_else(|| self.constants.get(&buffer));
        let mem = match held {
            Some(Held::Memory { memory, .. }) => Some(memory.mem()),
            Some(Held::Host(_)) => None,
            None => match self.get(frame, buffer)? {
                Held::Memory { memory, .. } => Some(memory.mem()),
                Held::Host(_) => None,
            },
        };
        mem.ok_or_else(|| RunError::Internal("a kernel on a host value".to_owned()))
    }

    /// A scalar in memory of the run.
    fn scalar(&mut self, dtype: DType, bytes: &[u8]) -> Result<Held, RunError> {
        let mut block = self.block(dtype, &[])?;
        block.bytes_mut().copy_from_slice(bytes);
        Ok(Held::Memory { memory: Memory::Block(Arc::new(block)), dims: Vec::new() })
    }

    /// Lets a buffer hold something else, and keeps its memory for later.
    fn put(&mut self, frame: &mut Frame<'_>, buffer: BufferId, held: Held) {
        if let Some(old) = frame.held[buffer.0 as usize].replace(held) {
            self.recycle(old);
        }
    }

    /// Memory for an array, reused where there is some of the same size.
    fn block(&mut self, dtype: DType, dims: &[usize]) -> Result<Block, RunError> {
        let (elem, parts) = Elem::of(dtype).unwrap_or((Elem::U8, 1));
        let bytes = dims
            .iter()
            .try_fold(elem.bytes() * parts, |n, &d| n.checked_mul(d))
            .filter(|&n| n as u64 <= self.limits.array_bytes)
            .ok_or_else(|| RunError::Limit(format!("an array of shape {dims:?}")))?;
        if let Some(i) = self.spare.iter().rposition(|b| b.len() == bytes) {
            return Ok(self.spare.swap_remove(i));
        }
        Block::new(bytes).ok_or_else(|| RunError::Limit(format!("{bytes} bytes of memory")))
    }

    fn recycle(&mut self, held: Held) {
        if let Held::Memory { memory: Memory::Block(b), .. } = held
            && let Ok(block) = Arc::try_unwrap(b)
            && self.spare.len() < self.lowered.program.buffers.len()
        {
            self.spare.push(block);
        }
    }

    fn steps(&mut self, steps: &'p [Step], frame: &mut Frame<'_>) -> Result<(), RunError> {
        for step in steps {
            self.step(step, frame)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &'p Step, frame: &mut Frame<'_>) -> Result<(), RunError> {
        match step {
            Step::Launch(launch) => self.launch(launch, frame),
            Step::Bind(b) => {
                let values = self.ints(frame, b.buffer)?;
                if values.len() != b.dims.len() {
                    let (n, m) = (values.len(), b.dims.len());
                    return Err(RunError::Failed(format!("{n} sizes, not {m}")));
                }
                for (dim, value) in b.dims.iter().zip(values) {
                    frame.bind(dim, value)?;
                }
                Ok(())
            }
            Step::BindShape(buffer) => {
                let Held::Memory { dims, .. } = self.get(frame, *buffer)? else { return Ok(()) };
                let shape = &self.program().buffer(*buffer).shape;
                for (dim, size) in shape.iter().zip(dims) {
                    frame.bind(dim, size as i64)?;
                }
                Ok(())
            }
            Step::Fit(fit) => frame.fit(fit),
            Step::Alias { to, from } => {
                let mut held = self.get(frame, *from)?;
                let b = self.program().buffer(*to);
                if b.dtype.is_none() && matches!(held, Held::Memory { .. }) {
                    // A value whose rank only a run tells is the host's.
                    held = Held::Host(self.datum(frame, *from)?);
                }
                if let Held::Memory { dims, .. } = &mut held {
                    let shape: Result<Vec<i64>, _> =
                        b.shape.iter().map(|d| frame.size(d)).collect();
                    // Where its own sizes are not bound yet it has those of the other.
                    if let Ok(shape) = shape {
                        let shape: Vec<usize> = shape.iter().map(|&n| n.max(0) as usize).collect();
                        let count = |shape: &[usize]| {
                            shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))
                        };
                        if count(&shape) != count(dims) {
                            return Err(RunError::Failed(format!(
                                "shape {dims:?} cannot become {shape:?}"
                            )));
                        }
                        if shape.len() != dims.len() || !b.shape.is_empty() {
                            *dims = shape;
                        }
                    }
                }
                frame.held[to.0 as usize] = Some(held);
                Ok(())
            }
            Step::Host(op) => self.host(op, frame),
            Step::Assert { condition, message } => {
                let datum = self.datum(frame, *condition)?;
                let holds = datum.as_array().and_then(|a| a.as_slice::<bool>());
                match holds {
                    Some(v) if v.iter().all(|&b| b) => Ok(()),
                    _ => Err(RunError::Failed(message.clone())),
                }
            }
            Step::If { condition, then, otherwise } => {
                let holds = self.truth(frame, *condition)?;
                self.steps(if holds { then } else { otherwise }, frame)
            }
            Step::Loop(l) => self.repeat(l, frame),
            Step::Free(buffer) => {
                if let Some(held) = frame.held[buffer.0 as usize].take() {
                    self.recycle(held);
                }
                Ok(())
            }
        }
    }

    fn ints(&mut self, frame: &mut Frame<'_>, buffer: BufferId) -> Result<Vec<i64>, RunError> {
        let datum = self.datum(frame, buffer)?;
        datum
            .as_array()
            .and_then(Array::to_i64s)
            .ok_or_else(|| RunError::Failed("sizes that are not integers".to_owned()))
    }

    fn truth(&mut self, frame: &mut Frame<'_>, buffer: BufferId) -> Result<bool, RunError> {
        if let Held::Memory { memory, .. } = self.get(frame, buffer)?
            && self.program().buffer(buffer).dtype == Some(DType::Bool)
            && let [byte] = memory.bytes()
        {
            return Ok(*byte != 0);
        }
        let datum = self.datum(frame, buffer)?;
        match datum.as_array().and_then(|a| a.as_slice::<bool>()) {
            Some(&[b]) => Ok(b),
            _ => Err(RunError::Failed("a condition is not a single bool".to_owned())),
        }
    }

    /// Whether all that a launch makes is the same in every run.
    fn is_unchanging(&self, launch: &Launch) -> bool {
        let params = &self.program().kernel(launch.kernel).params;
        let pairs = launch.buffers.iter().zip(params);
        let mut written = pairs.filter(|(_, p)| p.access != Access::Read).peekable();
        written.peek().is_some() && written.all(|(b, _)| self.unchanging[b.0 as usize])
    }

    fn launch(&mut self, launch: &Launch, frame: &mut Frame<'_>) -> Result<(), RunError> {
        frame.settle()?;
        let kernel = self.program().kernel(launch.kernel);
        let unchanging = self.is_unchanging(launch);
        let written = || {
            let pairs = launch.buffers.iter().zip(&kernel.params);
            pairs.filter(|(_, p)| p.access != Access::Read).map(|(b, _)| *b)
        };
        if unchanging && written().all(|b| self.constants.contains_key(&b)) {
            return Ok(());
        }
        let mut buffers = Vec::with_capacity(launch.buffers.len());
        for (buffer, param) in launch.buffers.iter().zip(&kernel.params) {
            buffers.push(self.memory(frame, *buffer, param.access)?);
        }
        let sizes = launch.sizes.iter().map(|d| frame.size(d)).collect::<Result<Vec<_>, _>>()?;
        let done = self.backend.launch(launch, &buffers, &sizes);
        done.map_err(|e| self.launch_error(launch, e))?;
        if unchanging {
            for b in written() {
                if let Some(held) = frame.held[b.0 as usize].take() {
                    self.constants.insert(b, held);
                }
            }
        }
        Ok(())
    }

    fn launch_error(&self, launch: &Launch, error: LaunchError) -> RunError {
        match error {
            LaunchError::Check(code) => {
                let text = self.program().failures.get(code as usize);
                RunError::Failed(text.cloned().unwrap_or_default())
            }
            LaunchError::Broken(why) => {
                let name = &self.program().kernel(launch.kernel).name;
                RunError::Internal(format!("kernel `{name}`: {why}"))
            }
        }
    }

    fn repeat(&mut self, l: &'p Loop, frame: &mut Frame<'_>) -> Result<(), RunError> {
        let trips = match l.trips {
            None => None,
            Some(b) => match self.ints(frame, b)?[..] {
                [n] => Some(n),
                _ => return Err(RunError::Failed("a trip count is not one integer".to_owned())),
            },
        };
        let mut running = match l.condition {
            None => true,
            Some(b) => self.truth(frame, b)?,
        };
        if let Some(trips) = trips.filter(|_| running)
            && self.steady(l, trips, frame)?
        {
            return Ok(());
        }
        let mut state = Vec::new();
        for [initial, ..] in &l.carried {
            state.push(self.get(frame, *initial)?);
        }
        let mut stacks: Vec<Stack> = l.stacked.iter().map(|_| Stack::default()).collect();
        let made = self.made_by(l);
        let mut iteration = 0i64;
        while running && trips.is_none_or(|n| iteration < n) {
            frame.iterations += 1;
            if frame.iterations > self.limits.iterations {
                return Err(RunError::Limit(format!("{} iterations", self.limits.iterations)));
            }
            for s in &l.fresh {
                frame.sizes[s.0 as usize] = None;
            }
            let number = self.scalar(DType::I64, &iteration.to_le_bytes())?;
            let flag = self.scalar(DType::Bool, &[u8::from(running)])?;
            self.clear(&made, frame);
            self.put(frame, l.iteration, number);
            self.put(frame, l.running, flag);
            for ([_, seen, ..], held) in l.carried.iter().zip(state.drain(..)) {
                self.put(frame, *seen, held);
            }
            self.steps(&l.body, frame)?;
            running = self.truth(frame, l.next)?;
            for [_, _, made, _] in &l.carried {
                state.push(self.get(frame, *made)?);
            }
            for (stack, (made, _)) in stacks.iter_mut().zip(&l.stacked) {
                stack.push(self.get(frame, *made)?, trips, self.limits.array_bytes)?;
                if stack.bytes.len() as u64 > self.limits.array_bytes {
                    return Err(RunError::Limit("a stack of a loop".to_owned()));
                }
            }
            iteration += 1;
        }
        for s in &l.fresh {
            frame.sizes[s.0 as usize] = None;
        }
        for ([.., out], held) in l.carried.iter().zip(state) {
            frame.held[out.0 as usize] = Some(held);
        }
        for (stack, (made, out)) in stacks.into_iter().zip(&l.stacked) {
            let whole = self.stacked(stack, *made, frame)?;
            frame.held[out.0 as usize] = Some(whole);
        }
        Ok(())
    }

    /// The buffers that the body of a loop gives a meaning anew in each iteration.
    fn made_by(&self, l: &Loop) -> Vec<BufferId> {
        let mut made = Vec::new();
        for step in &l.body {
            written(step, self.program(), &mut made);
        }
        let seen = |b: BufferId| {
            b == l.iteration || b == l.running || l.carried.iter().any(|[_, seen, ..]| *seen == b)
        };
        made.retain(|&b| !seen(b));
        made
    }

    /// Forgets what the body made in the iteration before.
    fn clear(&mut self, made: &[BufferId], frame: &mut Frame<'_>) {
        for b in made {
            if let Some(held) = frame.held[b.0 as usize].take() {
                self.recycle(held);
            }
        }
    }

    /// What a loop stacked; `like` is the buffer of one element.
    fn stacked(
        &mut self,
        stack: Stack,
        like: BufferId,
        frame: &Frame<'_>,
    ) -> Result<Held, RunError> {
        let b = self.program().buffer(like);
        let Some(first) = stack.dims else {
            let dtype = b.dtype.ok_or_else(|| {
                RunError::Unsupported("a loop that never runs with a stack of strings".to_owned())
            })?;
            let mut shape = vec![0];
            shape.extend(b.shape.iter().map(|d| frame.size(d).map_or(0, |n| n.max(0) as usize)));
            let array = Array::zeros(dtype, shape).map_err(|e| RunError::Failed(e.to_string()))?;
            return held(&Arc::new(array));
        };
        let mut block = self.block(DType::U8, &[stack.bytes.len()])?;
        block.bytes_mut().copy_from_slice(&stack.bytes);
        let mut dims = vec![stack.count];
        dims.extend(first);
        Ok(Held::Memory { memory: Memory::Block(Arc::new(block)), dims })
    }

    fn host(&mut self, host: &HostOp, frame: &mut Frame<'_>) -> Result<(), RunError> {
        struct Concrete<'f>(&'f Frame<'f>);
        impl AttrVisitor for Concrete<'_> {
            fn dim(&mut self, dim: &mut Dim) {
                *dim = dim.substitute(&mut |s| {
                    let known = self.0.sizes.get(s.0 as usize).copied().flatten();
                    known.map(Dim::Known)
                });
            }
        }
        let mut op = self.lowered.module.main().nodes[host.node].op.clone();
        op.visit_attrs_mut(&mut Concrete(frame));
        let mut operands = Vec::with_capacity(host.operands.len());
        for operand in &host.operands {
            operands.push(match operand {
                Some(b) => Some(self.datum(frame, *b)?),
                None => None,
            });
        }
        let module = &self.lowered.module;
        let interpreter = self
            .interpreter
            .get_or_insert_with(|| Interpreter::new(module.clone(), EvalLimits::default()));
        let results = interpreter.eval_op(&op, &operands).map_err(|e| match e.root() {
            EvalError::Unsupported(why) => RunError::Unsupported(format!("`{}`: {why}", host.name)),
            EvalError::Limit(why) => RunError::Limit(why.clone()),
            _ => RunError::Failed(e.to_string()),
        })?;
        for (slot, result) in host.results.iter().enumerate() {
            let Some(buffer) = result else { continue };
            let Some(datum) = results.get(slot).cloned().flatten() else {
                return Err(RunError::Failed(format!("`{}` gave no result {slot}", host.name)));
            };
            let held = match (&datum, self.program().buffer(*buffer).dtype) {
                (Datum::Tensor(a), Some(_)) => held(a)?,
                _ => Held::Host(datum),
            };
            frame.held[buffer.0 as usize] = Some(held);
        }
        Ok(())
    }
}

/// The most bytes that a stack is given before they are needed.
const AHEAD: u64 = 64 << 20;

/// Elements that a loop stacks, one after another.
#[derive(Default)]
struct Stack {
    bytes: Vec<u8>,
    /// The shape of each element, once there is one.
    dims: Option<Vec<usize>>,
    count: usize,
}

impl Stack {
    /// Adds an element; `most` is how many there will be at most, as far as it is known.
    fn push(&mut self, element: Held, most: Option<i64>, limit: u64) -> Result<(), RunError> {
        let Held::Memory { memory, dims } = element else {
            return Err(RunError::Unsupported("a loop that stacks strings".to_owned()));
        };
        if self.dims.as_ref().is_some_and(|d| *d != dims) {
            return Err(RunError::Failed("stacked elements differ in shape".to_owned()));
        }
        if self.dims.is_none() {
            let whole =
                most.and_then(|n| memory.bytes().len().checked_mul(usize::try_from(n).ok()?));
            self.bytes.reserve(whole.filter(|&n| n as u64 <= limit.min(AHEAD)).unwrap_or(0));
        }
        self.bytes.extend_from_slice(memory.bytes());
        self.dims = Some(dims);
        self.count += 1;
        Ok(())
    }
}

/// An array as a buffer holds it.
fn held(array: &Arc<Array>) -> Result<Held, RunError> {
    let memory = memory_of(array).ok_or_else(|| RunError::Limit("memory".to_owned()))?;
    Ok(Held::Memory { memory, dims: array.shape.clone() })
}

/// The buffers that a step gives a meaning.
fn written(step: &Step, program: &Program, out: &mut Vec<BufferId>) {
    match step {
        Step::Launch(l) => {
            let params = &program.kernel(l.kernel).params;
            for (b, p) in l.buffers.iter().zip(params) {
                if p.access != Access::Read {
                    out.push(*b);
                }
            }
        }
        Step::Alias { to, .. } => out.push(*to),
        Step::Host(h) => out.extend(h.results.iter().flatten()),
        Step::If { then, otherwise, .. } => {
            then.iter().chain(otherwise).for_each(|s| written(s, program, out));
        }
        Step::Loop(l) => {
            out.extend(l.carried.iter().map(|c| c[3]));
            out.extend(l.stacked.iter().map(|s| s.1));
            out.extend([l.iteration, l.running]);
            out.extend(l.carried.iter().map(|c| c[1]));
            l.body.iter().for_each(|s| written(s, program, out));
        }
        Step::Bind(_) | Step::BindShape(_) | Step::Fit(_) | Step::Assert { .. } | Step::Free(_) => {
        }
    }
}
