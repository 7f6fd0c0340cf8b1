//! Fixes sizes and inputs of a program, and works out what follows.
//!
//! [`specialize`] walks every function in order of execution and makes it anew: sizes take
//! the place of symbols, bound inputs become constants, every type is inferred again, the
//! elements of small integer tensors are followed, and an `if` whose condition becomes known
//! is replaced by the branch that is taken. A node that was kept opaque because it depended on
//! what only a run could tell is given back to the format that it came from ([`Reread`]), which
//! may read it now that more is known. What is left without use is removed. As every node is
//! made after all that it depends on, one walk finds everything that there is to find.

mod known;
mod regions;
mod replay;

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

pub use known::Known;

use crate::attr::AttrVisitor;
use crate::diag::Diagnostic;
use crate::entity::{Arena, EntityId, FuncId, OriginId, RegionId, ValueId};
use crate::interp::Datum;
use crate::module::{Entity, Module};
use crate::op::Opaque;
use crate::pass::{Pass, PassCx, PassOptions, compact, dce::Dce};
use crate::types::Type;
use crate::verify::{Stage, verify};
use crate::visit::{funcs_of, walk};

/// What is fixed.
#[derive(Clone, Debug)]
pub struct Given {
    /// Sizes given to symbols of the inputs, by name.
    pub dims: BTreeMap<String, i64>,
    /// Values given to inputs, which become constants.
    pub binds: BTreeMap<String, Datum>,
    /// Result types of ops without meaning, by `domain::name`.
    pub op_types: BTreeMap<String, Vec<Type>>,
    /// The most nodes that are made.
    pub max_nodes: u64,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            dims: BTreeMap::new(),
            binds: BTreeMap::new(),
            op_types: BTreeMap::new(),
            max_nodes: 20_000_000,
        }
    }
}

impl Given {
    /// Whether nothing is fixed.
    pub fn is_empty(&self) -> bool {
        self.dims.is_empty() && self.binds.is_empty() && self.op_types.is_empty()
    }
}

/// A format that may give meaning to its opaque nodes once more is known of their operands.
pub trait Reread {
    /// The format's short name, as in [`crate::attr::SourceOp::format`].
    fn format(&self) -> &'static str;
    /// Reads a node again and adds what it means at a place.
    fn reread(&self, node: &OpaqueNode<'_>, place: Place<'_>) -> Reading;
}

/// An opaque node with the operands that it has in the program being made.
#[derive(Clone, Copy, Debug)]
pub struct OpaqueNode<'a> {
    /// The op. Its regions are those of the old program: [`Bodies`] makes new ones of them.
    pub op: &'a Opaque,
    /// The operands without captures.
    pub inputs: &'a [Option<ValueId>],
    /// What the regions capture, each value once.
    pub captures: &'a [ValueId],
    /// Which results are wanted.
    pub results: &'a [bool],
    /// Where the node came from.
    pub origin: OriginId,
}

/// Where what a node means is added.
pub struct Place<'a> {
    /// The module. While a body is being made it has to be whole.
    pub module: &'a mut Module,
    /// The function.
    pub func: FuncId,
    /// The region; nodes are added at its end.
    pub region: RegionId,
    /// What is known of values.
    pub known: &'a mut Known,
    /// The regions of the node.
    pub bodies: &'a mut dyn Bodies,
}

/// The regions of an opaque node.
pub trait Bodies {
    /// The declared types of a region's own parameters, without the captures.
    fn params(&self, region: RegionId) -> Vec<Type>;
    /// Makes a region anew whose own parameters have these types, where a declared one does
    /// not say more. The captures follow them.
    fn body(
        &mut self,
        module: &mut Module,
        known: &mut Known,
        region: RegionId,
        params: &[Type],
    ) -> Result<RegionId, String>;
}

/// What came of reading an opaque node again.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// It has a meaning; the values of its results by slot.
    Read(SmallVec<[Option<ValueId>; 2]>),
    /// It still depends on what only a run can tell. Nothing was added.
    Waits(String),
    /// It is wrong for operands of these types. Nothing was added.
    Invalid(String),
}

