//! Hub programs as Rust crates that use candle, and run by candle in process.
//!
//! A hub program is first [lowered](lower) to a [`Program`](program::Program): the calls of
//! candle that compute it, in order. One rule per hub op says which calls these are. A call is a
//! row of [one table](program::calls), whose body is Rust: the [writer](export) prints it with
//! the names of the program in the place of its parameters, the [executor](exec) is compiled from
//! it. So what is written and what is run cannot differ.
//!
//! NaN is what candle makes of it where its functions compare. The greater or lesser of two is the
//! first one where either is NaN (a program that asks for the number gets it); `relu` of NaN is 0;
//! the greatest or least element of a tensor or a window, its position, and running ones pass NaN
//! over unless it comes first. In the hub these are NaN, or its position.
//!
//! The executor needs the feature `exec`, which compiles candle; with `cuda` or `metal` it runs on
//! such a device too.
//!
//! The other way, programs that use candle are [recorded](capture) while they run, and read.

pub mod capture;
#[cfg(feature = "exec")]
pub mod exec;
pub mod export;
#[cfg(feature = "exec")]
mod helpers;
pub mod lower;
pub mod program;

#[cfg(feature = "exec")]
pub use exec::CandleExecutor;
pub use export::CandleWriter;
