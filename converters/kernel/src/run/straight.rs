//! Programs without control flow and host ops. For given sizes of the inputs everything about a
//! run but its numbers is known: temporaries get places in one arena, chosen by size and lifetime,
//! and a run is its launches and nothing else.
//!
//! Places are given to the largest first, each in the lowest gap between those that live at the
//! same time: the greedy-by-size rule of Pisarchyk and Lee, "Efficient Memory Management for Deep
//! Neural Net Inference" (2020).

use std::collections::BTreeMap;
use std::sync::Arc;

use airconv_ir::array::Array;
use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::interp::Datum;

use super::{Backend, Chain, Frame, Held, Machine, Memory, RunError};
use crate::carrier::{array_of, view, view_mut};
use crate::ir::{Access, BufferId, BufferKind, Elem, Launch, Step};
use crate::memory::{ALIGN, Block, Mem};

/// Whose memory a value lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// An input, by position.
    Input(usize),
    /// A constant, by its number in the layout.
    Constant(usize),
    /// The arena, by the number of its space.
    Arena(usize),
    /// The array of an output, by position.
    Output(usize),
}

/// Room in the arena.
#[derive(Clone, Debug)]
struct Space {
    bytes: usize,
    /// The first and the last step that it is needed for.
    life: (usize, usize),
    offset: usize,
}

/// A launch: its arguments are so many entries of two common lists.
#[derive(Clone, Copy)]
struct Call<'p> {
    launch: &'p Launch,
    /// The number of its step.
    now: usize,
    memories: (usize, usize),
    sizes: (usize, usize),
}

