//! A sample of PyTorch's own database of operators: one exported program per operator, with the
//! outputs that PyTorch gave.
//!
//! `data/operators.zip` is made by `corpus/torch_operators.py pack`.

#[path = "common/judge.rs"]
mod judge;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use judge::Verdict;

/// What the sample holds and how it is judged. A rule that is added raises the first number and
/// lowers the second one.
const PASS: usize = 626;
const REFUSED: usize = 19;

fn unpack(folder: &Path) {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/operators.zip");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(archive).unwrap()).unwrap();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).unwrap();
        let name = file.name().unwrap().into_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

#[test]
fn operators_give_what_pytorch_gives() {
    let folder = tempfile::tempdir().unwrap();
    unpack(folder.path());
    let (mut pass, mut refused, mut wrong) = (0, BTreeMap::new(), BTreeMap::new());
    for path in judge::cases(folder.path(), "") {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        match judge::judged(&path, 1e-4, 1e-5) {
            Verdict::Pass(difference) => {
                assert!(!difference.is_nan(), "{name}");
                pass += 1;
            }
            Verdict::Refused(why) => drop(refused.insert(name, why)),
            Verdict::Wrong(why) => drop(wrong.insert(name, why)),
            Verdict::NoReference => drop(wrong.insert(name, "there is no reference".to_owned())),
        }
    }
    assert_eq!(wrong, BTreeMap::new());
    assert_eq!((pass, refused.len()), (PASS, REFUSED), "refused: {refused:#?}");
    // What is refused says what it is that cannot be read.
    for (name, why) in refused {
        let named = ["cannot be read", "programs with", "in the file"];
        assert!(named.iter().any(|part| why.contains(part)), "{name}: {why}");
    }
}
