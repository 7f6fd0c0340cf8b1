//! Programs that PyTorch exported, and broken ones.
//!
//! The files in `tests/data` are made by `corpus/torch_models.py`, with PyTorch's outputs.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::PathBuf;

use airconv_api::interpreter::InterpreterExecutor;
use airconv_api::npz::{self, Member};
use airconv_api::{Executor, ReadOptions, Reader, Report, RunOptions, compare};
use airconv_ir::interp::Datum;
use airconv_ir::module::{InputRole, Module, OutputRole};
use airconv_ir::op::Op;
use airconv_ir::verify::{Stage, verify};
use bytes::Bytes;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::Pt2Reader;
use super::reader::read_archive;
use crate::archive::Archive;
use crate::common::rng::Rng;
use crate::error::{ErrorKind, FileError};
use crate::export::export;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn read(name: &str) -> Module {
    let mut report = Report::default();
    let module = Pt2Reader.read(&data(name), &ReadOptions::default(), &mut report);
    module.unwrap_or_else(|_| panic!("{name}: {:?}", report.diagnostics))
}

/// Runs a program on the inputs of a reference and compares with its outputs, and what it wrote
/// to its buffers with what these held afterwards.
fn agrees(program: &str, reference: &str) {
    let module = read(program);
    let mut members = npz::read(&data(reference)).unwrap();
    let f = module.main();
    let users = f.inputs.iter().zip(&f.body().params);
    let users = users.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    let mut inputs = BTreeMap::new();
    for (i, (input, value)) in users.enumerate() {
        let member = members.remove(&format!("in_{i}")).unwrap();
        let array = member.into_array(f.ty(*value).dtype()).unwrap();
        inputs.insert(input.name.clone(), Datum::from(array));
    }
    let verified = verify(&module, Stage::Canonical).unwrap();
    let mut report = Report::default();
    let run = InterpreterExecutor.run(&verified, &inputs, &RunOptions::default(), &mut report);
    let outputs = run.unwrap_or_else(|_| panic!("{program}: {:?}", report.diagnostics));
    let mut position = 0;
    for (output, (name, got)) in f.outputs.iter().zip(outputs) {
        let key = match &output.role {
            OutputRole::User(_) => {
                position += 1;
                format!("out_{}", position - 1)
            }
            OutputRole::StateUpdate(state) => format!("state_{state}"),
            _ => continue,
        };
        let want = members.remove(&key).unwrap_or_else(|| panic!("{reference} has no {key}"));
        same(program, &name, &got, want);
    }
    let left: Vec<&String> = members.keys().collect();
    assert!(left.is_empty(), "{program} gives no {left:?}");
}

fn same(program: &str, name: &str, got: &Datum, want: Member) {
    let Datum::Tensor(array) = got else { panic!("{program}: {name} is no tensor") };
    let want = Datum::from(want.into_array(Some(array.dtype)).unwrap());
    let distance = compare::distance(got, &want, 1e-5, 1e-6);
    assert!(distance.agrees(), "{program}: {name} is off: {distance:?}");
}

macro_rules! agree {
    ($($name:ident: $program:literal, $($reference:literal),+;)*) => {
        $(#[test]
        fn $name() {
            $(agrees($program, $reference);)+
        })*
    };
}

agree! {
    conv_net: "conv_net.pt2", "conv_net.npz", "conv_net.other.npz";
    conv_net_decomposed: "conv_net.core.pt2", "conv_net.npz", "conv_net.other.npz";
    transformer: "transformer.pt2", "transformer.npz", "transformer.other.npz";
    transformer_decomposed: "transformer.core.pt2", "transformer.npz", "transformer.other.npz";
    recurrent_layers: "lstm.pt2", "lstm.npz", "lstm.other.npz";
    control_flow: "control_flow.pt2", "control_flow.npz", "control_flow.other.npz";
    map_and_scan: "mapped.pt2", "mapped.npz";
    buffers_that_are_written: "counter.pt2", "counter.npz";
    training_moves_statistics: "training_step.pt2", "training_step.npz";
    training_decomposed: "training_step.core.pt2", "training_step.npz";
    nested_arguments: "nested.pt2", "nested.npz", "nested.other.npz";
    arithmetic_of_sizes: "sizes.pt2", "sizes.npz", "sizes.other.npz";
    sizes_of_data: "unbacked.pt2", "unbacked.npz", "unbacked.other.npz";
    weights_that_share_memory: "shared.pt2", "shared.npz";
    pickled_weights: "old_plain.pt2", "shared.npz";
    pickled_weights_in_folders: "old_named.pt2", "shared.npz";
}

