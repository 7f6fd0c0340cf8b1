//! Programs: steps over buffers.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, SymbolId, TensorId};

use super::kernel::Kernel;

/// A buffer of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

/// A kernel of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelId(pub u32);

/// A size that steps refer to: a symbol of the hub function that the program was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Size {
    /// The name.
    pub name: String,
    /// Its bounds.
    pub range: airconv_ir::dim::Range,
}

/// Where a buffer's elements are.
#[derive(Clone, Debug, PartialEq)]
pub enum BufferKind {
    /// Given by the caller, by position.
    Input(u32),
    /// A tensor of the module.
    Constant(TensorId),
    /// Memory of the run, dense and row-major.
    Temporary,
    /// A sequence, an optional, strings or a map: only host steps touch it.
    Host,
}

/// A dense row-major array, or a host value.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// The hub dtype; `None` for host values that are not tensors.
    pub dtype: Option<DType>,
    /// The size of each axis, over [`Program::sizes`].
    pub shape: Vec<Dim>,
    /// Where it is.
    pub kind: BufferKind,
}

/// A run of a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Launch {
    /// The kernel.
    pub kernel: KernelId,
    /// One buffer per parameter.
    pub buffers: Vec<BufferId>,
    /// One value per size parameter.
    pub sizes: Vec<Dim>,
}

/// Gives sizes their values from an integer array.
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    /// The array.
    pub buffer: BufferId,
    /// What its elements are, in order; one unbound size each at most.
    pub dims: Vec<Dim>,
}

/// An op that the hub's interpreter runs, because kernels have no form for it.
#[derive(Clone, Debug, PartialEq)]
pub struct HostOp {
    /// The node.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// Its operands.
    pub operands: Vec<Option<BufferId>>,
    /// Its results.
    pub results: Vec<Option<BufferId>>,
}

/// What a program does next.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Runs a kernel.
    Launch(Launch),
    /// Binds sizes, or checks those that are bound.
    Bind(Binding),
    /// Binds the sizes in the shape of a buffer from the shape that it has, or checks them.
    BindShape(BufferId),
    /// Lets a buffer stand for what another one holds, under its own shape.
    Alias {
        /// The buffer that gets a meaning.
        to: BufferId,
        /// The one whose memory it shares.
        from: BufferId,
    },
    /// Runs an op in the hub's interpreter.
    Host(HostOp),
    /// Fails unless every element holds.
    Assert {
        /// A `bool` array.
        condition: BufferId,
        /// The message.
        message: String,
    },
    /// Runs one of two lists.
    If {
        /// One `bool`.
        condition: BufferId,
        /// Where it holds; its last steps alias the results.
        then: Vec<Step>,
        /// Elsewhere.
        otherwise: Vec<Step>,
    },
    /// Runs a list until the trip count is reached or the condition fails.
    Loop(Box<Loop>),
    /// Ends the life of a buffer.
    Free(BufferId),
}

/// A loop of a program.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// How often at most, one integer.
    pub trips: Option<BufferId>,
    /// Whether to run at all, one `bool`.
    pub condition: Option<BufferId>,
    /// The iteration number as the body sees it.
    pub iteration: BufferId,
    /// The condition as the body sees it.
    pub running: BufferId,
    /// Carried values: what comes in, what the body sees, what the body gives, the result.
    pub carried: Vec<[BufferId; 4]>,
    /// The condition that the body gives.
    pub next: BufferId,
    /// What the body gives to stack, and the stacked result.
    pub stacked: Vec<(BufferId, BufferId)>,
    /// The body.
    pub body: Vec<Step>,
    /// Sizes that the body binds anew each time.
    pub fresh: Vec<SymbolId>,
}

/// A program: what a code generator gets.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// The name.
    pub name: String,
    /// The sizes; a symbol in a step is an index into this list.
    pub sizes: Vec<Size>,
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// The inputs, in order: name and buffer.
    pub inputs: Vec<(String, BufferId)>,
    /// The outputs, in order: name and buffer.
    pub outputs: Vec<(String, BufferId)>,
    /// The kernels, each once.
    pub kernels: Vec<Kernel>,
    /// What the codes of failed checks mean.
    pub failures: Vec<String>,
    /// What happens, in order.
    pub steps: Vec<Step>,
    /// Why a value was computed apart or where it is needed, per decision, for people.
    pub notes: Vec<String>,
}

impl Program {
    /// A buffer.
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }
    /// A kernel.
    pub fn kernel(&self, id: KernelId) -> &Kernel {
        &self.kernels[id.0 as usize]
    }
    /// Ops that the hub's interpreter runs, with how often they stand in the program.
    pub fn host_ops(&self) -> std::collections::BTreeMap<String, usize> {
        fn walk(steps: &[Step], found: &mut std::collections::BTreeMap<String, usize>) {
            for step in steps {
                match step {
                    Step::Host(h) => *found.entry(h.name.clone()).or_default() += 1,
                    Step::If { then, otherwise, .. } => {
                        walk(then, found);
                        walk(otherwise, found);
                    }
                    Step::Loop(l) => walk(&l.body, found),
                    _ => {}
                }
            }
        }
        let mut found = std::collections::BTreeMap::new();
        walk(&self.steps, &mut found);
        found
    }
}
