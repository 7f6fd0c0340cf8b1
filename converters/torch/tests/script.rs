//! TorchScript there and back: a program is written as an archive, read again, and gives what
//! PyTorch gave for the program that it came from.

#[path = "common/judge.rs"]
mod judge;

use std::path::Path;

use airconv_api::{ReadOptions, Reader, Report, WriteOptions, Writer};
use airconv_ir::module::{InputRole, Module};
use airconv_ir::types::Type;
use airconv_ir::verify::{Stage, verify};
use airconv_torch::{Pt2Reader, ScriptReader, ScriptWriter};

/// Programs of `data/` that TorchScript can say.
const PROGRAMS: &[&str] = &["conv_net", "transformer", "lstm", "sizes", "shared", "control_flow"];

/// The types of the inputs as the reader takes them.
fn input_types(module: &Module) -> Vec<(String, String)> {
    let f = module.main();
    let given = f.inputs.iter().zip(&f.body().params);
    let users = given.filter(|(i, _)| matches!(i.role, InputRole::User { .. }));
    users
        .map(|(input, &value)| {
            let Type::Tensor(ty) = f.ty(value) else { panic!("{} is no tensor", input.name) };
            let dims: Vec<String> = ty.shape.iter().map(|d| f.dim_text(d)).collect();
            (input.name.clone(), format!("{}[{}]", ty.dtype, dims.join(", ")))
        })
        .collect()
}

#[test]
fn programs_come_back_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    for name in PROGRAMS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.pt2"));
        let mut report = Report::default();
        let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report).unwrap();
        let archive = folder.path().join(format!("{name}.pt"));
        let verified = verify(&module, Stage::Canonical).unwrap();
        let written =
            ScriptWriter.write(&verified, &archive, &WriteOptions::default(), &mut report);
        assert!(written.is_ok(), "{name}: {}", judge::messages(&report));
        let options = ReadOptions { inputs: input_types(&module), ..Default::default() };
        let again = ScriptReader.read(&archive, &options, &mut report);
        let again = again.unwrap_or_else(|_| panic!("{name}: {}", judge::messages(&report)));
        let members = judge::reference(&path).unwrap();
        match judge::run(&again, members, 1e-4, 1e-5) {
            Ok(_) => {}
            Err(judge::Verdict::Wrong(why)) => panic!("{name}: {why}"),
            Err(_) => panic!("{name} did not run"),
        }
    }
}

#[test]
fn input_types_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/conv_net.pt2");
    let mut report = Report::default();
    let module = Pt2Reader.read(&path, &ReadOptions::default(), &mut report).unwrap();
    let archive = folder.path().join("net.pt");
    let verified = verify(&module, Stage::Canonical).unwrap();
    ScriptWriter.write(&verified, &archive, &WriteOptions::default(), &mut report).unwrap();
    assert!(ScriptReader.read(&archive, &ReadOptions::default(), &mut report).is_err());
    assert!(judge::messages(&report).contains("--input-type"), "{}", judge::messages(&report));
}
