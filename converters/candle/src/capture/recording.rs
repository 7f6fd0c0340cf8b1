//! The file that a recorded candle program leaves.
//!
//! It is a `safetensors` file. Its metadata has `format` (`airconv.candle-recording`), `version`
//! (`1`) and `recording`, a JSON text: the name of the program, the version of candle, the names
//! of the symbolic sizes, and one trace for every run. A trace has the values of the sizes and a
//! list of nodes, operands before what uses them: inputs, parameters and constants, which name a
//! tensor of the file, and calls with operands, integers, other numbers (as text), element type
//! and shape. Outputs are nodes by name. Events are what the calls cannot say.

use std::collections::BTreeMap;
use std::path::Path;

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use airconv_ir::tensor::Tensor;
use bytes::Bytes;
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::error::CaptureError;

/// What the metadata of a recording calls the format.
pub const FORMAT: &str = "airconv.candle-recording";

/// The version that is read.
const VERSION: &str = "1";

/// The first bytes of a recording after the length of the header.
pub const HEAD: &[u8] = b"{\"__metadata__\":{\"format\":\"airconv.candle-recording\"";

type R<T> = Result<T, CaptureError>;

/// A recorded program with its tensors.
#[derive(Debug)]
pub struct Recording {
    /// What was run.
    pub program: Program,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
}

/// What was run, at which sizes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Its name.
    pub program: String,
    /// The version of candle-core.
    pub candle: String,
    /// The names of the sizes.
    pub sizes: Vec<String>,
    /// One for every run.
    pub traces: Vec<Trace>,
}

/// One run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The sizes, in the order of their names.
    pub sizes: Vec<i64>,
    /// What was computed, in order.
    pub nodes: Vec<Node>,
    /// What the program gave.
    pub outputs: Vec<Output>,
    /// What the nodes cannot say.
    pub events: Vec<Event>,
}

/// A tensor of a run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// `input`, `parameter`, `constant`, or what was called.
    pub op: String,
    /// The name of an input, or of a tensor of the file.
    #[serde(default)]
    pub name: Option<String>,
    /// Where the program made it.
    #[serde(default)]
    pub at: Option<String>,
    /// Earlier nodes.
    #[serde(default, rename = "in")]
    pub operands: Vec<usize>,
    /// Axes, sizes and choices.
    #[serde(default)]
    pub ints: Vec<i64>,
    /// Other numbers, as text.
    #[serde(default)]
    pub floats: Vec<String>,
    /// The element type.
    pub dtype: String,
    /// The shape.
    pub dims: Vec<i64>,
}

/// A result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The node.
    pub node: usize,
}

/// Something that happened beside the calls.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// What.
    pub what: String,
    /// Where in the program.
    pub at: String,
}

/// The dtype of candle's name for it.
pub fn dtype_named(name: &str) -> Option<DType> {
    Some(match name {
        "u8" => DType::U8,
        "u32" => DType::U32,
        "i16" => DType::I16,
        "i32" => DType::I32,
        "i64" => DType::I64,
        "bf16" => DType::BF16,
        "f16" => DType::F16,
        "f32" => DType::F32,
        "f64" => DType::F64,
        _ => return None,
    })
}

/// Reads the file at a path by mapping it, unless that is not wanted.
pub fn open(path: &Path, map: bool) -> R<Bytes> {
    let system =
        |e: std::io::Error| CaptureError::system(path.display().to_string(), e.to_string());
    let file = std::fs::File::open(path).map_err(system)?;
    let length = file.metadata().map_err(system)?;
    if !length.is_file() {
        return Err(CaptureError::system(path.display().to_string(), "it is not a regular file"));
    }
    if !map || length.len() == 0 {
        return std::fs::read(path).map(Bytes::from).map_err(system);
    }
    // SAFETY: the map is read-only and lives as long as the bytes made of it. As for every file
    // that is mapped, nobody may change it meanwhile.
    let map = unsafe { memmap2::MmapOptions::new().map(&file).map_err(system)? };
    Ok(Bytes::from_owner(map))
}

