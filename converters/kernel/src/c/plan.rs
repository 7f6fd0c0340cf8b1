//! Where the buffers of a program lie: in the inputs, the outputs or the workspace.

use std::collections::{BTreeMap, BTreeSet};

use airconv_ir::dim::{Dim, numel};

use crate::ir::{Access, Buffer, BufferId, BufferKind, Elem, Launch, Program, Step};

/// Launches of a chain.
const CHAIN: usize = 3;

/// Where a buffer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In an input or a constant, wherever another buffer lies that it stands for, or nowhere as a
    /// whole.
    Elsewhere,
    /// In a slot of the workspace.
    Slot(usize),
    /// In the memory of an output.
    Output(usize),
}

/// The places of all buffers.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    /// The place of each buffer that steps refer to.
    pub(super) places: BTreeMap<BufferId, Place>,
    /// What has to fit into each slot of the workspace, in bytes.
    pub(super) slots: Vec<Vec<Dim>>,
    /// A slot for each loop and carried value, for what the next iteration sees.
    pub(super) staging: BTreeMap<BufferId, usize>,
    /// The buffers whose memory each buffer may stand for.
    pub(super) memory: Vec<BTreeSet<usize>>,
}

/// The number of bytes of a buffer; 0 for host values.
pub(super) fn bytes(buffer: &Buffer) -> Dim {
    let one = buffer.dtype.and_then(Elem::of).map_or(0, |(elem, parts)| elem.bytes() * parts);
    numel(&buffer.shape).mul(&Dim::Known(one as i64))
}

/// When buffers are in use.
#[derive(Default)]
struct Uses<'c> {
    now: usize,
    /// The first launches of those that are done together, by position, each with the next two.
    chains: BTreeSet<usize>,
    /// How many launches there were.
    launches: usize,
    /// The chain that is walked through: its first step, and what its launches refer to.
    chain: Option<(usize, Vec<&'c [BufferId]>)>,
    /// What is made by the launches of a chain but the last, which has no memory.
    inside: BTreeSet<BufferId>,
    /// The steps that refer to each buffer.
    at: BTreeMap<BufferId, BTreeSet<usize>>,
    /// The first and the last step of each loop.
    loops: Vec<(usize, usize)>,
    /// Buffers that have memory of their own.
    roots: BTreeSet<BufferId>,
    /// Buffers that stand for others.
    aliases: Vec<(BufferId, BufferId)>,
    /// Carried values of loops that have more than one.
    staged: Vec<(BufferId, usize)>,
}

impl<'c> Uses<'c> {
    fn mention(&mut self, b: BufferId) {
        self.at.entry(b).or_default().insert(self.now);
    }

    /// All that the launches of a chain refer to is in use from the first to the last of them.
    fn join(&mut self, launch: &'c Launch, written: &[BufferId]) {
        if self.chains.contains(&self.launches) {
            self.chain = Some((self.now, Vec::new()));
        }
        self.launches += 1;
        let Some((first, buffers)) = &mut self.chain else { return };
        buffers.push(&launch.buffers);
        if buffers.len() < CHAIN {
            self.inside.extend(written);
            return;
        }
        for b in buffers.iter().flat_map(|list| *list) {
            self.at.entry(*b).or_default().extend([*first, self.now]);
        }
        self.chain = None;
    }

    fn steps(&mut self, program: &'c Program, steps: &'c [Step]) {
        for step in steps {
            self.now += 1;
            match step {
                Step::Launch(l) => {
                    let params = &program.kernel(l.kernel).params;
                    let written = l.buffers.iter().zip(params);
                    let written = written.filter(|(_, p)| p.access != Access::Read);
                    let written: Vec<BufferId> = written.map(|(b, _)| *b).collect();
                    self.join(l, &written);
                    l.buffers.iter().for_each(|b| self.mention(*b));
                    self.roots.extend(written);
                }
                Step::Bind(binding) => self.mention(binding.buffer),
                Step::BindShape(b) | Step::Assert { condition: b, .. } => self.mention(*b),
                Step::Alias { to, from } => {
                    self.mention(*to);
                    self.mention(*from);
                    self.aliases.push((*to, *from));
                }
                Step::Fit(_) | Step::Host(_) | Step::Free(_) => {}
                Step::If { condition, then, otherwise } => {
                    self.mention(*condition);
                    self.steps(program, then);
                    self.steps(program, otherwise);
                }
                Step::Loop(l) => {
                    let start = self.now;
                    l.trips.iter().chain(&l.condition).for_each(|b| self.mention(*b));
                    let seen = l.carried.iter().map(|c| c[1]);
                    let stacks = l.stacked.iter().map(|s| s.1);
                    for b in seen.chain(stacks).chain([l.iteration, l.running]) {
                        self.mention(b);
                        self.roots.insert(b);
                    }
                    l.carried.iter().for_each(|c| self.mention(c[0]));
                    self.now += 1;
                    self.steps(program, &l.body);
                    self.now += 1;
                    for [_, seen, made, result] in &l.carried {
                        [seen, made, result].iter().for_each(|b| self.mention(**b));
                        self.aliases.push((*result, *seen));
                        if l.carried.len() > 1 {
                            self.staged.push((*seen, start));
                        }
                    }
                    l.stacked.iter().for_each(|(one, all)| {
                        self.mention(*one);
                        self.mention(*all);
                    });
                    self.mention(l.next);
                    self.mention(l.running);
                    self.mention(l.iteration);
                    self.loops.push((start, self.now));
                }
            }
        }
    }

