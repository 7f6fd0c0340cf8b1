use std::io::{Cursor, Write};

use airconv_api::Limits;
use bytes::Bytes;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::*;
use crate::error::ErrorKind;

/// An archive of entries, each stored or deflated.
fn zip_of(entries: &[(&str, &[u8], bool)]) -> Bytes {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, deflate) in entries {
        let method = if *deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner().into()
}

fn open(bytes: Bytes) -> Result<Archive, crate::error::FileError> {
    Archive::from_bytes(bytes, &Limits::default())
}

#[test]
fn stored_entries_are_slices_of_the_file() {
    let bytes = zip_of(&[("m/data/0", b"abcd", false), ("m/code.py", &[7; 500], true)]);
    let archive = open(bytes.clone()).unwrap();
    assert_eq!(archive.root(), "m/");
    let stored = archive.get("data/0").unwrap();
    assert_eq!(stored[..], *b"abcd");
    let range = bytes.as_ptr() as usize..bytes.as_ptr() as usize + bytes.len();
    assert!(range.contains(&(stored.as_ptr() as usize)));
    let unpacked = archive.get("code.py").unwrap();
    assert_eq!(unpacked[..], [7; 500]);
    assert!(!range.contains(&(unpacked.as_ptr() as usize)));
    assert_eq!(archive.get("data/1").unwrap_err().kind, ErrorKind::Malformed);
    assert_eq!(archive.find("data/1").unwrap(), None);
}

#[test]
fn names_without_a_common_folder_stay_whole() {
    let archive = open(zip_of(&[("version", b"1", false), ("a/b", b"2", false)])).unwrap();
    assert_eq!(archive.root(), "");
    assert!(archive.has("a/b"));
}

#[test]
fn tricks_with_names_are_refused() {
    for name in ["../x", "a/../../x", "/x", "a//x", "C:x", "a\\x", "./x"] {
        let bytes = zip_of(&[("m/ok", b"", false), (name, b"x", false)]);
        assert_eq!(open(bytes).unwrap_err().kind, ErrorKind::Malformed, "{name}");
    }
    // Two entries of one name: one is renamed in the bytes.
    let mut bytes = zip_of(&[("m/a", b"x", false), ("m/b", b"y", false)]).to_vec();
    for at in 0..bytes.len() - 3 {
        if bytes[at..at + 3] == *b"m/b" {
            bytes[at + 2] = b'a';
        }
    }
    let error = open(bytes.into()).unwrap_err();
    assert!(error.message.contains("one name"), "{error}");
}

#[test]
fn unpacking_is_bounded() {
    let bytes = zip_of(&[("m/zeros", &vec![0; 1 << 20], true)]);
    let tight = Limits { expanded_bytes: (1 << 20) + 10, ..Limits::default() };
    let archive = Archive::from_bytes(bytes.clone(), &tight).unwrap();
    assert_eq!(archive.get("zeros").unwrap().len(), 1 << 20);
    assert_eq!(archive.get("zeros").unwrap_err().kind, ErrorKind::Limit);
    // A size that deflate cannot have shrunk from.
    let mut forged = bytes.to_vec();
    let directory = forged.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    forged[directory + 24..directory + 28].copy_from_slice(&(1u32 << 31).to_le_bytes());
    assert_eq!(open(forged.into()).unwrap_err().kind, ErrorKind::Malformed);
}

#[test]
fn entries_that_share_bytes_are_refused() {
    let mut bytes = zip_of(&[("m/a", b"abcd", false), ("m/b", b"efgh", false)]).to_vec();
    let second = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    bytes[second + 42..second + 46].copy_from_slice(&0u32.to_le_bytes());
    assert!(open(bytes.into()).is_err());
}

#[test]
fn written_archives_are_aligned_and_always_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let make = |name: &str| {
        let path = folder.path().join(name);
        let mut writer = ArchiveWriter::with_root(&path, "model").unwrap();
        writer.add("data.pkl", b"pickle").unwrap();
        writer
            .add_from("data/0", 3000, |out| (0..3).try_for_each(|i| out.write_all(&[i; 1000])))
            .unwrap();
        writer.add("empty", b"").unwrap();
        writer.finish().unwrap();
        path
    };
    let (one, two) = (make("one.pt"), make("two.pt"));
    assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    for map in [true, false] {
        let archive = Archive::open(&one, map, &Limits::default()).unwrap();
        assert_eq!(archive.root(), "model/");
        let whole = map_file(&one, map).unwrap();
        assert_eq!(archive.entries().len(), 3);
        let text = archive.get("data.pkl").unwrap();
        let at = whole.windows(6).position(|w| w == b"pickle").unwrap();
        assert_eq!((text.len(), at % 64), (6, 0));
        let data = archive.get("data/0").unwrap();
        assert_eq!((data[0], data[1000], data[2999]), (0, 1, 2));
        let at = whole.windows(4).position(|w| w == [0, 1, 1, 1]).unwrap() + 1 - 1000;
        assert_eq!(at % 64, 0);
        assert!(archive.get("empty").unwrap().is_empty());
    }
}

#[test]
fn an_entry_of_the_wrong_size_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.pt");
    let mut writer = ArchiveWriter::create(&path).unwrap();
    assert!(writer.add_from("a", 3, |out| out.write_all(b"ab")).is_err());
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(Archive::open(folder.path(), true, &Limits::default()).is_err());
}

#[test]
fn damaged_archives_never_panic() {
    let bytes = zip_of(&[("m/data/0", b"abcdefgh", false), ("m/code.py", &[7; 300], true)]);
    let mut random = crate::common::rng::Rng::new(1);
    for _ in 0..3000 {
        let damaged = random.damage(&bytes);
        if let Ok(archive) = open(damaged.into()) {
            for entry in archive.entries() {
                let _ = archive.read(entry);
            }
        }
    }
}