/// What happens in a run.
#[derive(Clone, Copy)]
enum Act<'p> {
    Call(Call<'p>),
    /// Calls that the backend runs as one.
    Chain([Call<'p>; 3], [(usize, usize); 2]),
    /// Fails unless all bytes of a memory, by its place in the list, hold.
    Assert(usize, &'p str),
}

/// Everything about a run that its inputs' sizes decide.
pub(super) struct Straight<'p> {
    /// The shapes of the inputs that it was made for.
    shapes: Vec<Vec<usize>>,
    acts: Vec<Act<'p>>,
    memories: Vec<Mem>,
    sizes: Vec<i64>,
    /// Which entries of `memories` are an input or an output.
    moving: Vec<(usize, Source)>,
    /// Where each output is, with its shape.
    outputs: Vec<(Source, DType, Vec<usize>)>,
    constants: Vec<Memory>,
    spaces: Vec<Space>,
    arena: Block,
    /// The arrays of the outputs of the last run: memory for the next, unless the caller still has
    /// them.
    kept: Vec<Option<Arc<Array>>>,
}

// SAFETY: the memories are those of the arena and of constants, which it owns, or are replaced
// before each run.
unsafe impl Send for Straight<'_> {}

/// The layout while it is made.
struct Draft<'p> {
    acts: Vec<Act<'p>>,
    sources: Vec<Source>,
    sizes: Vec<i64>,
    constants: Vec<Memory>,
    spaces: Vec<Space>,
    /// What each buffer stands for, and its shape.
    held: Vec<Option<(Source, Vec<usize>)>>,
    /// The outputs whose arrays kernels may write to, by buffer.
    direct: BTreeMap<BufferId, usize>,
}

impl<'p, B: Backend> Machine<'p, B> {
    /// Runs a program that is laid out for inputs of these shapes, or can be; `None` when it has
    /// to be run step by step.
    pub(super) fn straight(
        &mut self,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Option<Vec<(String, Datum)>>, RunError> {
        let Some(given) = self.given(inputs)? else { return Ok(None) };
        let shapes = || given.iter().map(|(_, dims)| dims);
        if self.winding.as_ref().is_some_and(|w| w.iter().eq(shapes())) {
            return Ok(None);
        }
        if !self.layout.as_ref().is_some_and(|l| l.shapes.iter().eq(shapes())) {
            self.layout = None; // its memory is free before that of the next is taken
            let shapes = shapes().cloned().collect();
            match self.straighten(shapes)? {
                Some(made) => self.layout = Some(made),
                None => {
                    self.winding = Some(given.into_iter().map(|(_, dims)| dims).collect());
                    return Ok(None);
                }
            }
        }
        let Some(mut layout) = self.layout.take() else { return Ok(None) };
        let done = self.follow(&mut layout, &given);
        self.layout = Some(layout);
        done.map(Some)
    }

    /// The memory and shape of each input; `None` when one is not an array.
    #[expect(clippy::type_complexity, reason = "memories with shapes")]
    fn given(
        &mut self,
        inputs: &BTreeMap<String, Datum>,
    ) -> Result<Option<Vec<(Memory, Vec<usize>)>>, RunError> {
        let program = self.program();
        let specs = &self.lowered.module.main().inputs;
        let mut out = Vec::with_capacity(program.inputs.len());
        for ((name, buffer), spec) in program.inputs.iter().zip(specs) {
            match self.input(inputs.get(name), &spec.role, *buffer, name)? {
                Held::Memory { memory, dims } => out.push((memory, dims)),
                Held::Host(_) => return Ok(None),
            }
        }
        Ok(Some(out))
    }

    /// Lays a program out; `None` when it has steps that depend on more than sizes.
    fn straighten(&mut self, shapes: Vec<Vec<usize>>) -> Result<Option<Straight<'p>>, RunError> {
        let program = self.program();
        let mut frame = self.frame();
        let mut draft = Draft {
            acts: Vec::new(),
            sources: Vec::new(),
            sizes: Vec::new(),
            constants: Vec::new(),
            spaces: Vec::new(),
            held: vec![None; program.buffers.len()],
            direct: self.direct(),
        };
        for (i, ((_, buffer), dims)) in program.inputs.iter().zip(&shapes).enumerate() {
            draft.held[buffer.0 as usize] = Some((Source::Input(i), dims.clone()));
        }
        for (now, step) in program.steps.iter().enumerate() {
            if !self.draw(step, now, &mut frame, &mut draft)? {
                return Ok(None);
            }
        }
        frame.settle()?;
        let mut outputs = Vec::with_capacity(program.outputs.len());
        for (_, buffer) in &program.outputs {
            let dtype = program.buffer(*buffer).dtype;
            let found = self.find_source(*buffer, &mut draft)?;
            let (Some(dtype), Some((source, dims))) = (dtype, found) else { return Ok(None) };
            if let Source::Arena(space) = source {
                draft.spaces[space].life.1 = usize::MAX;
            }
            outputs.push((source, dtype, dims));
        }
        self.join(&mut draft);
        // Step by step less memory may do, so that the lack of one piece is no failure.
        let Some(arena) = arrange(&mut draft.spaces).and_then(Block::new) else { return Ok(None) };
        let Draft { acts, sources, sizes, constants, spaces, .. } = draft;
        let mut made = Straight {
            shapes,
            acts,
            memories: Vec::with_capacity(sources.len()),
            sizes,
            moving: Vec::new(),
            kept: vec![None; outputs.len()],
            outputs,
            constants,
            spaces,
            arena,
        };
        for source in sources {
            let mem = made.fixed(source).unwrap_or_else(|| {
                made.moving.push((made.memories.len(), source));
                Mem { ptr: std::ptr::NonNull::dangling().as_ptr(), len: 0 }
            });
            made.memories.push(mem);
        }
        Ok(Some(made))
    }

    /// Joins calls that the backend runs as one, and takes the room of what is in between away.
    fn join(&self, draft: &mut Draft<'p>) {
        let acts = std::mem::take(&mut draft.acts);
        let mut i = 0;
        while let Some(&act) = acts.get(i) {
            if let [Act::Call(a), Act::Call(b), Act::Call(c), ..] = acts[i..]
                && let Some((first, made)) = self.link(&a, &b, draft)
                && let Some((second, kept)) = self.link(&b, &c, draft)
                && self.backend.chains(&chain_of(&[a, b, c], [first, second], &draft.sizes))
            {
                draft.spaces[made].bytes = 0;
                draft.spaces[kept].bytes = 0;
                // Nothing that one of them needs may lie where another one writes.
                for call in [a, b, c] {
                    for i in call.memories.0..call.memories.1 {
                        draft.hold(draft.sources[i], (a.now, c.now));
                    }
                }
                draft.acts.push(Act::Chain([a, b, c], [first, second]));
                i += 3;
                continue;
            }
            draft.acts.push(act);
            i += 1;
        }
    }

    /// The value that one call makes, if it makes no other and the next call alone reads it: as
    /// which parameters, and its space.
    fn link(
        &self,
        from: &Call<'p>,
        to: &Call<'p>,
        draft: &Draft<'p>,
    ) -> Option<((usize, usize), usize)> {
        let sources = |call: &Call<'p>| &draft.sources[call.memories.0..call.memories.1];
        let params = |call: &Call<'p>| &self.program().kernel(call.launch.kernel).params;
        let mut made = (0..params(from).len()).filter(|&i| params(from)[i].access != Access::Read);
        let (Some(i), None) = (made.next(), made.next()) else { return None };
        let &Source::Arena(space) = sources(from).get(i)? else { return None };
        let mut read = sources(to).iter().enumerate().filter(|(_, s)| **s == Source::Arena(space));
        let (Some((j, _)), None) = (read.next(), read.next()) else { return None };
        let alone = draft.spaces[space].life == (from.now, to.now);
        (alone && params(to).get(j)?.access == Access::Read).then_some(((i, j), space))
    }

    /// The buffers that hold an output in the form that its array has, by position of the output:
    /// kernels write there.
    fn direct(&self) -> BTreeMap<BufferId, usize> {
        let program = self.program();
        let mut alias = BTreeMap::new();
        for step in &program.steps {
            if let Step::Alias { to, from } = step {
                alias.insert(*to, *from);
            }
        }
        let mut out = BTreeMap::new();
        for (i, (_, buffer)) in program.outputs.iter().enumerate() {
            let mut root = *buffer;
            while let Some(from) = alias.get(&root) {
                root = *from;
            }
            let (dtype, from) = (program.buffer(*buffer).dtype, program.buffer(root));
            let plain = dtype == from.dtype && dtype.is_some_and(lies_alike);
            if plain && from.kind == BufferKind::Temporary {
                out.entry(root).or_insert(i);
            }
        }
        out
    }

    /// Takes a step into the layout; `false` when it cannot be.
    fn draw(
        &mut self,
        step: &'p Step,
        now: usize,
        frame: &mut Frame<'_>,
        draft: &mut Draft<'p>,
    ) -> Result<bool, RunError> {
        let program = self.program();
        match step {
            Step::Launch(launch) => {
                frame.settle()?;
                if self.is_unchanging(launch) {
                    // What it makes is a constant from now on.
                    self.launch(launch, frame)?;
                    return Ok(true);
                }
                return self.draw_launch(launch, now, frame, draft);
            }
            Step::BindShape(buffer) => {
                let Some((_, dims)) = self.find_source(*buffer, draft)? else { return Ok(false) };
                for (dim, size) in program.buffer(*buffer).shape.iter().zip(dims) {
                    frame.bind(dim, size as i64)?;
                }
            }
            Step::Fit(fit) => frame.fit(fit)?,
            Step::Alias { to, from } => {
                if self.unchanging[to.0 as usize] {
                    // A launch that makes a constant may read it.
                    self.step(step, frame)?;
                }
                let shape = &program.buffer(*to).shape;
                let known = sizes_of(shape, frame);
                let Some((source, old)) = self.find_source(*from, draft)? else {
                    return Ok(false);
                };
                let Some(dims) = known else { return Ok(false) };
                let count = |d: &[usize]| d.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
                if program.buffer(*to).dtype.is_none() || count(&dims) != count(&old) {
                    return Ok(false);
                }
                draft.held[to.0 as usize] = Some((source, dims));
            }
            Step::Assert { condition, message } => {
                let Some((source, _)) = self.find_source(*condition, draft)? else {
                    return Ok(false);
                };
                if program.buffer(*condition).dtype != Some(DType::Bool) {
                    return Ok(false);
                }
                draft.touch(source, now);
                draft.sources.push(source);
                draft.acts.push(Act::Assert(draft.sources.len() - 1, message));
            }
            Step::Free(buffer) => draft.held[buffer.0 as usize] = None,
            Step::Bind(_) | Step::Host(_) | Step::If { .. } | Step::Loop(_) => return Ok(false),
        }
        Ok(true)
    }

    fn draw_launch(
        &mut self,
        launch: &'p Launch,
        now: usize,
        frame: &Frame<'_>,
        draft: &mut Draft<'p>,
    ) -> Result<bool, RunError> {
        let params = &self.program().kernel(launch.kernel).params;
        let (memories, sizes) = (draft.sources.len(), draft.sizes.len());
        for (&buffer, param) in launch.buffers.iter().zip(params) {
            let unset = draft.held[buffer.0 as usize].is_none();
            if unset
                && param.access != Access::Read
                && self.program().buffer(buffer).kind == BufferKind::Temporary
            {
                let Some(made) = self.room(buffer, now, frame, draft) else { return Ok(false) };
                draft.held[buffer.0 as usize] = Some(made);
            }
            let Some((source, _)) = self.find_source(buffer, draft)? else { return Ok(false) };
            draft.touch(source, now);
            draft.sources.push(source);
        }
        for dim in &launch.sizes {
            let Ok(size) = frame.size(dim) else { return Ok(false) };
            draft.sizes.push(size);
        }
        draft.acts.push(Act::Call(Call {
            launch,
            now,
            memories: (memories, draft.sources.len()),
            sizes: (sizes, draft.sizes.len()),
        }));
        Ok(true)
    }

    /// Where a buffer that a kernel makes will lie; `None` when its sizes are not known.
    fn room(
        &self,
        buffer: BufferId,
        now: usize,
        frame: &Frame<'_>,
        draft: &mut Draft<'p>,
    ) -> Option<(Source, Vec<usize>)> {
        let b = self.program().buffer(buffer);
        let dims = sizes_of(&b.shape, frame)?;
        let (elem, parts) = Elem::of(b.dtype?).unwrap_or((Elem::U8, 1));
        let bytes = dims.iter().try_fold(elem.bytes() * parts, |n, &d| n.checked_mul(d));
        let bytes = bytes.filter(|&n| n as u64 <= self.limits.array_bytes)?;
        if let Some(&output) = draft.direct.get(&buffer) {
            return Some((Source::Output(output), dims));
        }
        draft.spaces.push(Space { bytes, life: (now, now), offset: 0 });
        Some((Source::Arena(draft.spaces.len() - 1), dims))
    }

    /// Where the value of a buffer lies, and its shape.
    fn find_source(
        &mut self,
        buffer: BufferId,
        draft: &mut Draft<'p>,
    ) -> Result<Option<(Source, Vec<usize>)>, RunError> {
        if let Some(found) = &draft.held[buffer.0 as usize] {
            return Ok(Some(found.clone()));
        }
        let constant = matches!(self.program().buffer(buffer).kind, BufferKind::Constant(_));
        if !constant && !self.constants.contains_key(&buffer) {
            return Ok(None);
        }
        let Held::Memory { memory, dims } = self.constant(buffer)? else { return Ok(None) };
        draft.constants.push(memory);
        let found = (Source::Constant(draft.constants.len() - 1), dims);
        draft.held[buffer.0 as usize] = Some(found.clone());
        Ok(Some(found))
    }

    /// A run.
    fn follow(
        &mut self,
        layout: &mut Straight<'p>,
        given: &[(Memory, Vec<usize>)],
    ) -> Result<Vec<(String, Datum)>, RunError> {
        let internal = |e: &dyn std::fmt::Display| RunError::Internal(e.to_string());
        let mut arrays = Vec::with_capacity(layout.outputs.len());
        for (i, (source, dtype, dims)) in layout.outputs.iter().enumerate() {
            let kept = layout.kept[i].take().filter(|a| Arc::strong_count(a) == 1);
            arrays.push(match (source, kept) {
                (Source::Output(j), Some(kept)) if *j == i => Some(kept),
                (Source::Output(j), None) if *j == i => {
                    let made = Array::zeros(*dtype, dims.clone()).map_err(|e| internal(&e))?;
                    Some(Arc::new(made))
                }
                _ => None,
            });
        }
        for &(at, source) in &layout.moving {
            let mem = match source {
                Source::Input(i) => given.get(i).map(|(memory, _)| memory.mem()),
                Source::Output(i) => {
                    let array = arrays.get_mut(i).and_then(Option::as_mut);
                    array.and_then(Arc::get_mut).and_then(view_mut)
                }
                Source::Constant(_) | Source::Arena(_) => None,
            };
            layout.memories[at] = mem.ok_or_else(|| internal(&"an argument has no memory"))?;
        }
        for act in &layout.acts {
            match act {
                Act::Call(call) => {
                    let memories = &layout.memories[call.memories.0..call.memories.1];
                    let sizes = &layout.sizes[call.sizes.0..call.sizes.1];
                    let done = self.backend.launch(call.launch, memories, sizes);
                    done.map_err(|e| self.launch_error(call.launch, e))?;
                }
                Act::Chain(calls, links) => {
                    let memories = calls.map(|c| &layout.memories[c.memories.0..c.memories.1]);
                    let chain = chain_of(calls, *links, &layout.sizes);
                    let done = self.backend.launch_chain(&chain, memories);
                    done.map_err(|e| self.launch_error(chain.launches[0], e))?;
                }
                Act::Assert(at, message) => {
                    let Mem { ptr, len } = layout.memories[*at];
                    // SAFETY: the memory is that of a value that was made before.
                    let bytes = unsafe { std::slice::from_raw_parts(ptr, len) };
                    if bytes.contains(&0) {
                        return Err(RunError::Failed((*message).to_owned()));
                    }
                }
            }
        }
        layout.kept = arrays.clone();
        let mut out = arrays;
        for (i, (source, dtype, dims)) in layout.outputs.iter().enumerate() {
            if out[i].is_some() {
                continue;
            }
            let copied = |mem: Mem| {
                // SAFETY: the memory is that of a value that was made before.
                let bytes = unsafe { std::slice::from_raw_parts(mem.ptr, mem.len) };
                array_of(*dtype, dims.clone(), bytes)
            };
            let mem = match *source {
                Source::Input(j) => given.get(j).map(|(memory, _)| memory.mem()),
                Source::Output(j) => out.get(j).and_then(Option::as_deref).and_then(view),
                fixed => layout.fixed(fixed),
            };
            let mem = mem.ok_or_else(|| internal(&"an output has no memory"))?;
            out[i] = Some(Arc::new(copied(mem).map_err(|e| internal(&e))?));
        }
        let names = self.program().outputs.iter().map(|(name, _)| name.clone());
        Ok(names.zip(out.into_iter().flatten().map(Datum::Tensor)).collect())
    }
}

impl Straight<'_> {
    /// The memory of what lies in the same place in every run.
    fn fixed(&self, source: Source) -> Option<Mem> {
        match source {
            Source::Constant(i) => self.constants.get(i).map(Memory::mem),
            Source::Arena(i) => {
                let space = self.spaces.get(i)?;
                let whole = self.arena.mem();
                // SAFETY: the arena was made as large as the spaces end.
                Some(Mem { ptr: unsafe { whole.ptr.add(space.offset) }, len: space.bytes })
            }
            Source::Input(_) | Source::Output(_) => None,
        }
    }
}