// Broken archives.

type Entries = Vec<(String, Vec<u8>)>;

fn entries(name: &str) -> Entries {
    let bytes: Bytes = std::fs::read(data(name)).unwrap().into();
    let archive = Archive::from_bytes(bytes, &ReadOptions::default().limits).unwrap();
    let read = |name: &str| (name.to_owned(), archive.get(name).unwrap().to_vec());
    archive.entries().iter().map(|e| read(&e.name)).collect()
}

fn zipped(entries: &Entries) -> Bytes {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        zip.start_file(format!("m/{name}"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner().into()
}

fn read_bytes(bytes: Bytes) -> (Result<Module, FileError>, Report) {
    let options = ReadOptions::default();
    let mut report = Report::default();
    let result = Archive::from_bytes(bytes, &options.limits)
        .and_then(|archive| read_archive(&archive, &options, &mut report));
    (result, report)
}

/// What reading says of a program whose JSON was changed.
fn changed(name: &str, from: &str, to: &str) -> (Result<Module, FileError>, Report) {
    let mut all = entries(name);
    let model = all.iter_mut().find(|(name, _)| name == "models/model.json").unwrap();
    let text = String::from_utf8(model.1.clone()).unwrap();
    assert!(text.contains(from), "{name} has no {from}");
    model.1 = text.replace(from, to).into_bytes();
    read_bytes(zipped(&all))
}

fn refusal(name: &str, from: &str, to: &str) -> FileError {
    changed(name, from, to).0.unwrap_err()
}

#[test]
fn other_schemas_are_refused_by_version() {
    let e = refusal("nested.pt2", "\"major\": 8", "\"major\": 9");
    assert_eq!(e.kind, ErrorKind::Unsupported);
    assert!(e.message.contains("9.20") && e.message.contains("PyTorch 2.5"), "{}", e.message);
}

#[test]
fn json_of_another_shape_is_malformed() {
    for (from, to) in [
        ("\"nodes\": [", "\"nodes\": 7, \"x\": ["),
        ("\"as_int\": ", "\"as_integer\": "),
        ("\"sizes\": [", "\"sizes\": [{\"as_int\": 1.5}, "),
        ("{\"graph_module\"", "[{\"graph_module\""),
    ] {
        assert_eq!(refusal("conv_net.pt2", from, to).kind, ErrorKind::Malformed, "{to}");
    }
}

#[test]
fn an_archive_needs_one_program_and_its_weights() {
    let all = entries("conv_net.pt2");
    let without = |name: &str| -> Entries {
        all.iter().filter(|(n, _)| !n.starts_with(name)).cloned().collect()
    };
    let (result, _) = read_bytes(zipped(&without("models/")));
    assert!(result.unwrap_err().message.contains("models/NAME.json"));
    let (result, _) = read_bytes(zipped(&without("data/weights/weight_0")));
    assert_eq!(result.unwrap_err().kind, ErrorKind::Malformed);
    let (result, _) = read_bytes(zipped(&without("data/weights/")));
    assert!(result.unwrap_err().message.contains("no tensor of this name"));
    let mut twice = all.clone();
    twice.push(("models/other.json".to_owned(), b"{}".to_vec()));
    assert_eq!(read_bytes(zipped(&twice)).0.unwrap_err().kind, ErrorKind::Unsupported);
}

#[test]
fn an_operator_that_is_not_known_is_named() {
    let (_, report) = changed("conv_net.pt2", "aten.hardswish.default", "aten.soft_swish.default");
    let text = format!("{:?}", report.diagnostics);
    assert!(text.contains("aten.soft_swish"), "{text}");
}

#[test]
fn an_operator_without_a_rule_is_kept_and_written_again() {
    let (module, _) =
        changed("conv_net.pt2", "aten.hardswish.default", "aten.linalg_eigvals.default");
    let module = module.unwrap();
    let f = module.main();
    let kept = f.body().nodes.iter().find_map(|&n| match &f.nodes[n].op {
        Op::Opaque(o) => Some(o),
        _ => None,
    });
    let kept = kept.unwrap();
    assert_eq!((&*kept.source.format, &*kept.source.name), ("torch", "linalg_eigvals"));
    assert!(kept.reason.contains("no rule"), "{}", kept.reason);
    let verified = verify(&module, Stage::Imported).unwrap();
    let program = export(&verified, &mut Report::default()).unwrap();
    let bytes = super::to_bytes(&program).unwrap();
    let (again, report) = read_bytes(bytes.into());
    assert!(again.is_ok() && !report.has_errors(), "{again:?} {report:?}");
    let archive = super::to_bytes(&program).unwrap();
    let archive = Archive::from_bytes(archive.into(), &ReadOptions::default().limits).unwrap();
    let json = archive.text("models/model.json").unwrap();
    assert!(json.contains("torch.ops.aten.linalg_eigvals.default"));
}

#[test]
fn a_negative_size_is_malformed() {
    let from = "\"sizes\": [{\"as_int\": 3}";
    let (result, report) = changed("nested.pt2", from, &from.replace('3', "-3"));
    assert!(result.is_err() || report.has_errors());
}

#[test]
fn a_type_that_is_another_is_found() {
    let (from, to) = ("\"relu\": {\"dtype\": 7", "\"relu\": {\"dtype\": 8");
    let (_, report) = changed("nested.pt2", from, to);
    let text = format!("{:?}", report.diagnostics);
    assert!(text.contains("`relu` is f32[3] here and f64[3] in the file"), "{text}");
}

#[test]
fn a_name_that_is_not_defined_is_found() {
    let from = "\"arg\": {\"as_tensor\": {\"name\": \"mul\"}}";
    let (_, report) = changed("nested.pt2", from, &from.replace("mul", "later"));
    let text = format!("{:?}", report.diagnostics);
    assert!(text.contains("`later` is not defined"), "{text}");
}

#[test]
fn sizes_beyond_all_memory_are_refused() {
    let mut all = entries("shared.pt2");
    let table = all.iter_mut().find(|(n, _)| n.ends_with("weights_config.json")).unwrap();
    let text = String::from_utf8(table.1.clone()).unwrap();
    table.1 = text.replace("\"as_int\": 4", "\"as_int\": 999999999999").into_bytes();
    assert!(read_bytes(zipped(&all)).0.is_err());
}

#[test]
fn a_cut_file_is_no_archive() {
    let bytes = std::fs::read(data("lstm.pt2")).unwrap();
    for at in (0..bytes.len()).step_by(97) {
        assert!(read_bytes(Bytes::copy_from_slice(&bytes[..at])).0.is_err(), "{at}");
    }
}

/// Damage to the program, the tables and the bytes of the file ends in a result, not in a panic.
#[test]
fn damage_ends_in_a_result() {
    let mut rng = Rng::new(3);
    for name in ["conv_net.pt2", "counter.pt2", "control_flow.pt2", "sizes.pt2", "mapped.pt2"] {
        let all = entries(name);
        let file = std::fs::read(data(name)).unwrap();
        for round in 0..40 {
            if round % 8 == 0 {
                read_bytes(rng.damage(&file).into()).0.ok();
                continue;
            }
            let mut broken = all.clone();
            let at = rng.below(broken.len());
            let model = broken.iter().position(|(n, _)| n == "models/model.json").unwrap();
            let at = if round % 4 == 0 { at } else { model };
            if !broken[at].1.is_empty() {
                broken[at].1 = rng.damage(&broken[at].1);
            }
            read_bytes(zipped(&broken)).0.ok();
        }
    }
}

/// Numbers, names and targets of the program exchanged: what parses and means something else.
#[test]
fn exchanged_tokens_end_in_a_result() {
    let mut rng = Rng::new(5);
    for name in ["conv_net.pt2", "counter.pt2", "control_flow.pt2", "lstm.pt2", "transformer.pt2"] {
        let all = entries(name);
        let model = all.iter().position(|(n, _)| n == "models/model.json").unwrap();
        let text = String::from_utf8(all[model].1.clone()).unwrap();
        let spots: Vec<(usize, usize)> = tokens(&text);
        for _ in 0..60 {
            let (a, b) = (spots[rng.below(spots.len())], spots[rng.below(spots.len())]);
            let with = match rng.below(4) {
                0 => "-1",
                1 => "9223372036854775807",
                _ => &text[b.0..b.1],
            };
            let mut broken = all.clone();
            broken[model].1 = format!("{}{with}{}", &text[..a.0], &text[a.1..]).into_bytes();
            read_bytes(zipped(&broken)).0.ok();
        }
    }
}

/// Where numbers and strings of JSON are.
fn tokens(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' => {
                at += 1;
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                out.push((start, at.min(bytes.len())));
            }
            b'-' | b'0'..=b'9' => {
                while at < bytes.len() && !b",]} ".contains(&bytes[at]) {
                    at += 1;
                }
                out.push((start, at));
            }
            _ => at += 1,
        }
    }
    out
}
