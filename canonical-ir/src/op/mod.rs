//! The closed set of ops.
//!
//! [`table`] has one row per op: documentation, tier, effects, slots and fields. The
//! enum [`Op`], its payload structs, [`OpKind`], [`OpInfo`], the text and wire forms and
//! the dispatch of inference, decomposition and evaluation all come from that row.
//!
//! Operands never live in the payload: they are one list beside it, whose slots the row
//! names. `x` is required, `x?` may be absent, `x*` takes any number and is last.

mod table;

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

use crate::attr::Attr;
pub use table::*;

/// How an op is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// A primitive: every executing back end supports it.
    Core,
    /// A larger unit with a decomposition into core ops.
    Composite,
    /// A reference to something else: a function of the module, or an op without meaning.
    Reference,
}

/// What an op may do beyond computing its results from its operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effects {
    /// Nothing: it may be removed, merged, moved and repeated.
    Pure,
    /// It may fail for some operands: it may be removed when unused, not run where it
    /// would not have run.
    MayFail,
    /// Two runs may differ: it may be removed when unused, never merged.
    Nondet,
    /// It acts on the world: it stays where it is.
    Io,
}

/// How many values an operand or result slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// Any number; only the last slot may be so.
    Variadic,
}

/// A named place for an operand or a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The name in documentation and messages.
    pub name: &'static str,
    /// How many values it holds.
    pub arity: Arity,
}

/// A field of an op's payload, for generic code.
#[derive(Clone, Debug)]
pub struct FieldInfo {
    /// The name in text and wire form.
    pub name: &'static str,
    /// The kind of attribute, as in the materialised schema.
    pub kind: &'static str,
    /// Whether it has to be given; otherwise a default stands in.
    pub required: bool,
    /// The default, where there is one and it is not "absent".
    pub default: Option<Attr>,
    /// What it means.
    pub doc: &'static str,
}

/// Everything generic code needs to know of an op.
#[derive(Clone, Debug)]
pub struct OpInfo {
    /// The op.
    pub kind: OpKind,
    /// The spelling in every form.
    pub name: &'static str,
    /// The family whose files hold its rules.
    pub family: &'static str,
    /// Core, composite or reference.
    pub tier: Tier,
    /// What it may do.
    pub effects: Effects,
    /// The minor version of format 0.x that brought it.
    pub since: u32,
    /// Operand slots.
    pub operands: Vec<Slot>,
    /// Result slots.
    pub results: Vec<Slot>,
    /// Payload fields.
    pub fields: Vec<FieldInfo>,
    /// The documentation of the row.
    pub doc: &'static str,
}

impl OpInfo {
    /// The least and greatest number of operands; `None` for no upper bound.
    pub fn operand_count(&self) -> (usize, Option<usize>) {
        slot_count(&self.operands)
    }
    /// The least and greatest number of results; `None` for no upper bound.
    pub fn result_count(&self) -> (usize, Option<usize>) {
        slot_count(&self.results)
    }
}

fn slot_count(slots: &[Slot]) -> (usize, Option<usize>) {
    let least = slots.iter().filter(|s| s.arity == Arity::One).count();
    let variadic = slots.last().is_some_and(|s| s.arity == Arity::Variadic);
    (least, (!variadic).then_some(slots.len()))
}

fn parse_slots(text: &'static str) -> Vec<Slot> {
    text.split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| match (s.strip_suffix('?'), s.strip_suffix('*')) {
            (Some(name), _) => Slot { name, arity: Arity::Optional },
            (_, Some(name)) => Slot { name, arity: Arity::Variadic },
            (None, None) => Slot { name: s, arity: Arity::One },
        })
        .collect()
}

/// Why a payload could not be made from named attributes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No op of that name.
    #[error("no op is called `{0}`")]
    NoSuchOp(String),
    /// A required field is absent.
    #[error("field `{0}` is missing")]
    Missing(&'static str),
    /// A field has the wrong kind of value.
    #[error("field `{field}` wants {wanted}, not {found}")]
    Kind {
        /// The field.
        field: &'static str,
        /// Its kind.
        wanted: &'static str,
        /// What was given.
        found: &'static str,
    },
    /// A field that the op does not have.
    #[error("there is no field `{0}`")]
    Unknown(String),
}

