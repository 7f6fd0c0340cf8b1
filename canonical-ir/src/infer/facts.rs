//! Integer values known in terms of sizes (replaced by the shape family's work).

use rustc_hash::FxHashMap;

use crate::dim::Dim;
use crate::entity::{NodeId, ValueId};
use crate::module::{Function, Module};

/// The known elements of small integer tensors.
#[derive(Default, Debug, Clone)]
pub struct Facts {
    known: FxHashMap<ValueId, Vec<Dim>>,
}

impl Facts {
    /// The elements of a value, if known.
    pub fn get(&self, value: ValueId) -> Option<&[Dim]> {
        self.known.get(&value).map(Vec::as_slice)
    }
    /// Learns what a node says about its results.
    pub fn visit(&mut self, _module: &Module, _func: &Function, _node: NodeId) {}
}
