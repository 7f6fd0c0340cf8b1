//! Tensors that share memory, and writes to them, made functional.
//!
//! PyTorch names places: a view shares memory with what it was made from, and an operator may
//! write into it. The hub knows values only. So a name of the source is a [`Handle`], whose value
//! is looked up when it is used: a write gives the storage a new version, and a handle of an
//! older version is made again from the handle that it is a view of. Programs that write nothing
//! never do this.

use std::rc::Rc;

use airconv_ir::entity::ValueId;

use super::arg::Arg;
use crate::common::schema::Schema;

/// A tensor of the source program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Handle(u32);

/// The call that makes a view, with the place of the view among its results.
#[derive(Debug)]
pub(crate) struct ViewCall {
    /// The operator.
    pub schema: &'static Schema,
    /// Its arguments; the one that is viewed is a placeholder.
    pub args: Vec<Arg>,
    /// The position of the argument that is viewed.
    pub viewed: usize,
    /// The position in the list that the operator gives, for `split` and the like.
    pub item: Option<usize>,
}

struct Slot {
    value: ValueId,
    /// The version of the storage that `value` shows.
    version: u32,
    storage: usize,
    view: Option<(Handle, Rc<ViewCall>)>,
}

/// All handles of a function.
#[derive(Default)]
pub(crate) struct Handles {
    slots: Vec<Slot>,
    versions: Vec<u32>,
}

/// What has to be done to have the value of a handle.
pub(crate) enum Look {
    /// Nothing: this is it.
    Value(ValueId),
    /// Make it again from this handle.
    Replay(Handle, Rc<ViewCall>),
}

/// What a write to a handle has to do besides.
pub(crate) enum Write {
    /// Nothing.
    Done,
    /// Write to this handle, of which it is a view.
    Through(Handle, Rc<ViewCall>),
}

impl Handles {
    /// A handle of a tensor with memory of its own.
    pub(crate) fn fresh(&mut self, value: ValueId) -> Handle {
        self.versions.push(0);
        self.push(Slot { value, version: 0, storage: self.versions.len() - 1, view: None })
    }
    /// A handle of a view.
    pub(crate) fn view(&mut self, of: Handle, call: Rc<ViewCall>, value: ValueId) -> Handle {
        let storage = self.slot(of).storage;
        let version = self.versions[storage];
        self.push(Slot { value, version, storage, view: Some((of, call)) })
    }
    fn push(&mut self, slot: Slot) -> Handle {
        self.slots.push(slot);
        Handle((self.slots.len() - 1) as u32)
    }
    fn slot(&self, handle: Handle) -> &Slot {
        &self.slots[handle.0 as usize]
    }
    /// The value of a handle, or how to make it.
    pub(crate) fn look(&self, handle: Handle) -> Look {
        let slot = self.slot(handle);
        match &slot.view {
            Some((of, call)) if slot.version != self.versions[slot.storage] => {
                Look::Replay(*of, call.clone())
            }
            _ => Look::Value(slot.value),
        }
    }
    /// Notes the value that was made for a handle.
    pub(crate) fn refreshed(&mut self, handle: Handle, value: ValueId) {
        let version = self.versions[self.slot(handle).storage];
        let slot = &mut self.slots[handle.0 as usize];
        (slot.value, slot.version) = (value, version);
    }
    /// How a write to a handle goes on.
    pub(crate) fn through(&self, handle: Handle) -> Write {
        match &self.slot(handle).view {
            Some((of, call)) => Write::Through(*of, call.clone()),
            None => Write::Done,
        }
    }
    /// New contents of a tensor that is no view; all views of it are out of date.
    pub(crate) fn set_root(&mut self, handle: Handle, value: ValueId) {
        let storage = self.slot(handle).storage;
        self.versions[storage] += 1;
        self.refreshed(handle, value);
    }
    /// How often the storage of a handle was written to.
    pub(crate) fn version(&self, handle: Handle) -> u32 {
        self.versions[self.slot(handle).storage]
    }
}
