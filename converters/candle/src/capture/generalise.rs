//! Several runs of one program as one program.
//!
//! Runs at different sizes have to make the same calls on the same operands. What may differ is
//! numbers: each becomes a list of its values, one for every run, for which [`super::explain`]
//! finds an expression.

use std::borrow::Cow;

use airconv_ir::dtype::DType;

use super::error::CaptureError;
use super::recording::{Node, Program, Recording, Trace, dtype_named};

/// A node of all runs.
#[derive(Clone, Debug)]
pub struct Joint {
    /// `input`, `parameter`, `constant`, or what was called.
    pub op: String,
    /// The name of an input; of a leaf the names of its tensors, one for every run.
    pub names: Vec<String>,
    /// Where the program made it.
    pub at: Option<String>,
    /// Earlier nodes.
    pub operands: Vec<usize>,
    /// Integers, each with a value for every run.
    pub ints: Vec<Vec<i64>>,
    /// Other numbers.
    pub floats: Vec<Vec<f64>>,
    /// The element type.
    pub dtype: DType,
    /// The shape.
    pub dims: Vec<Vec<i64>>,
}

/// A tensor joined with itself is repeated: how often is a number, and may differ from run to run.
fn repeated(node: &Node) -> Option<Node> {
    let (first, rest) = node.operands.split_first()?;
    let same = node.op == "cat" && !rest.is_empty() && rest.iter().all(|o| o == first);
    same.then(|| Node {
        op: "repeat".to_owned(),
        operands: vec![*first],
        ints: node.ints.iter().copied().chain([node.operands.len() as i64]).collect(),
        ..node.clone()
    })
}

/// The nodes of all runs; a difference in structure is refused with its place.
pub fn join(recording: &Recording) -> Result<Vec<Joint>, CaptureError> {
    let program = &recording.program;
    let Some((first, others)) = program.traces.split_first() else { return Ok(Vec::new()) };
    for other in others {
        same_outputs(program, first, other)?;
    }
    let mut out = Vec::with_capacity(first.nodes.len());
    for (index, node) in first.nodes.iter().enumerate() {
        let mut nodes = vec![plain(node)];
        for other in others {
            let Some(twin) = other.nodes.get(index).map(plain) else {
                return Err(differs(program, first, other, index, "it is not there"));
            };
            if let Some(how) = difference(&nodes[0], &twin) {
                return Err(differs(program, first, other, index, &how));
            }
            nodes.push(twin);
        }
        out.push(joint(&nodes));
    }
    for other in others {
        if other.nodes.len() > first.nodes.len() {
            return Err(differs(program, other, first, first.nodes.len(), "it is not there"));
        }
    }
    Ok(out)
}

fn plain(node: &Node) -> Cow<'_, Node> {
    repeated(node).map_or(Cow::Borrowed(node), Cow::Owned)
}

fn joint(nodes: &[Cow<'_, Node>]) -> Joint {
    let first = &nodes[0];
    let ints = |i: usize| nodes.iter().map(|n| n.ints[i]).collect();
    let float = |text: &String| text.parse::<f64>().unwrap_or(f64::NAN);
    let floats = |i: usize| nodes.iter().map(|n| float(&n.floats[i])).collect();
    let dims = |i: usize| nodes.iter().map(|n| n.dims[i]).collect();
    Joint {
        op: first.op.clone(),
        names: nodes.iter().filter_map(|n| n.name.clone()).collect(),
        at: first.at.clone(),
        operands: first.operands.clone(),
        ints: (0..first.ints.len()).map(ints).collect(),
        floats: (0..first.floats.len()).map(floats).collect(),
        // The recording was checked to know the type.
        dtype: dtype_named(&first.dtype).unwrap_or(DType::F32),
        dims: (0..first.dims.len()).map(dims).collect(),
    }
}

/// How two nodes differ other than in numbers.
fn difference(a: &Node, b: &Node) -> Option<String> {
    if a.op != b.op {
        return Some(format!("it is `{}`", b.op));
    }
    if a.operands != b.operands {
        return Some("its operands are others".to_owned());
    }
    if a.dims.len() != b.dims.len() {
        return Some(format!("it has {} axes instead of {}", b.dims.len(), a.dims.len()));
    }
    if a.dtype != b.dtype {
        return Some(format!("its elements are {} instead of {}", b.dtype, a.dtype));
    }
    if (a.ints.len(), a.floats.len()) != (b.ints.len(), b.floats.len()) {
        return Some("it has another number of arguments".to_owned());
    }
    // Constants may be others; what is asked for by name may not.
    if a.name != b.name && a.op != "constant" {
        return Some(format!("it is `{}`", b.name.as_deref().unwrap_or_default()));
    }
    None
}

fn same_outputs(program: &Program, a: &Trace, b: &Trace) -> Result<(), CaptureError> {
    let of = |t: &Trace| -> Vec<(String, usize)> {
        t.outputs.iter().map(|o| (o.name.clone(), o.node)).collect()
    };
    if of(a).iter().map(|o| &o.0).eq(of(b).iter().map(|o| &o.0)) && a.nodes.len() != b.nodes.len() {
        return Ok(()); // The first node that differs says more.
    }
    if of(a) != of(b) {
        let message = format!(
            "the runs at {} and at {} have different outputs",
            sizes_text(program, a),
            sizes_text(program, b)
        );
        return Err(CaptureError::unsupported("outputs", message));
    }
    Ok(())
}

fn differs(program: &Program, a: &Trace, b: &Trace, index: usize, how: &str) -> CaptureError {
    let op = a.nodes.get(index).map_or("", |n| n.op.as_str());
    let message = format!(
        "node {index} of the run at {} is `{op}`; in the run at {} {how}: the program does \
         something else at other sizes. Keep the size fixed, or choose values for which it does \
         the same",
        sizes_text(program, a),
        sizes_text(program, b)
    );
    CaptureError::unsupported(format!("node {index} ({op})"), message)
}

/// `batch=2, seq=7`.
fn sizes_text(program: &Program, trace: &Trace) -> String {
    let pairs = program.sizes.iter().zip(&trace.sizes);
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    if pairs.is_empty() { "fixed sizes".to_owned() } else { pairs.join(", ") }
}