impl Draft<'_> {
    /// Keeps the room of a value for all of these steps.
    fn hold(&mut self, source: Source, (first, last): (usize, usize)) {
        if let Source::Arena(space) = source {
            let life = &mut self.spaces[space].life;
            *life = (life.0.min(first), life.1.max(last));
        }
    }

    /// Keeps the room of a value until this step.
    fn touch(&mut self, source: Source, now: usize) {
        if let Source::Arena(space) = source {
            self.spaces[space].life.1 = now;
        }
    }
}

/// Calls as a chain, of which the sizes are entries of this list.
fn chain_of<'l>(calls: &[Call<'l>; 3], links: [(usize, usize); 2], sizes: &'l [i64]) -> Chain<'l> {
    Chain {
        launches: calls.map(|c| c.launch),
        sizes: calls.map(|c| &sizes[c.sizes.0..c.sizes.1]),
        links,
    }
}

/// Whether arrays of this dtype hold their elements as kernels do.
fn lies_alike(dtype: DType) -> bool {
    Array::zeros(dtype, Vec::new()).is_ok_and(|a| view(&a).is_some())
}

fn sizes_of(shape: &[Dim], frame: &Frame<'_>) -> Option<Vec<usize>> {
    shape.iter().map(|d| usize::try_from(frame.size(d).ok()?).ok()).collect()
}

