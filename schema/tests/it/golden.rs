//! The materialised schema, the versions and the golden files agree with the code.

use std::path::PathBuf;

use airconv_schema::{Contents, Limits, Version, read_bytes, schema_json};

use crate::sample;

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file of the repository with what it should be; `AIRCONV_BLESS=1` replaces it.
fn bless(path: &str, wanted: &[u8]) {
    let path = here(path);
    if std::env::var_os("AIRCONV_BLESS").is_some_and(|v| v == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, wanted).unwrap();
    }
    let found = std::fs::read(&path).unwrap_or_default();
    assert!(
        found == wanted,
        "{} differs from the code. If the format has changed, raise its version (VERSIONS.md); \
         then AIRCONV_BLESS=1 writes the file again",
        path.display()
    );
}

#[test]
fn materialised_schema() {
    let name = format!("air.v{}.schema.json", Version::CURRENT.major);
    bless(&name, schema_json().as_bytes());
}

/// Golden files are read as they are, and are what the writer makes today.
#[test]
fn golden_files() {
    for (name, contents) in [("tiny", sample::tiny()), ("everything", sample::everything())] {
        let path = format!("golden/{}/{name}.ir", Version::CURRENT);
        let (bytes, _) = sample::file(contents.clone());
        bless(&path, &bytes);
        let open =
            read_bytes(std::fs::read(here(&path)).unwrap().into(), &Limits::default()).unwrap();
        open.verify_digests().unwrap();
        assert_eq!(open.version, Version::CURRENT);
        same(contents, open.contents);
    }
}

/// What was read is what was written, but for blobs that were equal.
pub fn same(mut written: Contents, read: Contents) {
    let bytes = |c: &Contents| -> Vec<_> {
        c.program
            .tensors
            .iter()
            .map(|t| match t.storage {
                airconv_schema::program::Storage::Blob(b) => Some(c.data[b as usize].clone()),
                _ => None,
            })
            .collect()
    };
    assert_eq!(bytes(&written), bytes(&read));
    written.program.blobs.clone_from(&read.program.blobs);
    for (w, r) in written.program.tensors.iter_mut().zip(&read.program.tensors) {
        if let airconv_schema::program::Storage::Blob(_) = w.storage {
            w.storage = r.storage.clone();
        }
    }
    assert_eq!(written.program, read.program);
}

/// Every constraint that the code cites is in the specification, and the other way round.
#[test]
fn spec_labels() {
    let labels = |text: &str| -> std::collections::BTreeSet<String> {
        text.match_indices("C-")
            .filter_map(|(at, _)| text.get(at..at + 5))
            .filter(|l| l[2..].bytes().all(|b| b.is_ascii_digit()))
            .map(str::to_owned)
            .collect()
    };
    let spec = labels(&std::fs::read_to_string(here("SPEC.md")).unwrap());
    let mut code = std::collections::BTreeSet::new();
    for folder in ["src", "../canonical-ir/src/wire"] {
        for entry in std::fs::read_dir(here(folder)).into_iter().flatten().flatten() {
            code.extend(labels(&std::fs::read_to_string(entry.path()).unwrap()));
        }
    }
    code.extend(labels(
        &std::fs::read_to_string(here("../canonical-ir/src/wire.rs")).unwrap_or_default(),
    ));
    assert!(spec.len() > 30);
    let missing: Vec<_> = code.difference(&spec).collect();
    assert!(missing.is_empty(), "cited, not specified: {missing:?}");
    let unchecked: Vec<_> = spec.difference(&code).collect();
    assert!(unchecked.is_empty(), "specified, cited nowhere: {unchecked:?}");
}
