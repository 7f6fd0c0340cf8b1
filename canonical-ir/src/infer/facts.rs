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

/// The shape that a reshape asks for: -1 takes what is left; 0 keeps the operand's size at
/// that position unless `allow_zero`.
pub fn reshape_dims(shape: &[Dim], asked: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, String> {
    let mut dims = Vec::with_capacity(asked.len());
    let mut inferred = None;
    for (i, d) in asked.iter().enumerate() {
        dims.push(match d.as_known() {
            Some(0) if !allow_zero => {
                shape.get(i).cloned().ok_or_else(|| format!("there is no size to keep at axis {i}"))?
            }
            Some(-1) => {
                if inferred.replace(i).is_some() {
                    return Err("more than one size is -1".to_owned());
                }
                Dim::Known(1)
            }
            Some(v) if v < 0 => return Err(format!("the size {v} is negative")),
            _ => d.clone(),
        });
    }
    if let Some(i) = inferred {
        let total = crate::dim::numel(shape);
        let rest = crate::dim::numel(&dims);
        dims[i] = match (total.as_known(), rest.as_known()) {
            (Some(t), Some(r)) if r == 0 || t % r != 0 => {
                if t == 0 && r == 0 {
                    Dim::Known(0)
                } else {
                    return Err(format!("{t} elements do not divide into {r}"));
                }
            }
            _ => total.floor_div(&rest),
        };
    }
    Ok(dims)
}
