//! Which functions have an op: those of the C library for `double`, with `f` for `float`, and
//! LLVM's intrinsics of the same meaning.

use airconv_ir::builder::{BuildError, Builder};
use airconv_ir::entity::ValueId;
use airconv_ir::op::*;

type Made = Result<ValueId, BuildError>;

/// The name without what tells types: `llvm.sqrt.f32` and `sqrtf` are `sqrt`.
fn stem(name: &str) -> &str {
    if let Some(rest) = name.strip_prefix("llvm.") {
        return rest.split('.').next().unwrap_or(rest);
    }
    match name.strip_suffix('f') {
        Some(short) if is_known(short) => short,
        _ => name,
    }
}

const UNARY: [&str; 22] = [
    "sqrt",
    "fabs",
    "exp",
    "log",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "floor",
    "ceil",
    "rint",
    "nearbyint",
    "roundeven",
];

fn is_known(stem: &str) -> bool {
    UNARY.contains(&stem) || matches!(stem, "trunc" | "pow" | "fmax" | "fmin" | "fmod")
}

/// Whether a call has no meaning for numbers.
pub(super) fn is_nothing(name: &str) -> bool {
    ["llvm.dbg.", "llvm.lifetime.", "llvm.assume"].iter().any(|p| name.starts_with(p))
}

/// The value of a call; `None` where the function has no op.
pub(super) fn call(b: &mut Builder<'_>, name: &str, args: &[ValueId]) -> Option<Made> {
    Some(match (stem(name), args) {
        ("sqrt", &[x]) => b.sqrt(x),
        ("fabs", &[x]) => b.abs(x),
        ("exp", &[x]) => b.exp(x),
        ("log", &[x]) => b.log(x),
        ("sin", &[x]) => b.sin(x),
        ("cos", &[x]) => b.cos(x),
        ("tan", &[x]) => b.emit(Tan {}, &[x]),
        ("asin", &[x]) => b.emit(Asin {}, &[x]),
        ("acos", &[x]) => b.emit(Acos {}, &[x]),
        ("atan", &[x]) => b.emit(Atan {}, &[x]),
        ("sinh", &[x]) => b.emit(Sinh {}, &[x]),
        ("cosh", &[x]) => b.emit(Cosh {}, &[x]),
        ("tanh", &[x]) => b.tanh(x),
        ("asinh", &[x]) => b.emit(Asinh {}, &[x]),
        ("acosh", &[x]) => b.emit(Acosh {}, &[x]),
        ("atanh", &[x]) => b.emit(Atanh {}, &[x]),
        ("erf", &[x]) => b.erf(x),
        ("floor", &[x]) => b.floor(x),
        ("ceil", &[x]) => b.ceil(x),
        ("rint" | "nearbyint" | "roundeven", &[x]) => b.round(x),
        ("trunc", &[x]) => toward_zero(b, x),
        ("pow", &[x, y]) => b.pow(x, y),
        ("fmod", &[x, y]) => b.broadcasting(Rem { rounding: IntRounding::Trunc }, &[x, y]),
        ("maximum", &[x, y]) => b.max(x, y),
        ("minimum", &[x, y]) => b.min(x, y),
        ("fmax" | "maxnum", &[x, y]) => b.broadcasting(Max { nan: NanRule::Number }, &[x, y]),
        ("fmin" | "minnum", &[x, y]) => b.broadcasting(Min { nan: NanRule::Number }, &[x, y]),
        // May be rounded once or twice, as its definition says.
        ("fmuladd", &[x, y, z]) => b.mul(x, y).and_then(|product| b.add(product, z)),
        _ => return None,
    })
}

/// A number without its fraction.
fn toward_zero(b: &mut Builder<'_>, x: ValueId) -> Made {
    let zero = b.scalar_like(x, 0.0)?;
    let negative = b.less(x, zero)?;
    let (up, down) = (b.ceil(x)?, b.floor(x)?);
    b.select(negative, up, down)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_types() {
        assert_eq!(stem("llvm.sqrt.f32"), "sqrt");
        assert_eq!(
            (stem("sinf"), stem("sin"), stem("erff"), stem("erf")),
            ("sin", "sin", "erf", "erf")
        );
        assert_eq!(stem("elf"), "elf");
        assert!(is_nothing("llvm.dbg.value") && !is_nothing("llvm.exp.f64"));
    }
}
