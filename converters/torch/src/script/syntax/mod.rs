//! The language that TorchScript programs are saved in: a part of Python, with types.

pub mod ast;
mod expr;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

pub use parser::{parse_source, parse_type};
