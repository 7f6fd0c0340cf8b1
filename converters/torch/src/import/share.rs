//! Whether a result shares the memory of an argument.
//!
//! A schema says of some results that they *may* be the memory of an argument: `to` gives its
//! operand or a copy of it in another dtype, `reshape` a view where the strides allow for one.
//! Which of the two a call gives makes a difference as soon as one of the tensors is written to.

use airconv_ir::dim::Dim;

use super::arg::Arg;
use super::rules::ImportRule;
use crate::common::schema::Schema;

/// How a tensor lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In row-major order without gaps.
    Rows,
    /// In another way.
    Other,
    /// In a way that is not known.
    Unknown,
}

impl Layout {
    /// The layout of a tensor with these sizes and strides, those that are known.
    pub(crate) fn of(sizes: &[Option<Dim>], strides: &[Option<Dim>]) -> Self {
        let one = Dim::Known(1);
        let mut step = Some(one.clone());
        let mut layout = Self::Rows;
        for (size, stride) in sizes.iter().zip(strides).rev() {
            let numbers = [size, stride, &step].map(|d| d.as_ref().and_then(Dim::as_known));
            match (size, stride.as_ref().zip(step.as_ref())) {
                (Some(size), _) if *size == one => {}
                (_, Some((stride, step))) if stride == step => {}
                _ if numbers.iter().all(Option::is_some) => return Self::Other,
                _ => layout = Self::Unknown,
            }
            step = match (step, size) {
                // Without elements there is no order.
                (step, Some(Dim::Known(0))) => step,
                (Some(step), Some(size)) => Some(step.mul(size)),
                _ => None,
            };
        }
        layout
    }
}

/// What a result is to the argument whose memory the schema names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// The same memory.
    View,
    /// Memory of its own.
    Copy,
    /// One of the two; which one cannot be told.
    Either,
}

/// What a result of a call is to the argument that it may be a view of: one that lies in memory
/// as `layout` says, and has the dtype of the result or not.
pub(super) fn share(schema: &Schema, args: &[Arg], layout: Layout, same_dtype: bool) -> Share {
    let name = local(schema);
    let reads_bits = matches!(
        name,
        "view" | "view_of_dtype" | "view_as_real" | "view_as_complex" | "real" | "imag"
    );
    if !reads_bits && !same_dtype {
        return Share::Copy;
    }
    let channels_last = args.contains(&Arg::ChannelsLast);
    let to_rows = match name {
        "to" if arg(schema, args, "copy") == Some(&Arg::Bool(true)) => return Share::Copy,
        "to" if channels_last => return Share::Either,
        "contiguous" | "ravel" => true,
        "reshape" | "reshape_as" | "flatten" => false,
        // The result of `conj` waits to be conjugated where there is something to conjugate.
        "resolve_conj" | "resolve_neg" | "coalesce" => return Share::Either,
        _ => return Share::View,
    };
    match layout {
        _ if channels_last => Share::Either,
        Layout::Rows => Share::View,
        Layout::Other if to_rows => Share::Copy,
        Layout::Other | Layout::Unknown => Share::Either,
    }
}

/// Operators whose result is an argument or a view of it, though their schemas do not say so: they
/// are made of others that do.
const UNTOLD: &[(&str, Untold)] = &[
    ("aten::_cast_Byte", Untold::Unchanged),
    ("aten::_cast_Char", Untold::Unchanged),
    ("aten::_cast_Double", Untold::Unchanged),
    ("aten::_cast_Float", Untold::Unchanged),
    ("aten::_cast_Half", Untold::Unchanged),
    ("aten::_cast_Int", Untold::Unchanged),
    ("aten::_cast_Long", Untold::Unchanged),
    ("aten::_cast_Short", Untold::Unchanged),
    ("aten::alpha_dropout", Untold::Unchanged),
    ("aten::atleast_1d", Untold::View),
    ("aten::atleast_2d", Untold::View),
    ("aten::atleast_3d", Untold::View),
    ("aten::broadcast_tensors", Untold::EachMaybe),
    ("aten::cartesian_prod", Untold::Unchanged),
    ("aten::dropout", Untold::Unchanged),
    ("aten::einsum", Untold::EachMaybe),
    ("aten::feature_alpha_dropout", Untold::Unchanged),
    ("aten::feature_dropout", Untold::Unchanged),
    ("aten::meshgrid", Untold::EachMaybe),
    ("aten::sum_to_size", Untold::Unchanged),
    ("aten::type_as", Untold::Unchanged),
    ("aten::unsafe_chunk", Untold::View),
    ("aten::unsafe_split", Untold::View),
    ("aten::unsafe_split_with_sizes", Untold::View),
];

