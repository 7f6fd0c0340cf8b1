//! Loops whose steps stay the same: the body only launches kernels on arrays of unchanging
//! sizes. Memory and arguments are laid out once; an iteration is its launches and nothing else.
//!
//! A carried value has two blocks, one that the body reads and one that it writes; they change
//! places after each iteration.

use std::sync::Arc;

use airconv_ir::dtype::DType;
use rustc_hash::FxHashMap;

use super::{Backend, Frame, Held, Machine, Memory, RunError};
use crate::ir::{Access, BufferId, Launch, Loop, Step};
use crate::memory::{Block, Mem};

/// Where the body finds a buffer.
enum Place {
    /// Memory of this loop, by its number.
    Own(usize),
    /// What was there before the loop.
    Outer(Memory),
}

/// A launch with its arguments.
struct Call<'p> {
    launch: &'p Launch,
    places: Vec<usize>,
    sizes: Vec<i64>,
}

/// A body that was laid out.
#[derive(Default)]
struct Layout<'p> {
    places: Vec<Place>,
    index: FxHashMap<BufferId, usize>,
    blocks: Vec<Block>,
    calls: Vec<Call<'p>>,
    /// Per carried value: what the body sees, what it makes, and the other block of the two.
    carried: Vec<(usize, usize, usize)>,
    /// Per stacked value: what the body makes, and the shape of one element.
    stacked: Vec<(usize, Vec<usize>)>,
}

impl Layout<'_> {
    fn own(&mut self, buffer: BufferId, block: Block) -> usize {
        self.blocks.push(block);
        self.add(buffer, Place::Own(self.blocks.len() - 1))
    }

    fn add(&mut self, buffer: BufferId, place: Place) -> usize {
        self.places.push(place);
        self.index.insert(buffer, self.places.len() - 1);
        self.places.len() - 1
    }

    fn mem(&self, place: usize) -> Mem {
        match &self.places[place] {
            Place::Own(block) => self.blocks[*block].mem(),
            Place::Outer(memory) => memory.mem(),
        }
    }

    fn bytes(&self, place: usize) -> &[u8] {
        match &self.places[place] {
            Place::Own(block) => self.blocks[*block].bytes(),
            Place::Outer(memory) => memory.bytes(),
        }
    }
}

impl<'p, B: Backend> Machine<'p, B> {
    /// Runs a loop that is steady; `false` when it is not, and nothing has happened.
    pub(super) fn steady(
        &mut self,
        l: &'p Loop,
        trips: i64,
        frame: &mut Frame<'_>,
    ) -> Result<bool, RunError> {
        let simple = |s: &Step| {
            matches!(
                s,
                Step::Launch(_)
                    | Step::Alias { .. }
                    | Step::BindShape(_)
                    | Step::Fit(_)
                    | Step::Free(_)
            )
        };
        if trips <= 0 || l.next != l.running || !l.fresh.is_empty() || !l.body.iter().all(simple) {
            return Ok(false);
        }
        frame.settle()?;
        let Some(mut layout) = self.lay_out(l, frame)? else { return Ok(false) };
        let count = usize::try_from(trips).map_err(|_| RunError::Limit("iterations".to_owned()))?;
        frame.iterations = frame.iterations.saturating_add(trips as u64);
        if frame.iterations > self.limits.iterations {
            return Err(RunError::Limit(format!("{} iterations", self.limits.iterations)));
        }
        let mut stacks = Vec::with_capacity(l.stacked.len());
        for ((_, out), (_, dims)) in l.stacked.iter().zip(&layout.stacked) {
            let mut whole = vec![count];
            whole.extend(dims);
            let dtype = self.program().buffer(*out).dtype.unwrap_or(DType::U8);
            stacks.push((self.block(dtype, &whole)?, whole));
        }
        let mut memories: Vec<Mem> = Vec::new();
        for i in 0..count {
            // The first block is the number of the iteration.
            layout.blocks[0].bytes_mut().copy_from_slice(&(i as i64).to_le_bytes());
            for call in &layout.calls {
                memories.clear();
                memories.extend(call.places.iter().map(|&p| layout.mem(p)));
                let done = self.backend.launch(call.launch, &memories, &call.sizes);
                done.map_err(|e| self.launch_error(call.launch, e))?;
            }
            for ((stack, _), (made, _)) in stacks.iter_mut().zip(&layout.stacked) {
                let bytes = layout.bytes(*made);
                let at = i * bytes.len();
                if let Some(slot) = stack.bytes_mut().get_mut(at..at + bytes.len()) {
                    slot.copy_from_slice(bytes);
                }
            }
            for c in &mut layout.carried {
                let &mut (seen, made, other) = c;
                let Place::Own(written) = layout.places[made] else { continue };
                layout.places[seen] = Place::Own(written);
                layout.places[made] = Place::Own(other);
                c.2 = written;
            }
        }
        self.hand_over(l, layout, stacks, frame);
        Ok(true)
    }