/// Reads a recording; the elements of tensors stay where they are.
pub fn parse(bytes: &Bytes, limits: &Limits) -> R<Recording> {
    let damaged = |what: String| CaptureError::malformed("", what);
    let (header, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| damaged(format!("the file is damaged: {e}")))?;
    let about = |key: &str| metadata.metadata().as_ref().and_then(|m| m.get(key));
    if about("format").map(String::as_str) != Some(FORMAT) {
        return Err(damaged("it is not a recording of a candle program".to_owned()));
    }
    match about("version").map(String::as_str) {
        Some(VERSION) => {}
        version => {
            let version = version.unwrap_or("none");
            let message = format!("version {version} of recordings; read is version {VERSION}");
            return Err(CaptureError::unsupported("", message));
        }
    }
    let text = about("recording").ok_or_else(|| damaged("it records nothing".to_owned()))?;
    let program: Program = serde_json::from_str(text)
        .map_err(|e| damaged(format!("the text of the recording is damaged: {e}")))?;
    // The prefix states the length of the header, which was checked to be in the file.
    let data = bytes.slice(8 + header..);
    let mut tensors = BTreeMap::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let bad = |message: String| CaptureError::malformed(name.clone(), message);
        let dtype = tensor_dtype(info.dtype)
            .ok_or_else(|| bad(format!("candle has no tensors of {:?}", info.dtype)))?;
        let (start, end) = info.data_offsets;
        if start > end || end > data.len() || info.shape.len() > limits.rank {
            return Err(bad("its elements are not in the file".to_owned()));
        }
        let dims = info.shape.iter().map(|&d| d as u64).collect();
        let tensor = Tensor::from_bytes(dtype, dims, data.slice(start..end))
            .map_err(|e| bad(e.to_string()))?;
        tensors.insert(name, tensor);
    }
    let recording = Recording { program, tensors };
    check(&recording, limits)?;
    Ok(recording)
}

fn tensor_dtype(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::U8 => DType::U8,
        Dtype::U32 => DType::U32,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::BF16 => DType::BF16,
        Dtype::F16 => DType::F16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        _ => return None,
    })
}

/// Checks everything that rules rely on: references, sizes, types of leaves.
fn check(recording: &Recording, limits: &Limits) -> R<()> {
    let program = &recording.program;
    let bad = |message: String| CaptureError::malformed("", message);
    if program.traces.is_empty() {
        return Err(bad("there is no run".to_owned()));
    }
    let mut sorted: Vec<&String> = program.sizes.iter().collect();
    sorted.sort();
    if sorted.windows(2).any(|w| w[0] == w[1]) {
        return Err(bad("two sizes have one name".to_owned()));
    }
    let nodes: u64 = program.traces.iter().map(|t| t.nodes.len() as u64).sum();
    if nodes > limits.nodes {
        return Err(bad(format!("{nodes} nodes are more than {}", limits.nodes)));
    }
    for (run, trace) in program.traces.iter().enumerate() {
        if trace.sizes.len() != program.sizes.len() {
            return Err(bad(format!("run {run} does not have a value for every size")));
        }
        if trace.sizes.iter().any(|&s| s < 0) {
            return Err(bad(format!("run {run} has a negative size")));
        }
        for (index, node) in trace.nodes.iter().enumerate() {
            check_node(recording, node, index, limits).map_err(|message| {
                CaptureError::malformed(format!("run {run}, node {index} ({})", node.op), message)
            })?;
        }
        for output in &trace.outputs {
            if output.node >= trace.nodes.len() {
                return Err(bad(format!("the output `{}` is no node", output.name)));
            }
        }
    }
    Ok(())
}

fn check_node(
    recording: &Recording,
    node: &Node,
    index: usize,
    limits: &Limits,
) -> Result<(), String> {
    let dtype = dtype_named(&node.dtype);
    let dtype = dtype.ok_or_else(|| format!("tensors of {} are not supported", node.dtype))?;
    if node.dims.len() > limits.rank {
        return Err(format!("rank {} is too high", node.dims.len()));
    }
    let count = node.dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d).filter(|_| d >= 0));
    if count.is_none() {
        return Err(format!("{:?} is no shape", node.dims));
    }
    if node.operands.iter().any(|&o| o >= index) {
        return Err("an operand comes later".to_owned());
    }
    if let Some(text) = node.floats.iter().find(|f| f.parse::<f64>().is_err()) {
        return Err(format!("`{text}` is no number"));
    }
    match node.op.as_str() {
        "input" if node.name.is_none() => Err("an input has no name".to_owned()),
        "parameter" | "constant" => {
            let name = node.name.as_deref().ok_or("a tensor has no name")?;
            let tensor = recording.tensors.get(name);
            let tensor = tensor.ok_or_else(|| format!("the file has no tensor `{name}`"))?;
            let same = tensor.dims.iter().map(|&d| i64::try_from(d).ok());
            if tensor.dtype != dtype || !same.eq(node.dims.iter().map(|&d| Some(d))) {
                return Err(format!("`{name}` is of another type in the file"));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
