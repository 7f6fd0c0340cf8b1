//! Writes through views: the whole with a part of it replaced.

use airconv_ir::builder::BuildError;
use airconv_ir::dim::Dim;
use airconv_ir::entity::ValueId;

use super::Importer;
use super::alias::ViewCall;
use super::arg::Arg;
use super::call::Stop;

/// What `base` becomes when the view that `call` makes of it becomes `part`.
pub(super) fn write_back(
    imp: &mut Importer,
    call: &ViewCall,
    base: ValueId,
    part: ValueId,
) -> Result<ValueId, Stop> {
    let name = call.schema.name.strip_prefix("aten::").unwrap_or(&call.schema.name);
    let inverse: fn(&mut Importer, &ViewCall, ValueId, ValueId) -> Result<ValueId, Stop> =
        match name {
            "view" if call.schema.overload == "dtype" => {
                return Err(Stop::Unsupported("a write through another dtype".to_owned()));
            }
            "alias"
            | "detach"
            | "lift_fresh"
            | "contiguous"
            | "to"
            | "type_as"
            | "sum_to_size"
            | "dropout"
            | "alpha_dropout"
            | "feature_dropout"
            | "feature_alpha_dropout"
            | "_cast_Byte"
            | "_cast_Char"
            | "_cast_Double"
            | "_cast_Float"
            | "_cast_Half"
            | "_cast_Int"
            | "_cast_Long"
            | "_cast_Short" => |_, _, _, part| Ok(part),
            "view" | "_unsafe_view" | "unsqueeze" | "squeeze" | "flatten" | "unflatten"
            | "view_as" | "reshape" | "reshape_as" | "ravel" | "_reshape_alias" | "atleast_1d"
            | "atleast_2d" | "atleast_3d" => reshaped,
            "permute" | "transpose" | "t" => transposed,
            "slice"
            | "narrow"
            | "select"
            | "split"
            | "split_with_sizes"
            | "chunk"
            | "unbind"
            | "diagonal"
            | "linalg_diagonal"
            | "as_strided"
            | "tensor_split"
            | "hsplit"
            | "vsplit"
            | "dsplit"
            | "movedim"
            | "moveaxis"
            | "swapaxes"
            | "swapdims"
            | "mT"
            | "numpy_T"
            | "unsafe_chunk"
            | "unsafe_split"
            | "unsafe_split_with_sizes" => replaced,
            other => {
                return Err(Stop::Unsupported(format!(
                    "a write to what `aten.{other}` gave, which may share its memory"
                )));
            }
        };
    inverse(imp, call, base, part)
}

/// The part has the elements of the whole in another shape.
fn reshaped(
    imp: &mut Importer,
    _: &ViewCall,
    base: ValueId,
    part: ValueId,
) -> Result<ValueId, Stop> {
    let mut b = imp.builder();
    let shape = b.tensor_ty(base)?.shape;
    Ok(b.reshape(part, &shape)?)
}

/// The part is the whole with its axes in another order.
fn transposed(
    imp: &mut Importer,
    call: &ViewCall,
    base: ValueId,
    part: ValueId,
) -> Result<ValueId, Stop> {
    let rank = imp.builder().tensor_ty(base)?.rank();
    let axis = |i: usize| match call.args.get(i) {
        Some(Arg::Int(Dim::Known(a))) => Some(resolved(*a, rank)),
        _ => None,
    };
    let perm: Option<Vec<usize>> = match (&*call.schema.name, call.args.get(1)) {
        ("aten::t", _) => Some((0..rank).rev().collect()),
        ("aten::permute", Some(Arg::List(items))) => {
            items.iter().map(|i| i.as_int().map(|a| resolved(a, rank))).collect()
        }
        _ => axis(1).zip(axis(2)).map(|(a, b)| {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(a, b);
            perm
        }),
    };
    let perm = perm.ok_or_else(|| Stop::Unsupported("axes that are not known".to_owned()))?;
    let mut back = vec![0i64; rank];
    for (i, &p) in perm.iter().enumerate() {
        if let Some(slot) = back.get_mut(p) {
            *slot = i as i64;
        }
    }
    Ok(imp.builder().transpose(part, &back)?)
}

fn resolved(axis: i64, rank: usize) -> usize {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).unwrap_or(0).min(rank.saturating_sub(1))
}

/// The part is some of the elements of the whole: their positions are found by making the same
/// part of the positions of all elements.
fn replaced(
    imp: &mut Importer,
    call: &ViewCall,
    base: ValueId,
    part: ValueId,
) -> Result<ValueId, Stop> {
    use airconv_ir::dim::numel;
    use airconv_ir::dtype::DType;
    use airconv_ir::op::{ScatterNd, ScatterReduction};

    let shape = imp.builder().tensor_ty(base)?.shape;
    let count = numel(&shape);
    let positions = {
        let mut b = imp.builder();
        let flat = b.iota(DType::I64, count.clone())?;
        b.reshape(flat, &shape)?
    };
    let taken = imp.replay(call, positions)?;
    let mut b = imp.builder();
    let taken_count = numel(&b.tensor_ty(taken)?.shape);
    let indices = b.reshape(taken, &[taken_count.clone(), 1.into()])?;
    let updates = b.reshape(part, &[taken_count])?;
    let flat = b.reshape(base, &[count])?;
    let op = ScatterNd { reduction: ScatterReduction::None };
    let whole = b.emit(op, &[flat, indices, updates])?;
    Ok(b.reshape(whole, &shape).map_err(|e: BuildError| e)?)
}
