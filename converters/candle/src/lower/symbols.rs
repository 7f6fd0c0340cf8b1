//! Names of sizes for readers.

use airconv_ir::dim::Dim;

use crate::program::Program;
use crate::program::dtype::is_float;

/// Names symbols that the source only numbers after the place where they are a size of an input.
pub(super) fn name(program: &mut Program) {
    for at in 0..program.symbols.len() {
        let numbered = program.symbols.get(at).is_some_and(|n| is_numbered(n));
        let Some(name) = place(program, at).filter(|_| numbered) else { continue };
        let taken = program.symbols.iter().chain(&program.inputs).any(|n| n == name);
        if let Some(symbol) = program.symbols.get_mut(at).filter(|_| !taken) {
            *symbol = name.to_owned();
        }
    }
}

/// Whether a name is a few letters and a number: `s77`, `u0`, `unk__12`.
fn is_numbered(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    stem.len() < name.len() && ["s", "u", "unk__", "d_", "dynamic_axes_"].contains(&stem)
}

/// What the axis of an input usually is whose size a symbol is.
fn place(program: &Program, symbol: usize) -> Option<&'static str> {
    let is = |d: &Dim| d.as_symbol().is_some_and(|s| s.0 as usize == symbol);
    program.params.iter().find_map(|&v| {
        let info = program.info(v);
        let axis = info.shape.iter().position(is)?;
        match (info.shape.len(), axis) {
            (2.., 0) => Some("batch"),
            (2, 1) if !is_float(info.dtype) => Some("seq_len"),
            (3, 1) => Some("seq_len"),
            (4, 2) => Some("height"),
            (4, 3) => Some("width"),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::is_numbered;

    #[test]
    fn numbered_names_say_nothing() {
        assert!(["s77", "u0", "unk__12"].iter().all(|n| is_numbered(n)));
        assert!(!["batch", "s", "N", "seq1", "h2"].iter().any(|n| is_numbered(n)));
    }
}
