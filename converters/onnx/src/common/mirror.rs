//! Ops that read and write field by field: the hub op has the same operands and results,
//! and each field is an attribute of the same meaning.

use airconv_ir::op::OpKind;

/// One such op.
#[derive(Clone, Copy, Debug)]
pub struct Mirror {
    /// The domain.
    pub domain: &'static str,
    /// The op's name in ONNX.
    pub name: &'static str,
    /// The first version with these operands and attributes.
    pub since: i64,
    /// The hub op.
    pub kind: OpKind,
    /// Whether operands broadcast to each other.
    pub broadcasts: bool,
    /// Fields whose attribute has another name: (field, attribute).
    pub renames: &'static [(&'static str, &'static str)],
    /// Attributes without bearing on the result, with the one value they may have been
    /// given; dropped when reading.
    pub ignored: &'static [&'static str],
    /// Fields that are written even when they equal their default, for runtimes that ask for
    /// the attribute.
    pub always: &'static [&'static str],
}

impl Mirror {
    /// An op of the standard domain.
    pub const fn new(name: &'static str, since: i64, kind: OpKind) -> Self {
        Self {
            domain: super::ONNX,
            name,
            since,
            kind,
            broadcasts: false,
            renames: &[],
            ignored: &[],
            always: &[],
        }
    }
    /// An op of another domain.
    pub const fn of(domain: &'static str, name: &'static str, since: i64, kind: OpKind) -> Self {
        Self {
            domain,
            name,
            since,
            kind,
            broadcasts: false,
            renames: &[],
            ignored: &[],
            always: &[],
        }
    }
    /// Operands broadcast to each other.
    pub const fn broadcasting(mut self) -> Self {
        self.broadcasts = true;
        self
    }
    /// Fields whose attribute has another name.
    pub const fn renaming(mut self, renames: &'static [(&'static str, &'static str)]) -> Self {
        self.renames = renames;
        self
    }
    /// Attributes to drop when reading.
    pub const fn ignoring(mut self, ignored: &'static [&'static str]) -> Self {
        self.ignored = ignored;
        self
    }
    /// Fields to write even when they equal their default.
    pub const fn always(mut self, always: &'static [&'static str]) -> Self {
        self.always = always;
        self
    }
    /// The attribute of a field.
    pub fn attribute(&self, field: &'static str) -> &'static str {
        self.renames.iter().find(|(f, _)| *f == field).map_or(field, |(_, a)| a)
    }
}
