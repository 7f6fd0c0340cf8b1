//! Reading rules of `gradient`: derivatives from neighbouring values, exact for parabolas.
//!
//! Inside, the derivative of the parabola through a point and its neighbours; at the ends, of the
//! line through two points or of the parabola through three. Source: PyTorch's documentation of
//! `torch.gradient`; the weights are those of Lagrange interpolation.

use airconv_ir::dim::Dim;
use airconv_ir::dtype::DType;
use airconv_ir::entity::ValueId;
use airconv_ir::op::OpKind;

use super::arg::{Arg, Returns};
use super::call::{CallCx, Stop};
use super::formula::{Formula, value};
use super::index::cut;
use super::promote::Category;
use super::rules::{ImportRule, Outcome};

pub(super) const RULES: &[ImportRule] =
    &[ImportRule::new("aten::gradient", &[OpKind::Sub, OpKind::Div, OpKind::Concat], gradient)];

/// Where the points along an axis lie.
enum Points {
    /// Equally spaced.
    Step(f64),
    /// At these coordinates.
    At(ValueId),
}

/// `gradient` along one, several or all axes.
fn gradient(cx: &mut CallCx<'_>) -> Outcome {
    let x = cx.tensor("self")?;
    let rank = cx.rank(x)?;
    let mut axes = match cx.arg("dim")? {
        Arg::None => (0..rank).collect(),
        Arg::List(_) => cx.axes("dim", rank)?,
        _ => vec![cx.axis("dim", rank)?],
    };
    if rank == 0 {
        axes.clear();
    }
    let points = points(cx, axes.len())?;
    let parabolas = match cx.int("edge_order")? {
        1 => false,
        2 => true,
        other => return cx.invalid(format!("there is no edge order {other}")),
    };
    let dtype = match cx.category(x)? {
        Category::Bool | Category::Int => DType::F32,
        _ => cx.dtype(x)?,
    };
    let x = cx.cast(x, dtype)?;
    let mut out = Vec::with_capacity(axes.len());
    for (axis, points) in axes.into_iter().zip(points) {
        out.push(Arg::Tensor(along(cx, x, axis, &points, parabolas)?));
    }
    Ok(Returns(vec![Arg::List(out)]))
}

fn points(cx: &mut CallCx<'_>, axes: usize) -> Result<Vec<Points>, Stop> {
    let spacing = match cx.has("spacing") {
        true => cx.arg("spacing")?,
        false => &Arg::None,
    };
    let one = |cx: &CallCx<'_>, arg: &Arg| match arg {
        Arg::None => Ok(Points::Step(1.0)),
        Arg::Tensor(at) => Ok(Points::At(*at)),
        Arg::Float(h) => Ok(Points::Step(*h)),
        Arg::Int(Dim::Known(h)) => Ok(Points::Step(*h as f64)),
        other => cx.unsupported(format!("a spacing that is {}", other.kind())),
    };
    match spacing {
        Arg::List(items) if items.len() == axes => items.iter().map(|i| one(cx, i)).collect(),
        Arg::List(items) => cx.invalid(format!("{} spacings for {axes} axes", items.len())),
        single => (0..axes).map(|_| one(cx, single)).collect(),
    }
}

/// The distances of neighbours, as a tensor with the rank of x.
fn distances(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    points: &Points,
) -> Result<ValueId, Stop> {
    let (rank, dtype) = (cx.rank(x)?, cx.dtype(x)?);
    let count = &cx.size(x, axis)? - 1;
    let steps = match points {
        Points::Step(h) => {
            let h = cx.b().scalar(dtype, *h)?;
            cx.b().broadcast_to(h, &[count])?
        }
        Points::At(at) => {
            let at = cx.cast(*at, dtype)?;
            let [later, earlier] = super::scan::neighbours(cx, at, 0)?;
            cx.b().sub(later, earlier)?
        }
    };
    let behind: Vec<usize> = (1..rank - axis).collect();
    Ok(cx.b().unsqueeze(steps, &behind)?)
}

/// The derivative along an axis.
fn along(
    cx: &mut CallCx<'_>,
    x: ValueId,
    axis: usize,
    points: &Points,
    parabolas: bool,
) -> Result<ValueId, Stop> {
    let dtype = cx.dtype(x)?;
    let steps = distances(cx, x, axis, points)?;
    // Whether axes in front of it are there or not, the axis of the distances is the first.
    let part = |cx: &mut CallCx<'_>, v: ValueId, axis: usize, start: i64, end: i64| {
        cut(cx, v, axis, [start.into(), end.into()], 1).map(value)
    };
    let own = |cx: &mut CallCx<'_>, start, end| part(cx, x, axis, start, end);
    let gap = |cx: &mut CallCx<'_>, start, end| part(cx, steps, 0, start, end);
    const END: i64 = i64::MAX;
    let inside = {
        let (left, right) = (gap(cx, 0, -1)?, gap(cx, 1, END)?);
        let points = [own(cx, 0, -2)?, own(cx, 1, -1)?, own(cx, 2, END)?];
        parabola(&points, [&left, &right], Place::Middle)
    };
    let [first, last] = if parabolas {
        let (left, right) = (gap(cx, 0, 1)?, gap(cx, 1, 2)?);
        let front = [own(cx, 0, 1)?, own(cx, 1, 2)?, own(cx, 2, 3)?];
        let first = parabola(&front, [&left, &right], Place::First);
        let (left, right) = (gap(cx, -2, -1)?, gap(cx, -1, END)?);
        let back = [own(cx, -3, -2)?, own(cx, -2, -1)?, own(cx, -1, END)?];
        [first, parabola(&back, [&left, &right], Place::Last)]
    } else {
        let first = (own(cx, 1, 2)? - own(cx, 0, 1)?) / gap(cx, 0, 1)?;
        let last = (own(cx, -1, END)? - own(cx, -2, -1)?) / gap(cx, -1, END)?;
        [first, last]
    };
    let mut all = Vec::with_capacity(3);
    for part in [first, inside, last] {
        all.push(cx.formula(&part, dtype)?);
    }
    Ok(cx.b().concat(&all, axis)?)
}

/// At which of its three points the derivative of a parabola is taken.
#[derive(Clone, Copy)]
enum Place {
    First,
    Middle,
    Last,
}

/// The derivative of the parabola through three points with these distances.
fn parabola(points: &[Formula; 3], [left, right]: [&Formula; 2], place: Place) -> Formula {
    let whole = left + right;
    let (outer_left, middle, outer_right) = (left * &whole, left * right, right * &whole);
    let weights = match place {
        Place::First => [-(left + &whole) / outer_left, &whole / middle, -left / outer_right],
        Place::Middle => [-right / outer_left, (right - left) / middle, left / outer_right],
        Place::Last => [right / outer_left, -&whole / middle, (right + &whole) / outer_right],
    };
    let [a, b, c] = weights;
    &points[0] * a + &points[1] * b + &points[2] * c
}
