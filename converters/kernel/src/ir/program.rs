//! Programs: steps over buffers.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::{NodeId, SymbolId, TensorId};

use super::kernel::{Access, Kernel};

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
    /// Fails unless sizes fit, as an op asks for.
    Fit(Fit),
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

/// What an op asks of sizes, where only a run can tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The op, for messages.
    pub op: String,
    /// A size of an operand.
    pub from: Dim,
    /// What it has to be.
    pub to: Dim,
    /// Whether it may be 1 as well.
    pub or_one: bool,
}

impl Fit {
    /// Whether these values of the two sizes fit.
    pub fn holds(&self, from: i64, to: i64) -> bool {
        from == to || self.or_one && from == 1
    }
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

/// How often steps write to buffers.
struct Writes {
    made: Vec<u32>,
    /// Those that are changed in place, and what shares memory with them.
    changed: Vec<BufferId>,
}

impl Writes {
    fn steps(&mut self, steps: &[Step], program: &Program) {
        // From the last one on, so that a change is known where the memory comes from.
        for step in steps.iter().rev() {
            match step {
                Step::Launch(l) => {
                    for (&b, param) in l.buffers.iter().zip(&program.kernel(l.kernel).params) {
                        if param.access != Access::Read {
                            self.made[b.0 as usize] += 1;
                        }
                        if param.access == Access::ReadWrite {
                            self.changed.push(b);
                        }
                    }
                }
                Step::Alias { to, from } => {
                    self.made[to.0 as usize] += 1;
                    if self.changed.contains(to) {
                        self.changed.push(*from);
                    }
                }
                Step::If { then, otherwise, .. } => {
                    self.steps(then, program);
                    self.steps(otherwise, program);
                }
                Step::Loop(l) => {
                    for [_, seen, _, out] in &l.carried {
                        self.made[seen.0 as usize] += 1;
                        self.made[out.0 as usize] += 1;
                    }
                    self.steps(&l.body, program);
                }
                _ => {}
            }
        }
    }
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
    /// For each buffer whether its value is the same in every run: it is a constant, or a kernel
    /// that runs once makes it from such buffers alone, or it stands for one of them.
    pub fn unchanging(&self) -> Vec<bool> {
        let mut writes = Writes { made: vec![0; self.buffers.len()], changed: Vec::new() };
        writes.steps(&self.steps, self);
        let constant = |b: &Buffer| matches!(b.kind, BufferKind::Constant(_));
        let mut same: Vec<bool> = self.buffers.iter().map(constant).collect();
        let known = |d: &Dim| d.as_known().is_some();
        let once = |id: BufferId| {
            let b = self.buffer(id);
            let own = b.kind == BufferKind::Temporary && b.shape.iter().all(known);
            own && writes.made[id.0 as usize] == 1 && !writes.changed.contains(&id)
        };
        for step in &self.steps {
            match step {
                Step::Launch(l) if l.sizes.iter().all(known) => {
                    let params = &self.kernel(l.kernel).params;
                    let pairs = || l.buffers.iter().zip(params);
                    let fine = pairs().all(|(b, p)| match p.access {
                        Access::Read => same[b.0 as usize],
                        Access::Write => once(*b),
                        Access::ReadWrite => false,
                    });
                    if fine {
                        let written = pairs().filter(|(_, p)| p.access == Access::Write);
                        written.for_each(|(b, _)| same[b.0 as usize] = true);
                    }
                }
                Step::Alias { to, from } => {
                    let alike = self.buffer(*to).dtype == self.buffer(*from).dtype;
                    same[to.0 as usize] = alike && once(*to) && same[from.0 as usize];
                }
                _ => {}
            }
        }
        same
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
