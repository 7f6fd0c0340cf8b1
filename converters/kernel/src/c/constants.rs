//! Constants of programs as C arrays.

use airconv_ir::module::Module;

use super::Kernels;
use super::expr::literal;
use super::kernel::stored_type;
use super::program::Writer;
use crate::carrier::constant_of;
use crate::ir::{BufferKind, Const, Elem};

/// The constants that steps refer to and that lie nowhere else, as aligned arrays, and what is
/// refused of them.
pub(super) fn text(w: &Writer<'_>, module: &Module) -> (String, Vec<String>) {
    let (mut out, mut refused) = (String::new(), Vec::new());
    for b in w.plan.places.keys() {
        let buffer = w.p.buffer(*b);
        let BufferKind::Constant(id) = buffer.kind else { continue };
        if matches!(&w.options.kernels, Kernels::External(e) if e.constants.contains_key(b)) {
            continue;
        }
        let elem = buffer.dtype.and_then(Elem::of).map(|(elem, _)| elem);
        let (Some(elem), Ok(memory)) = (elem, constant_of(&module.tensors[id])) else {
            refused.push(format!("constant {} has no numbers", id.0));
            continue;
        };
        let elements: Vec<String> =
            memory.bytes().chunks_exact(elem.bytes()).map(|b| element(elem, b)).collect();
        let count = elements.len().max(1);
        out += &format!("static _Alignas(64) const {} c{}[{count}] = {{", stored_type(elem), b.0);
        if elements.is_empty() {
            out += "0";
        }
        for (i, text) in elements.iter().enumerate() {
            out += if i % 8 == 0 { "\n    " } else { " " };
            out += text;
            out.push(',');
        }
        out += "\n};\n\n";
    }
    (out, refused)
}

/// An element as C. Elements lie little-endian, as in files.
fn element(elem: Elem, bytes: &[u8]) -> String {
    let bits = bytes.iter().rev().fold(0u64, |n, b| (n << 8) | u64::from(*b));
    match elem {
        Elem::F16 | Elem::Bf16 => format!("{bits:#06x}"),
        Elem::Bool => u64::from(bits != 0).to_string(),
        _ => literal(Const { ty: elem.scalar(), bits }),
    }
}
