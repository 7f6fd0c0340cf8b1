//! The [`Writer`] of `.onnx` files.

use std::io::Write as _;
use std::path::Path;

use airconv_api::files::Draft;
use airconv_api::ir::diag::Diagnostic;
use airconv_api::ir::verify::Verified;
use airconv_api::{Choice, Failed, Report, SupportRow, WriteOptions, Writer};

use crate::encode::{EncodeError, MAX_MODEL_BYTES, write_model};
use crate::export::export_model;
use crate::external::ExternalWriter;
use crate::proto::attribute_proto::AttributeType;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{GraphProto, ModelProto, TensorProto};

/// From this many bytes tensors go beside the model, when the model would not fit a message.
const EXTERNAL_FROM: u64 = 1024;
/// A model of more bytes than this is not written as one message.
const LARGEST_MESSAGE: u64 = MAX_MODEL_BYTES as u64 - (64 << 20);

/// Writes `.onnx` files, with a `.data` file beside them for large tensors.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnnxWriter;

impl Writer for OnnxWriter {
    fn format(&self) -> &'static str {
        "onnx"
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["onnx"]
    }
    fn takes(&self) -> &'static [Choice] {
        &[Choice::Opset, Choice::ExternalFrom]
    }
    fn write(
        &self,
        module: &Verified<'_>,
        path: &Path,
        options: &WriteOptions,
        report: &mut Report,
    ) -> Result<(), Failed> {
        let mut model = export_model(module, options, report)?;
        if report.refused(&options.allow_lossy) {
            return Err(Failed::Unsupported);
        }
        let system = |report: &mut Report, message: String| {
            report.push(Diagnostic::error("io-write", format!("{}: {message}", path.display())));
            Failed::System
        };
        let threshold = options
            .external_from
            .or_else(|| (data_bytes(&mut model) > LARGEST_MESSAGE).then_some(EXTERNAL_FROM));
        let data = match threshold {
            Some(from) => externalize(&mut model, path, from).map_err(|e| system(report, e))?,
            None => None,
        };
        for set in &model.opset_import {
            report.written.opsets.insert(crate::import::opset_key(set.domain()), set.version());
        }
        // All is written before anything has its name.
        let mut draft = Draft::new(path).map_err(|e| system(report, e.to_string()))?;
        let put = write_model(model, &mut draft).and_then(|()| Ok(draft.flush()?));
        put.map_err(|e| match e {
            EncodeError::Io(e) => system(report, e.to_string()),
            e => {
                report.push(
                    Diagnostic::error("onnx-size", e.to_string())
                        .help("write large tensors beside the model with --external-from BYTES"),
                );
                Failed::Unsupported
            }
        })?;
        let data = data.map(ExternalWriter::finish).transpose();
        let data = data.map_err(|e| system(report, e.to_string()))?;
        if let Err(e) = draft.finish() {
            let undone = data.map_or(Ok(()), |d| d.undo());
            let more = undone.err().map_or_else(String::new, |e| format!("; its data stays: {e}"));
            return Err(system(report, format!("{e}{more}")));
        }
        report.written.beside.extend(data.map(|d| d.path.clone()));
        Ok(())
    }
    fn support(&self) -> Vec<SupportRow> {
        crate::support::written()
    }
}

/// Calls `visit` on every tensor of a model that may be stored beside it.
fn tensors(graph: &mut GraphProto, visit: &mut dyn FnMut(&mut TensorProto)) {
    graph.initializer.iter_mut().for_each(&mut *visit);
    for node in &mut graph.node {
        for a in &mut node.attribute {
            if let (AttributeType::Graph, Some(g)) = (a.r#type(), a.g.as_deref_mut()) {
                tensors(g, visit);
            }
            a.graphs.iter_mut().for_each(|g| tensors(g, visit));
        }
    }
}

fn data_bytes(model: &mut ModelProto) -> u64 {
    let mut total = 0u64;
    if let Some(graph) = &mut model.graph {
        tensors(graph, &mut |t| total += t.raw_data.as_ref().map_or(0, |d| d.len() as u64));
    }
    total
}

/// Moves the data of large tensors into a file beside the model.
fn externalize(
    model: &mut ModelProto,
    path: &Path,
    from: u64,
) -> Result<Option<ExternalWriter>, String> {
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    };
    let stem = path.file_name().and_then(|n| n.to_str()).ok_or("the file has no name")?;
    let mut writer: Option<ExternalWriter> = None;
    let mut failed = None;
    let Some(graph) = &mut model.graph else { return Ok(None) };
    tensors(graph, &mut |t| {
        let Some(data) = t.raw_data.as_ref().filter(|d| d.len() as u64 >= from) else { return };
        if failed.is_some() {
            return;
        }
        let opened = match writer.take() {
            Some(w) => Ok(w),
            None => ExternalWriter::new(folder, &format!("{stem}.data")),
        };
        let result = opened.and_then(|mut w| {
            let place = w.append(data);
            writer = Some(w);
            place
        });
        match result {
            Ok(place) => {
                t.external_data = place.entries();
                t.data_location = Some(DataLocation::External as i32);
                t.raw_data = None;
            }
            Err(e) => failed = Some(e.to_string()),
        }
    });
    match failed {
        Some(e) => Err(e),
        None => Ok(writer),
    }
}