/// What a result is to the first argument, where the schema does not say that they share memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Untold {
    /// The argument itself, or the only one of a list, where it has the same value, else a copy.
    Unchanged,
    /// A view.
    View,
    /// Each of the results may be a view of the tensor at its place in the list of arguments.
    EachMaybe,
}

/// What the result of an operator is to its first argument without the schema saying so.
pub(super) fn untold(schema: &Schema) -> Option<Untold> {
    let at = UNTOLD.binary_search_by(|(name, _)| (**name).cmp(&*schema.name)).ok()?;
    UNTOLD.get(at).map(|(_, untold)| *untold)
}

/// How a result lies in memory that is a view of an argument, or may be one.
pub(super) fn layout_of_view(schema: &Schema, args: &[Arg], of: Layout) -> Layout {
    let keeps = match local(schema) {
        "contiguous" | "ravel" if !args.contains(&Arg::ChannelsLast) => return Layout::Rows,
        "alias" | "detach" | "lift_fresh" | "view" | "_unsafe_view" | "_reshape_alias"
        | "view_as" | "unsqueeze" | "squeeze" | "unflatten" | "flatten" | "reshape"
        | "reshape_as" | "to" => true,
        // Parts along the first axis have no gaps.
        "select" | "slice" | "narrow" | "split" | "split_with_sizes" | "chunk" | "unbind" => {
            let first = arg(schema, args, "dim").is_none_or(|dim| dim.as_int() == Some(0));
            first && arg(schema, args, "step").is_none_or(|step| step.as_int() == Some(1))
        }
        _ => false,
    };
    match (keeps, of) {
        (true, Layout::Rows) if !args.contains(&Arg::ChannelsLast) => Layout::Rows,
        _ => Layout::Unknown,
    }
}

/// How a result with memory of its own lies in it, for operands that lie in row-major order or
/// do not all.
pub(super) fn layout_of_own(rule: &ImportRule, args: &[Arg], operands_in_rows: bool) -> Layout {
    let elementwise = rule.makes.iter().all(|kind| kind.info().family == "elementwise");
    let placed = |arg: &Arg| matches!(arg, Arg::ChannelsLast);
    let none = !args.iter().any(has_tensor);
    match operands_in_rows && (elementwise || none) && !args.iter().any(placed) {
        true => Layout::Rows,
        false => Layout::Unknown,
    }
}

fn has_tensor(arg: &Arg) -> bool {
    match arg {
        Arg::Tensor(_) => true,
        Arg::List(items) => items.iter().any(has_tensor),
        _ => false,
    }
}

/// The name of an operator without its namespace.
fn local(schema: &Schema) -> &str {
    schema.name.split_once("::").map_or(&*schema.name, |(_, name)| name)
}

fn arg<'a>(schema: &Schema, args: &'a [Arg], name: &str) -> Option<&'a Arg> {
    args.get(schema.position(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::schema::schemas;

    #[test]
    fn what_shares_memory_untold_exists_and_has_no_sign_of_it() {
        assert!(UNTOLD.windows(2).all(|w| w[0].0 < w[1].0));
        for (name, _) in UNTOLD {
            let mut overloads = schemas().overloads(name).peekable();
            assert!(overloads.peek().is_some(), "{name}");
            assert!(overloads.all(|s| s.returns.iter().all(|r| r.alias.is_empty())), "{name}");
        }
    }
}
