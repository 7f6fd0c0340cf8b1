//! The text form of kernels and programs.
//!
//! One line per declaration, expression, statement and step; blocks in braces. What stands after
//! a semicolon-free `:` at the end of an expression is its type, for people; the parser checks
//! it. Index expressions are hub sizes over the variables `v0`, `v1`, ..., in brackets.
//!
//! ```text
//! kernel "row_means" {
//!   param p0 = read f32
//!   param p1 = write f32
//!   sizes 2
//!   var v0 = size 0
//!   var v1 = size 1
//!   var v2 = counter
//!   var v3 = counter
//!   e0 = load p0 [v1*v2 + v3] : f32
//!   e1 = reduce sum [v3 < v1] e0 : f32
//!   e2 = index [v1] : i64
//!   e3 = cast f32 e2 : f32
//!   e4 = div e1 e3 : f32
//!   independent v2 < [v0] {
//!     p1 [v2] = e4
//!   }
//! }
//! ```

mod names;
mod parse;
mod print;
mod program;
#[cfg(test)]
mod tests;

pub use parse::{TextError, parse};
pub use print::print;
pub use program::{parse_program, print_program};