/// Gives every space its offset; what they take together in bytes, `None` when that overflows.
fn arrange(spaces: &mut [Space]) -> Option<usize> {
    let mut order: Vec<usize> = (0..spaces.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(spaces[i].bytes), i));
    let mut placed: Vec<usize> = Vec::with_capacity(spaces.len()); // by offset
    let mut end = 0usize;
    for i in order {
        let (bytes, life) = (spaces[i].bytes, spaces[i].life);
        let mut offset = 0usize;
        for &j in &placed {
            let other = &spaces[j];
            if other.life.0 > life.1 || life.0 > other.life.1 {
                continue;
            }
            if offset.checked_add(bytes)? <= other.offset {
                break;
            }
            let after = other.offset.checked_add(other.bytes)?;
            offset = offset.max(after.checked_next_multiple_of(ALIGN)?);
        }
        spaces[i].offset = offset;
        end = end.max(offset.checked_add(bytes)?);
        let at = placed.partition_point(|&j| spaces[j].offset <= offset);
        placed.insert(at, i);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(bytes: usize, first: usize, last: usize) -> Space {
        Space { bytes, life: (first, last), offset: 0 }
    }

    #[test]
    fn spaces_of_the_same_time_do_not_overlap_and_others_share() {
        let mut chain = [space(1000, 0, 1), space(1000, 1, 2), space(1000, 2, 3)];
        assert_eq!(arrange(&mut chain), Some(1024 + 1000));
        assert_eq!(chain[0].offset, chain[2].offset);
        let mut random: Vec<Space> = (0..200usize)
            .map(|i| space(1 + (i * 7919) % 5000, i % 50, i % 50 + (i * 31) % 9))
            .collect();
        let end = arrange(&mut random).expect("no overflow");
        for (i, a) in random.iter().enumerate() {
            assert!(a.offset % ALIGN == 0 && a.offset + a.bytes <= end);
            for b in &random[i + 1..] {
                let together = a.life.0 <= b.life.1 && b.life.0 <= a.life.1;
                let apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
                assert!(!together || apart, "{a:?} and {b:?}");
            }
        }
    }
}