    /// From the first use to the last one; what is used inside of a loop and outside is needed
    /// as long as the loop runs.
    fn span(&self, at: &BTreeSet<usize>) -> (usize, usize) {
        let (mut first, mut last) =
            (at.first().copied().unwrap_or(0), at.last().copied().unwrap_or(0));
        loop {
            let before = (first, last);
            for &(start, end) in &self.loops {
                let meets = first <= end && start <= last;
                let inside = start < first && last < end;
                if meets && !inside {
                    first = first.min(start);
                    last = last.max(end);
                }
            }
            if before == (first, last) {
                return before;
            }
        }
    }
}

/// The buffers whose memory each buffer may stand for, which are those that stand for no other.
fn memory(buffers: usize, aliases: &[(BufferId, BufferId)]) -> Vec<BTreeSet<usize>> {
    let stands = |i: usize| aliases.iter().any(|(to, _)| to.0 as usize == i);
    let own = |i: usize| if stands(i) { BTreeSet::new() } else { BTreeSet::from([i]) };
    let mut memory: Vec<BTreeSet<usize>> = (0..buffers).map(own).collect();
    loop {
        let mut changed = false;
        for (to, from) in aliases {
            let more = memory[from.0 as usize].clone();
            let list = &mut memory[to.0 as usize];
            let before = list.len();
            list.extend(more);
            changed |= list.len() != before;
        }
        if !changed {
            return memory;
        }
    }
}

fn find(class: &mut [usize], mut i: usize) -> usize {
    while class[i] != i {
        class[i] = class[class[i]];
        i = class[i];
    }
    i
}

/// Finds places for the buffers of a program, of which the launches at these positions are done
/// together with the next two.
///
/// # Errors
/// Buffers that are both computed and stand for others.
pub(super) fn plan(program: &Program, chains: BTreeSet<usize>) -> Result<Plan, Vec<String>> {
    let mut uses = Uses { chains, ..Uses::default() };
    uses.steps(program, &program.steps);
    uses.now += 1;
    program.outputs.iter().for_each(|(_, b)| uses.mention(*b));
    let mut class: Vec<usize> = (0..program.buffers.len()).collect();
    for (to, from) in &uses.aliases {
        let (a, b) = (find(&mut class, to.0 as usize), find(&mut class, from.0 as usize));
        class[a] = b;
    }
    let both = uses.aliases.iter().filter(|(to, _)| uses.roots.contains(to));
    let refused: Vec<String> = both
        .map(|(to, _)| format!("buffer b{} is computed and stands for another one", to.0))
        .collect();
    if !refused.is_empty() {
        return Err(refused);
    }
    for i in 0..class.len() {
        class[i] = find(&mut class, i);
    }
    let mut together: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut roots_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (b, at) in &uses.at {
        together.entry(class[b.0 as usize]).or_default().extend(at);
    }
    for b in &uses.roots {
        *roots_of.entry(class[b.0 as usize]).or_default() += 1;
    }
    let mut found =
        Plan { memory: memory(program.buffers.len(), &uses.aliases), ..Plan::default() };
    // The first output of each class that one computed buffer makes.
    let mut outputs: BTreeMap<usize, usize> = BTreeMap::new();
    for (k, (_, b)) in program.outputs.iter().enumerate() {
        let c = class[b.0 as usize];
        if roots_of.get(&c) == Some(&1) {
            outputs.entry(c).or_insert(k);
        }
    }
    // The steps of each slot that are taken.
    let mut taken: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut place = |found: &mut Plan, bytes: Dim, span: (usize, usize)| {
        let free = |t: &Vec<(usize, usize)>| t.iter().all(|s| s.1 < span.0 || span.1 < s.0);
        let candidates = (0..taken.len()).filter(|&i| free(&taken[i]));
        // The best slot holds something of the same size already; sizes that are known share
        // with known ones, those that are not with one another.
        let rank = |&i: &usize| {
            let slot = &found.slots[i];
            let known = slot.iter().map(Dim::as_known).try_fold(0, |n, d| Some(d?.max(n)));
            match (slot.contains(&bytes), bytes.as_known(), known) {
                (true, ..) => Some((0, 0)),
                (_, Some(need), Some(has)) if has >= need => Some((1, has - need)),
                (_, Some(need), Some(has)) => Some((2, need - has)),
                (_, None, None) => Some((1, 0)),
                _ => None,
            }
        };
        let best = candidates.filter_map(|i| Some((rank(&i)?, i))).min();
        let slot = best.map_or(taken.len(), |(_, i)| i);
        if slot == taken.len() {
            taken.push(Vec::new());
            found.slots.push(Vec::new());
        }
        taken[slot].push(span);
        if !found.slots[slot].contains(&bytes) {
            found.slots[slot].push(bytes);
        }
        slot
    };
    for b in uses.at.keys() {
        let buffer = program.buffer(*b);
        let c = class[b.0 as usize];
        let where_ = match (uses.roots.contains(b), &buffer.kind) {
            _ if uses.inside.contains(b) => Place::Elsewhere,
            (true, BufferKind::Temporary) => match outputs.get(&c) {
                Some(k) => Place::Output(*k),
                None => {
                    let span = uses.span(&together[&c]);
                    Place::Slot(place(&mut found, bytes(buffer), span))
                }
            },
            _ => Place::Elsewhere,
        };
        found.places.insert(*b, where_);
    }
    for (b, start) in &uses.staged {
        let span = uses.loops.iter().find(|l| l.0 == *start).copied().unwrap_or((0, uses.now));
        let slot = place(&mut found, bytes(program.buffer(*b)), span);
        found.staging.insert(*b, slot);
    }
    Ok(found)
}
