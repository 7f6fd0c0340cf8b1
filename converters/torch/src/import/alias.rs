//! Tensors that share memory, and writes to them, made functional.
//!
//! PyTorch names places: a view shares memory with what it was made from, and an operator may
//! write into it. The hub knows values only. So a name of the source is a [`Handle`], whose value
//! is looked up when it is used: a write gives the storage a new version, and a handle of an
//! older version is made again from the handle that it is a view of. Programs that write nothing
//! never do this.
//!
//! Where it cannot be told whether a tensor shares the memory of another, the two have storages
//! of one family: a write to one makes the contents of the others doubtful, and a doubtful tensor
//! has no value.

use std::rc::Rc;

use airconv_ir::entity::ValueId;

use super::arg::Arg;
use super::share::Layout;
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
    layout: Layout,
}

struct Storage {
    /// How often it was written to.
    version: u32,
    family: usize,
    doubtful: bool,
}

/// All handles of a function.
#[derive(Default)]
pub(crate) struct Handles {
    slots: Vec<Slot>,
    storages: Vec<Storage>,
    /// The storages of each family whose contents are certain.
    families: Vec<Vec<usize>>,
}

/// What has to be done to have the value of a handle.
pub(crate) enum Look {
    /// Nothing: this is it.
    Value(ValueId),
    /// Make it again from this handle.
    Replay(Handle, Rc<ViewCall>),
    /// What may be the same memory was written to.
    Doubtful,
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
        self.families.push(Vec::new());
        self.own(value, self.families.len() - 1)
    }
    /// A handle of a tensor that has memory of its own, or shares that of another one.
    pub(crate) fn own_or_view(&mut self, of: Handle, value: ValueId) -> Handle {
        self.own(value, self.storages[self.slot(of).storage].family)
    }
    fn own(&mut self, value: ValueId, family: usize) -> Handle {
        let storage = self.storages.len();
        self.storages.push(Storage { version: 0, family, doubtful: false });
        self.families[family].push(storage);
        self.push(Slot { value, version: 0, storage, view: None, layout: Layout::Unknown })
    }
    /// A handle of a view.
    pub(crate) fn view(&mut self, of: Handle, call: Rc<ViewCall>, value: ValueId) -> Handle {
        let storage = self.slot(of).storage;
        let version = self.storages[storage].version;
        let layout = Layout::Unknown;
        self.push(Slot { value, version, storage, view: Some((of, call)), layout })
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
        let storage = &self.storages[slot.storage];
        match &slot.view {
            _ if storage.doubtful => Look::Doubtful,
            Some((of, call)) if slot.version != storage.version => Look::Replay(*of, call.clone()),
            _ => Look::Value(slot.value),
        }
    }
    /// Notes the value that was made for a handle.
    pub(crate) fn refreshed(&mut self, handle: Handle, value: ValueId) {
        let version = self.storages[self.slot(handle).storage].version;
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
    /// New contents of a tensor that is no view; all views of it are out of date, and what may
    /// be one is doubtful.
    pub(crate) fn set_root(&mut self, handle: Handle, value: ValueId) {
        let storage = self.slot(handle).storage;
        self.storages[storage].version += 1;
        self.refreshed(handle, value);
        let family = self.storages[storage].family;
        for other in std::mem::replace(&mut self.families[family], vec![storage]) {
            self.storages[other].doubtful |= other != storage;
        }
    }
    /// Whether the storage of a handle was written to, or may have been.
    pub(crate) fn was_written(&self, handle: Handle) -> bool {
        let storage = &self.storages[self.slot(handle).storage];
        storage.version > 0 || storage.doubtful
    }
    /// How a tensor lies in memory.
    pub(crate) fn layout(&self, handle: Handle) -> Layout {
        self.slot(handle).layout
    }
    /// Says how a tensor lies in memory.
    pub(crate) fn set_layout(&mut self, handle: Handle, layout: Layout) {
        self.slots[handle.0 as usize].layout = layout;
    }
}
