//! Products of bytes: what C has to know of them and of their code.

use std::collections::BTreeMap;

use airconv_ir::dim::Dim;

/// What runs products of bytes.
pub(super) const RUNTIME: &str = include_str!("bytes.c");

/// What is taken away from an operand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExternalZero {
    /// A number.
    Number(i32),
    /// Bytes of a parameter, of the operand's own type.
    Element {
        /// The parameter.
        param: u32,
        /// The first of them.
        base: Dim,
        /// How often and how far each axis of columns goes; none where it is the same everywhere.
        columns: Vec<[Dim; 2]>,
    },
}

impl ExternalZero {
    /// It as an initialiser, with dimensions as `named` writes them.
    pub(super) fn text(&self, named: &mut dyn FnMut(&Dim) -> String) -> String {
        match self {
            ExternalZero::Number(x) => format!("{{0, 0, {x}, 0, {{{{0, 0}}}}, NULL}}"),
            ExternalZero::Element { param, base, columns } => {
                let base = named(base);
                let steps = columns.iter().map(|axis| {
                    let [extent, step] = axis.each_ref().map(&mut *named);
                    format!("{{{extent}, {step}}}")
                });
                let mut steps: Vec<String> = steps.collect();
                if steps.is_empty() {
                    steps.push("{0, 0}".to_owned());
                }
                let list = steps.join(", ");
                let axes = columns.len();
                format!("{{1, {param}, {base}, {axes}, {{{list}}}, NULL}}")
            }
        }
    }
}

/// The code of a product of bytes on a level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BytesCode {
    /// The function for sums of rows and the columns of a panel.
    pub sums: String,
    /// The function that makes the result from them.
    pub finish: String,
    /// The most rows that are done at once.
    pub rows: usize,
    /// The columns of a panel.
    pub width: usize,
    /// Whether two numbers of 16 bits are multiplied at once, and not four bytes.
    pub words: bool,
    /// Whether the left and the right operand are signed.
    pub signed: [bool; 2],
    /// Bytes of an element of the result.
    pub size: usize,
    /// Rows that are packed at once.
    pub block: i64,
}

impl BytesCode {
    /// Adds the types of its functions.
    pub(super) fn declare<'c>(&'c self, declared: &mut BTreeMap<&'c str, &'static str>) {
        declared.insert(&self.sums, "ac_sums_code");
        declared.insert(&self.finish, "ac_finish_code");
    }

    /// It as an initialiser.
    pub(super) fn text(&self) -> String {
        let BytesCode { sums, finish, words, signed, size, block, .. } = self;
        let [left, right] = signed.map(i32::from);
        format!(
            "{{ac_plan_bytes, ac_run_bytes, {sums}, {finish}, {}, {{{left}, {right}}}, {size}, \
             {block}}}",
            i32::from(*words)
        )
    }
}