/// The payload of an op: its fields, typed.
pub trait Payload: Into<Op> + Clone {
    /// The op.
    const KIND: OpKind;
}

macro_rules! op_payload_from {
    ($attrs:ident, $field:ident, $ty:ty) => {
        match $attrs.remove(stringify!($field)) {
            Some(attr) => {
                let found = attr.kind();
                <$ty as $crate::attr::Field>::from_attr(attr).ok_or(
                    $crate::op::FieldError::Kind {
                        field: stringify!($field),
                        wanted: <$ty as $crate::attr::Field>::KIND,
                        found,
                    },
                )?
            }
            None => return Err($crate::op::FieldError::Missing(stringify!($field))),
        }
    };
    ($attrs:ident, $field:ident, $ty:ty, $default:expr) => {
        match $attrs.remove(stringify!($field)) {
            Some(attr) => {
                let found = attr.kind();
                <$ty as $crate::attr::Field>::from_attr(attr).ok_or(
                    $crate::op::FieldError::Kind {
                        field: stringify!($field),
                        wanted: <$ty as $crate::attr::Field>::KIND,
                        found,
                    },
                )?
            }
            None => $default,
        }
    };
}

macro_rules! op_field_default {
    ($ty:ty) => {
        (true, None)
    };
    ($ty:ty, $default:expr) => {{
        let default: $ty = $default;
        (false, $crate::attr::Field::to_attr(&default))
    }};
}

