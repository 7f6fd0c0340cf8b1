//! The [`Writer`] of `.safetensors` files: the weights of a program by name.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use airconv_api::files::Draft;
use airconv_api::{Diagnostic, Failed, Report, SupportRow, WriteOptions, Writer};
use airconv_ir::dtype::DType;
use airconv_ir::module::{InputRole, Module};
use airconv_ir::op::Op;
use airconv_ir::tensor::{Storage, Tensor};
use airconv_ir::verify::Verified;
use safetensors::{Dtype, View};

/// Writes `.safetensors` files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SafetensorsWriter;

impl Writer for SafetensorsWriter {
    fn format(&self) -> &'static str {
        "safetensors"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["safetensors"]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let module = module.module();
        let named = named_tensors(module, report);
        let mut views = Vec::with_capacity(named.len());
        for (name, tensor) in &named {
            match element(tensor) {
                Ok(dtype) => views.push((name.as_str(), TensorView::new(tensor, dtype))),
                Err(why) => {
                    report.push(Diagnostic::error("safetensors-tensor", why).at(name.clone()));
                }
            }
        }
        if report.refused(&options.allow_lossy) || report.has_errors() {
            return Err(Failed::Unsupported);
        }
        save(views, path).map_err(|e| {
            report.error("io-write", format!("{}: {e}", path.display()));
            Failed::System
        })
    }
    fn support(&self) -> Vec<SupportRow> {
        Vec::new()
    }
}

/// Writes the file: tensors go there one after the other.
fn save(views: Vec<(&str, TensorView<'_>)>, path: &Path) -> std::io::Result<()> {
    let draft = Draft::new(path)?;
    safetensors::serialize_to_file(views, None, draft.place()).map_err(std::io::Error::other)?;
    draft.finish().map(drop)
}

/// The weights of a program by name: named constants, parameters and state. A constant without a
/// name is part of the program, not one of its weights. That the program is left out is noted;
/// that tensors of one name differ is an error.
pub(super) fn named_tensors<'m>(
    module: &'m Module,
    report: &mut Report,
) -> BTreeMap<String, &'m Tensor> {
    let f = module.main();
    if f.body().nodes.iter().any(|&n| !matches!(f.nodes[n].op, Op::Constant(_))) {
        let message = "the program is left out: the file holds its weights only";
        report.lossy("weights-only", message, f.name.as_str());
    }
    let mut out: BTreeMap<String, &Tensor> = BTreeMap::new();
    let mut add = |name: &str, tensor: &'m Tensor| match out.get(name) {
        Some(before) if *before != tensor => {
            let message = "there are several tensors of this name, which differ";
            report.push(Diagnostic::error("weights-name", message).at(name));
        }
        Some(_) => {}
        None => drop(out.insert(name.to_owned(), tensor)),
    };
    for input in &f.inputs {
        if let InputRole::Param(Some(id)) | InputRole::State(Some(id)) = input.role {
            add(&input.name, &module.tensors[id]);
        }
    }
    for node in f.nodes.values() {
        if let (Op::Constant(c), Some(value)) = (&node.op, node.result(0))
            && let Some(name) = &f.values[value].name
        {
            add(name, &module.tensors[c.tensor]);
        }
    }
    out
}

/// The element type of a tensor in the format, or why there is none.
fn element(tensor: &Tensor) -> Result<Dtype, String> {
    if matches!(tensor.storage, Storage::External { .. }) {
        return Err("its elements are in a file that has not been opened".to_owned());
    }
    Ok(match tensor.dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::U16 => Dtype::U16,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::I64 => Dtype::I64,
        DType::U64 => Dtype::U64,
        DType::F8E4M3FN => Dtype::F8_E4M3,
        DType::F8E5M2 => Dtype::F8_E5M2,
        DType::F8E8M0 => Dtype::F8_E8M0,
        DType::C64 => Dtype::C64,
        other => return Err(format!("safetensors has no {other}")),
    })
}

/// The bytes of all elements.
pub(super) fn elements(tensor: &Tensor) -> Cow<'_, [u8]> {
    match &tensor.storage {
        Storage::Bytes(bytes) => bytes.as_ref().into(),
        Storage::Splat(one) => one.repeat(tensor.numel().map_or(0, |n| n as usize)).into(),
        Storage::Strings(_) | Storage::External { .. } => Vec::new().into(),
    }
}

/// A tensor of the hub as the serialiser sees it.
struct TensorView<'m> {
    tensor: &'m Tensor,
    dtype: Dtype,
    shape: Vec<usize>,
}

impl<'m> TensorView<'m> {
    fn new(tensor: &'m Tensor, dtype: Dtype) -> Self {
        let shape = tensor.dims.iter().map(|&d| d as usize).collect();
        Self { tensor, dtype, shape }
    }
}

impl View for TensorView<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        elements(self.tensor)
    }
    fn data_len(&self) -> usize {
        self.tensor.byte_len().map_or(0, |n| n as usize)
    }
}
