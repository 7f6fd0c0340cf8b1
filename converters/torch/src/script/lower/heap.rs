//! Lists, dictionaries and objects.

use std::sync::Arc;

use super::value::Value;
use crate::script::ObjectId;

/// A place on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Ref(u32);

/// What is at a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell<T> {
    List(Vec<Value<T>>),
    Dict(Vec<(Value<T>, Value<T>)>),
    Object(Object<T>),
}

/// An object. Attributes of one from the archive come from there until they are set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Object<T> {
    pub class: Arc<str>,
    pub source: Option<ObjectId>,
    pub attrs: Vec<(Arc<str>, Value<T>)>,
}

impl<T> Object<T> {
    pub(super) fn get(&self, name: &str) -> Option<&Value<T>> {
        self.attrs.iter().find(|(n, _)| **n == *name).map(|(_, v)| v)
    }
    pub(super) fn set(&mut self, name: &str, value: Value<T>) {
        match self.attrs.iter_mut().find(|(n, _)| **n == *name) {
            Some((_, old)) => *old = value,
            None => self.attrs.push((name.into(), value)),
        }
    }
}

/// Everything that can change.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heap<T> {
    cells: Vec<Cell<T>>,
}

impl<T> Default for Heap<T> {
    fn default() -> Self {
        Self { cells: Vec::new() }
    }
}

impl<T> Heap<T> {
    pub(super) fn push(&mut self, cell: Cell<T>) -> Ref {
        self.cells.push(cell);
        Ref((self.cells.len() - 1) as u32)
    }
    pub(super) fn list(&self, at: Ref) -> &[Value<T>] {
        match self.cells.get(at.0 as usize) {
            Some(Cell::List(items)) => items,
            _ => &[],
        }
    }
    pub(super) fn dict(&self, at: Ref) -> &[(Value<T>, Value<T>)] {
        match self.cells.get(at.0 as usize) {
            Some(Cell::Dict(pairs)) => pairs,
            _ => &[],
        }
    }
    pub(super) fn object(&self, at: Ref) -> Option<&Object<T>> {
        match self.cells.get(at.0 as usize) {
            Some(Cell::Object(object)) => Some(object),
            _ => None,
        }
    }
    pub(super) fn cell(&self, at: Ref) -> Option<&Cell<T>> {
        self.cells.get(at.0 as usize)
    }
    pub(super) fn list_mut(&mut self, at: Ref) -> Option<&mut Vec<Value<T>>> {
        match self.cells.get_mut(at.0 as usize) {
            Some(Cell::List(items)) => Some(items),
            _ => None,
        }
    }
    pub(super) fn dict_mut(&mut self, at: Ref) -> Option<&mut Vec<(Value<T>, Value<T>)>> {
        match self.cells.get_mut(at.0 as usize) {
            Some(Cell::Dict(pairs)) => Some(pairs),
            _ => None,
        }
    }
    pub(super) fn object_mut(&mut self, at: Ref) -> Option<&mut Object<T>> {
        match self.cells.get_mut(at.0 as usize) {
            Some(Cell::Object(object)) => Some(object),
            _ => None,
        }
    }
    pub(super) fn cell_mut(&mut self, at: Ref) -> Option<&mut Cell<T>> {
        self.cells.get_mut(at.0 as usize)
    }
    /// The places in order.
    pub(super) fn refs(&self) -> impl Iterator<Item = Ref> + use<T> {
        (0..self.cells.len() as u32).map(Ref)
    }
}