/// Expands the op table; see [`table`] for the form of a row.
macro_rules! op_table {
    ($(
        $family:ident {$(
            $(#[doc = $doc:literal])*
            $Op:ident $name:ident $tier:ident $since:literal $effects:ident
            $operands:literal -> $results:literal
            {$(
                $(#[doc = $fdoc:literal])*
                $field:ident : $ty:ty $(= $default:expr)?
            ),* $(,)?}
        )*}
    )*) => {
        /// An op with its payload.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $($(
                $(#[doc = $doc])*
                $Op($Op),
            )*)*
        }

        /// An op without its payload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum OpKind {
            $($(
                $(#[doc = $doc])*
                $Op,
            )*)*
        }

        $($(
            $(#[doc = $doc])*
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Op {
                $($(#[doc = $fdoc])* pub $field: $ty,)*
            }
            impl From<$Op> for Op {
                fn from(payload: $Op) -> Op {
                    Op::$Op(payload)
                }
            }
            impl $crate::op::Payload for $Op {
                const KIND: OpKind = OpKind::$Op;
            }
        )*)*

        impl OpKind {
            /// Every op, in the order of the table.
            pub const ALL: &'static [OpKind] = &[$($(OpKind::$Op,)*)*];
        }

        impl Op {
            /// The op without its payload.
            pub fn kind(&self) -> OpKind {
                match self { $($(Op::$Op(_) => OpKind::$Op,)*)* }
            }

            /// The fields in generic form, in the order of the table. Fields that equal
            /// their default are left out.
            pub fn attrs(&self) -> Vec<(&'static str, $crate::attr::Attr)> {
                let mut out: Vec<(&'static str, $crate::attr::Attr)> = Vec::new();
                match self {
                    $($(Op::$Op(_payload) => {
                        $(if let Some(attr) = $crate::attr::Field::to_attr(&_payload.$field) {
                            out.push((stringify!($field), attr));
                        })*
                    })*)*
                }
                let fields = &self.kind().info().fields;
                out.retain(|(name, attr)| {
                    fields.iter().all(|f| f.name != *name || f.default.as_ref() != Some(attr))
                });
                out
            }

            /// An op from its kind and named attributes; the inverse of [`Op::attrs`].
            pub fn from_attrs(
                kind: OpKind,
                mut attrs: std::collections::BTreeMap<String, $crate::attr::Attr>,
            ) -> Result<Op, $crate::op::FieldError> {
                let op = match kind {
                    $($(OpKind::$Op => Op::$Op($Op {
                        $($field: op_payload_from!(attrs, $field, $ty $(, $default)?),)*
                    }),)*)*
                };
                match attrs.into_keys().next() {
                    Some(name) => Err($crate::op::FieldError::Unknown(name)),
                    None => Ok(op),
                }
            }

            /// The result types of this op for the operands in `cx`.
            pub(crate) fn infer_dispatch(&self, cx: &$crate::infer::InferCx<'_>)
                -> $crate::infer::InferResult
            {
                match self { $($(Op::$Op(p) => $crate::infer::$family::$name(cx, p),)*)* }
            }

            /// Emits the core ops (or simpler composites) that this composite stands for.
            pub(crate) fn decompose_dispatch(&self, cx: &mut $crate::decompose::DecomposeCx<'_, '_>)
                -> $crate::decompose::DecomposeResult
            {
                match self { $($(Op::$Op(_p) => op_decompose!($tier $family $name cx _p),)*)* }
            }

            /// Computes the results of this core op.
            pub(crate) fn eval_dispatch(&self, cx: &mut $crate::interp::EvalCx<'_, '_>)
                -> $crate::interp::EvalResult
            {
                match self { $($(Op::$Op(_p) => op_eval!($tier $family $name cx _p),)*)* }
            }
        }

        pub(crate) fn build_infos() -> Vec<$crate::op::OpInfo> {
            vec![$($($crate::op::OpInfo {
                kind: OpKind::$Op,
                name: stringify!($name).trim_end_matches('_'),
                family: stringify!($family),
                tier: op_tier!($tier),
                effects: $crate::op::Effects::$effects,
                since: $since,
                operands: $crate::op::parse_slots($operands),
                results: $crate::op::parse_slots($results),
                fields: vec![$({
                    let (required, default) = op_field_default!($ty $(, $default)?);
                    $crate::op::FieldInfo {
                        name: stringify!($field),
                        kind: <$ty as $crate::attr::Field>::KIND,
                        required,
                        default,
                        doc: concat!($($fdoc,)* "").trim_ascii(),
                    }
                }),*],
                doc: concat!($($doc, "\n",)* "").trim_ascii(),
            },)*)*]
        }
    };
}

macro_rules! op_tier {
    (core) => {
        $crate::op::Tier::Core
    };
    (composite) => {
        $crate::op::Tier::Composite
    };
    (reference) => {
        $crate::op::Tier::Reference
    };
}

macro_rules! op_decompose {
    (composite $family:ident $name:ident $cx:ident $p:ident) => {
        $crate::decompose::$family::$name($cx, $p)
    };
    ($tier:ident $family:ident $name:ident $cx:ident $p:ident) => {
        Err($crate::decompose::NoDecomposition::NotComposite)
    };
}

macro_rules! op_eval {
    (composite $family:ident $name:ident $cx:ident $p:ident) => {
        Err($crate::interp::EvalError::NotCore)
    };
    ($tier:ident $family:ident $name:ident $cx:ident $p:ident) => {
        $crate::interp::$family::$name($cx, $p)
    };
}

use {op_decompose, op_eval, op_field_default, op_payload_from, op_table, op_tier};

static INFOS: LazyLock<Vec<OpInfo>> = LazyLock::new(build_infos);
static BY_NAME: LazyLock<FxHashMap<&'static str, OpKind>> =
    LazyLock::new(|| INFOS.iter().map(|i| (i.name, i.kind)).collect());

impl OpKind {
    /// The row of the table.
    pub fn info(self) -> &'static OpInfo {
        &INFOS[self as usize]
    }
    /// The spelling in every form.
    pub fn name(self) -> &'static str {
        self.info().name
    }
    /// The op with this spelling.
    pub fn from_name(name: &str) -> Option<OpKind> {
        BY_NAME.get(name).copied()
    }
}

impl Op {
    /// The row of the table.
    pub fn info(&self) -> &'static OpInfo {
        self.kind().info()
    }
    /// The spelling in every form.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }
    /// Calls `v` on every entity and size in the payload and puts back what it changed.
    pub fn visit_attrs_mut(&mut self, v: &mut dyn crate::attr::AttrVisitor) {
        if self.info().fields.is_empty() {
            return;
        }
        let mut attrs = self.attrs();
        attrs.iter_mut().for_each(|(_, a)| a.visit_mut(v));
        let named = attrs.into_iter().map(|(n, a)| (n.to_owned(), a)).collect();
        if let Ok(op) = Op::from_attrs(self.kind(), named) {
            *self = op;
        }
    }
}

impl std::fmt::Display for OpKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