/// The names of the symbols in the types of inputs, which can be fixed.
pub fn size_names(module: &Module) -> Vec<String> {
    let Some(f) = module.functions.get(module.entry) else { return Vec::new() };
    let mut names = Vec::new();
    for &param in &f.body().params {
        f.ty(param).for_each_dim(&mut |d| {
            d.symbols(&mut |s| {
                if let Some(s) = f.symbols.get(s)
                    && !names.contains(&s.name)
                {
                    names.push(s.name.clone());
                }
            });
        });
    }
    names
}

/// Errors for the names of sizes and inputs to be fixed that the module does not have; they say
/// which it has.
pub fn unknown_names(module: &Module, given: &Given) -> Vec<Diagnostic> {
    let sizes = size_names(module);
    let inputs: Vec<String> = module.main().inputs.iter().map(|i| i.name.clone()).collect();
    let mut errors = Vec::new();
    let mut missing = |flag: &str, what: &str, name: &str, known: &[String]| {
        let mut known: Vec<&str> = known.iter().map(String::as_str).collect();
        known.sort_unstable();
        let help = match known.as_slice() {
            [] => "there are none".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        let message = format!("{flag} {name}: there is no {what} `{name}`");
        errors.push(Diagnostic::error("option-name", message).help(help));
    };
    for name in given.dims.keys().filter(|n| !sizes.contains(n)) {
        missing("--dim", "size of an input", name, &sizes);
    }
    for name in given.binds.keys().filter(|n| !inputs.contains(n)) {
        missing("--bind", "input", name, &inputs);
    }
    errors
}

/// The program with sizes and inputs fixed, and with all that follows from it.
pub fn specialize(
    module: Module,
    given: &Given,
    formats: &[&dyn Reread],
) -> Result<Module, Vec<Diagnostic>> {
    verify(&module, Stage::Imported)?;
    let errors = unknown_names(&module, given);
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut module = replay::replay(module, given, formats).map_err(|e| vec![*e])?;
    keep_called(&mut module);
    Dce.run(&mut crate::pass::Editor::new(&mut module), &mut PassCx::new(PassOptions::default()));
    keep_called(&mut module);
    compact(&mut module);
    Ok(module)
}

struct Renamed<'a>(&'a BTreeMap<FuncId, FuncId>);

impl AttrVisitor for Renamed<'_> {
    fn func(&mut self, func: &mut FuncId) {
        *func = self.0.get(func).copied().unwrap_or(*func);
    }
}

/// Drops functions that the entry does not reach.
fn keep_called(module: &mut Module) {
    let mut seen = BTreeSet::from([module.entry]);
    let mut todo = vec![module.entry];
    while let Some(func) = todo.pop() {
        let Some(f) = module.functions.get(func) else { continue };
        walk(f, &mut |_, node| {
            for callee in funcs_of(&f.nodes[node].op) {
                if seen.insert(callee) {
                    todo.push(callee);
                }
            }
        });
    }
    if seen.len() == module.functions.len() {
        return;
    }
    let ids: BTreeMap<FuncId, FuncId> =
        seen.iter().enumerate().map(|(i, &old)| (old, FuncId::from_index(i))).collect();
    let mut functions = Arena::default();
    for &old in &seen {
        let mut f = std::mem::take(&mut module.functions[old]);
        for node in f.nodes.values_mut() {
            if !funcs_of(&node.op).is_empty() {
                node.op.visit_attrs_mut(&mut Renamed(&ids));
            }
        }
        functions.push(f);
    }
    module.functions = functions;
    module.entry = ids.get(&module.entry).copied().unwrap_or_default();
    let notes = std::mem::take(&mut module.notes);
    module.notes = notes
        .into_iter()
        .filter_map(|(entity, texts)| {
            let of = |f: &FuncId| ids.get(f).copied();
            let entity = match entity {
                Entity::Module | Entity::Tensor(_) => entity,
                Entity::Func(f) => Entity::Func(of(&f)?),
                Entity::Node(f, n) => Entity::Node(of(&f)?, n),
                Entity::Value(f, v) => Entity::Value(of(&f)?, v),
                Entity::Region(f, r) => Entity::Region(of(&f)?, r),
            };
            Some((entity, texts))
        })
        .collect();
}
