//! The canonical array IR ("the hub"): a typed SSA graph of array operations.
//!
//! A [`module::Module`] holds functions; a function holds regions of nodes; a node applies
//! an [`op::Op`] to values. Ids ([`entity`]) are apart from order, operands are apart from
//! payloads, and every op is one row of the table in [`op`].

pub mod array;
pub mod attr;
pub mod builder;
pub mod copy;
pub mod decompose;
pub mod diag;
pub mod dim;
pub mod dtype;
pub mod ensemble;
pub mod entity;
pub mod graph;
pub mod infer;
pub mod interp;
pub mod module;
pub mod op;
pub mod pass;
pub mod specialize;
pub mod tensor;
pub mod text;
pub mod types;
pub mod verify;
pub mod visit;
pub mod wire;
