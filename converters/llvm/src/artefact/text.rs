//! Kernels and data as one module of LLVM IR.

use std::fmt::Write;

use super::SECTION;
use super::blobs::Blobs;
use super::codes::joined;
use crate::compile::with_attributes;
use crate::target::Target;

/// The module: data, and kernels for a target that every function states.
pub(super) fn module<'t>(
    name: &str,
    modules: impl Iterator<Item = &'t String>,
    blobs: &Blobs,
    target: &Target,
) -> String {
    let mut out = format!("target triple = \"{}\"\n\n", target.triple);
    let program = bytes(&blobs.program);
    let (n, m) = (blobs.program.len(), blobs.more.len());
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "@{name}_program = hidden constant [{n} x i8] c\"{program}\", section \"{SECTION}\", \
         align 4096\n@{name}_more = hidden constant [{m} x i8] c\"{}\", align 64\n\n",
        bytes(&blobs.more)
    );
    let mut attributes = vec![("target-cpu", target.cpu.as_str())];
    if !target.features.is_empty() {
        attributes.push(("target-features", &target.features));
    }
    out + &with_attributes(&joined(modules), target, &attributes)
}

/// Bytes as the inside of a string of LLVM IR.
fn bytes(data: &[u8]) -> String {
    let mut out = String::with_capacity(data.len() * 3);
    for &b in data {
        match b {
            b'"' | b'\\' => {
                let _ = write!(out, "\\{b:02X}");
            }
            b' '..=b'~' => out.push(char::from(b)),
            _ => {
                let _ = write!(out, "\\{b:02X}");
            }
        }
    }
    out
}
