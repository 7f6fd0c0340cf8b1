//! The portable C writer.
//!
//! Kernels become functions of C11 without intrinsics, extensions or undefined behaviour:
//! integers wrap by way of unsigned types, shifts and divisions are defined everywhere, floats
//! become integers by functions that saturate, and bits are reinterpreted by `memcpy`. Sums and
//! products of `f32` are kept in double precision, as the interpreter of this level does.
//!
//! Index expressions are computed in 64 bits; sums and products within them have to fit.
//!
//! The code counts on what every C compiler of today gives: 8-bit bytes, two's complement
//! conversions to signed types, and IEEE floats whose operations are not fused or contracted
//! (`-std=c11` of GCC and Clang, or `-ffp-contract=off`).

mod constants;
mod executor;
mod expr;
mod header;
mod helpers;
mod index;
mod kernel;
mod limits;
pub mod native;
mod plan;
mod program;
#[cfg(test)]
mod tests;
mod writer;

use crate::ir::Kernel;
use helpers::Helpers;

pub use executor::CExecutor;
pub use program::program_c;
pub use writer::{CWriter, report_stop, write_pair};

/// How a program is written.
#[derive(Clone, Debug, Default)]
pub struct COptions {
    /// The prefix of the names of functions and files; when empty, the name of the program.
    pub name: String,
    /// Where the kernels are.
    pub kernels: Kernels,
}

/// Where the kernels of a program in C are.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Kernels {
    /// In the source, as C.
    #[default]
    Inline,
    /// In other objects.
    External(Box<native::External>),
}

/// A program as C. The source includes `NAME.h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSource {
    /// The prefix of the names of functions, and the name of the header without `.h`.
    pub name: String,
    /// The text of the source file.
    pub source: String,
    /// The text of the header.
    pub header: String,
}

/// Why a program has no form in C: everything that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct Refused(pub Vec<String>);

/// What generated code includes.
const INCLUDES: &str = "#include <math.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
";

/// A kernel that passes [`check_kernel`](crate::check::check_kernel), as C: what it includes, the
/// small functions that it needs, and
///
/// ```c
/// static void NAME(void *const *bufs, const int64_t *sizes, int64_t begin, int64_t end,
///                  int32_t *status);
/// ```
///
/// which runs the iterations from `begin` up to `end`, those that there are, of the loop that
/// [`Kernel::grid`] finds. A kernel without such a loop runs as a whole, whatever they are. The buffers must not overlap
/// where one of them is written. When a check fails and `*status` is 0, it becomes the code of
/// the check plus 1.
pub fn kernel_c(kernel: &Kernel, name: &str) -> String {
    let mut helpers = Helpers::default();
    let function = kernel::function(kernel, name, &mut helpers);
    format!("{INCLUDES}\n{}\n{function}", helpers.text())
}

/// Indents lines by the braces around them.
fn indented(text: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0usize);
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with('}') {
            depth = depth.saturating_sub(1);
        }
        if !line.is_empty() {
            out.push_str(&"    ".repeat(depth));
            out.push_str(line);
        }
        out.push('\n');
        if line.ends_with('{') {
            depth += 1;
        }
    }
    out
}