    /// Gives the results of a loop to their buffers and keeps the rest of its memory for later.
    fn hand_over(
        &mut self,
        l: &Loop,
        layout: Layout<'_>,
        stacks: Vec<(Block, Vec<usize>)>,
        frame: &mut Frame<'_>,
    ) {
        let Layout { places, blocks, carried, .. } = layout;
        let mut blocks: Vec<Option<Block>> = blocks.into_iter().map(Some).collect();
        for ([initial, _, _, out], (seen, ..)) in l.carried.iter().zip(carried) {
            let Place::Own(block) = places[seen] else { continue };
            let dims = match &frame.held[initial.0 as usize] {
                Some(Held::Memory { dims, .. }) => dims.clone(),
                _ => match self.constants.get(initial) {
                    Some(Held::Memory { dims, .. }) => dims.clone(),
                    _ => continue,
                },
            };
            if let Some(block) = blocks.get_mut(block).and_then(Option::take) {
                let memory = Memory::Block(Arc::new(block));
                self.put(frame, *out, Held::Memory { memory, dims });
            }
        }
        for ((_, out), (block, dims)) in l.stacked.iter().zip(stacks) {
            let memory = Memory::Block(Arc::new(block));
            self.put(frame, *out, Held::Memory { memory, dims });
        }
        self.spare.extend(blocks.into_iter().flatten());
    }

    /// The sizes of a buffer; `None` when one is not known yet.
    fn dims_of(&self, buffer: BufferId, frame: &Frame<'_>) -> Option<Vec<usize>> {
        let shape = &self.program().buffer(buffer).shape;
        shape.iter().map(|d| usize::try_from(frame.size(d).ok()?).ok()).collect()
    }

    /// Lays out the body of a loop; `None` when it is not steady.
    fn lay_out(
        &mut self,
        l: &'p Loop,
        frame: &mut Frame<'_>,
    ) -> Result<Option<Layout<'p>>, RunError> {
        let mut layout = Layout::default();
        let number = self.block(DType::I64, &[])?;
        layout.own(l.iteration, number);
        let mut flag = self.block(DType::Bool, &[])?;
        flag.bytes_mut().fill(1);
        layout.own(l.running, flag);
        for [initial, seen, made, _] in &l.carried {
            let Held::Memory { memory, dims } = self.get(frame, *initial)? else {
                return Ok(None);
            };
            if self.dims_of(*seen, frame).as_ref() != Some(&dims)
                || self.dims_of(*made, frame).as_ref() != Some(&dims)
            {
                return Ok(None);
            }
            layout.add(*seen, Place::Outer(memory));
        }
        for step in &l.body {
            let known = match step {
                Step::Launch(launch) => self.lay_launch(launch, frame, &mut layout)?,
                Step::Alias { to, from } => {
                    let place = self.find(*from, frame, &mut layout)?;
                    if let Some(place) = place {
                        layout.index.insert(*to, place);
                    }
                    place.is_some()
                }
                Step::Fit(fit) => {
                    let known = [&fit.from, &fit.to].iter().all(|d| frame.size(d).is_ok());
                    if known {
                        frame.fit(fit)?;
                    }
                    known
                }
                _ => true,
            };
            if !known {
                return Ok(None);
            }
        }
        for [_, seen, made, _] in &l.carried {
            let (Some(&seen), Some(&made)) = (layout.index.get(seen), layout.index.get(made))
            else {
                return Ok(None);
            };
            // Each has to be written by the body, and for it alone.
            let Place::Own(block) = layout.places[made] else { return Ok(None) };
            let shared = layout.carried.iter().any(|&(_, m, _)| m == made);
            if block < 2 || shared {
                return Ok(None);
            }
            let other = self.block(DType::U8, &[layout.blocks[block].len()])?;
            layout.blocks.push(other);
            layout.carried.push((seen, made, layout.blocks.len() - 1));
        }
        for (made, _) in &l.stacked {
            let (Some(place), Some(dims)) =
                (self.find(*made, frame, &mut layout)?, self.dims_of(*made, frame))
            else {
                return Ok(None);
            };
            layout.stacked.push((place, dims));
        }
        Ok(Some(layout))
    }

    fn lay_launch(
        &mut self,
        launch: &'p Launch,
        frame: &Frame<'_>,
        layout: &mut Layout<'p>,
    ) -> Result<bool, RunError> {
        let params = &self.program().kernel(launch.kernel).params;
        let mut places = Vec::with_capacity(params.len());
        for (&buffer, param) in launch.buffers.iter().zip(params) {
            if param.access != Access::Read && !layout.index.contains_key(&buffer) {
                let Some(dims) = self.dims_of(buffer, frame) else { return Ok(false) };
                let dtype = self.program().buffer(buffer).dtype.unwrap_or(DType::U8);
                let block = self.block(dtype, &dims)?;
                layout.own(buffer, block);
            }
            match self.find(buffer, frame, layout)? {
                Some(place) => places.push(place),
                None => return Ok(false),
            }
        }
        let sizes = launch.sizes.iter().map(|d| frame.size(d)).collect::<Result<Vec<_>, _>>();
        let Ok(sizes) = sizes else { return Ok(false) };
        layout.calls.push(Call { launch, places, sizes });
        Ok(true)
    }

    /// Where a buffer is that the body reads.
    fn find(
        &mut self,
        buffer: BufferId,
        frame: &Frame<'_>,
        layout: &mut Layout<'_>,
    ) -> Result<Option<usize>, RunError> {
        if let Some(&place) = layout.index.get(&buffer) {
            return Ok(Some(place));
        }
        match self.get(frame, buffer)? {
            Held::Memory { memory, .. } => Ok(Some(layout.add(buffer, Place::Outer(memory)))),
            Held::Host(_) => Ok(None),
        }
    }
}
