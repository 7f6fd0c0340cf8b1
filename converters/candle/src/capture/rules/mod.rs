//! What a recorded call is in the hub: one rule per function of candle.

mod conv;
mod create;
mod custom;
mod elementwise;
mod index;
mod reduce;
mod shape;

use airconv_ir::entity::ValueId;

use super::build::{Call, Cx, R, Stop};

type Read = fn(&mut Cx<'_>, &Call<'_>) -> R<ValueId>;

/// The rule for calls of a name.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// What was called.
    pub name: &'static str,
    read: Read,
}

const fn rule(name: &'static str, read: Read) -> Rule {
    Rule { name, read }
}

/// The families.
const FAMILIES: [&[Rule]; 7] = [
    conv::RULES,
    create::RULES,
    custom::RULES,
    elementwise::RULES,
    index::RULES,
    reduce::RULES,
    shape::RULES,
];

/// All rules.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.into_iter().flatten()
}

/// Reads a call.
pub(super) fn read(cx: &mut Cx<'_>, call: &Call<'_>) -> R<ValueId> {
    let name = call.node.op.as_str();
    if let Some(rule) = all().find(|r| r.name == name) {
        return (rule.read)(cx, call);
    }
    Err(Stop::Unsupported(match name.strip_prefix("custom ") {
        Some(op) => format!("{op} is an operation of the program's own, whose code is not seen"),
        None if name.starts_with("rand") => {
            "random numbers would be those of this run for ever".to_owned()
        }
        None => "there is no rule for it".to_owned(),
    }))
}
