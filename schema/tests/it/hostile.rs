//! Damaged and hostile files: typed errors, no panics, no memory beyond the file's worth.

use airconv_schema::program::{Attr, Dim, Storage};
use airconv_schema::*;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::sample::{everything, file, tiny};

fn open(bytes: &[u8]) -> Result<IrFile, ReadError> {
    let open = read_bytes(bytes.to_vec().into(), &Limits::default())?;
    open.verify_digests()?;
    Ok(open)
}

fn message(bytes: &[u8]) -> String {
    open(bytes).unwrap_err().to_string()
}

/// Makes the digests fit again, so that what comes after them is put to the test.
fn reseal(bytes: &mut [u8]) {
    let at = |b: &[u8], i: usize| u64::from_le_bytes(b[i..i + 8].try_into().unwrap()) as usize;
    let (offset, length) = (at(bytes, 136), at(bytes, 144));
    if let Some(text) = offset.checked_add(length).and_then(|end| bytes.get(offset..end)) {
        let digest = Sha256::digest(text);
        bytes[160..192].copy_from_slice(&digest);
    }
    let digest = Sha256::new().chain_update(&bytes[..32]).chain_update(&bytes[64..192]).finalize();
    bytes[32..64].copy_from_slice(&digest);
}

/// A file with this program section and no tensors.
fn with_program(text: &[u8]) -> Vec<u8> {
    let (mut bytes, _) = file(Contents::default());
    bytes.truncate(192);
    bytes.extend(text);
    let size = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&size.to_le_bytes());
    bytes[144..152].copy_from_slice(&(text.len() as u64).to_le_bytes());
    reseal(&mut bytes);
    bytes
}

#[test]
fn every_flipped_bit_is_found() {
    let (good, _) = file(tiny());
    open(&good).unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&bad).is_err(), "bit {} of byte {}", bit % 8, bit / 8);
    }
}

#[test]
fn every_truncation_is_found() {
    let (good, _) = file(tiny());
    for n in 0..good.len() {
        let error = open(&good[..n]).unwrap_err();
        assert!(matches!(error, ReadError::Truncated { .. } | ReadError::NotIr), "{n}: {error}");
        assert_eq!(matches!(error, ReadError::NotIr), n == 0);
    }
    let mut long = good.clone();
    long.push(0);
    assert_eq!(message(&long), "C-104: 1 bytes follow the end of the file");
}

/// Flips, cuts, copies and lengths in a file whose digests fit: an error or a program, never
/// a panic, and a program that is read is one that can be written.
#[test]
fn mutations_behind_the_digests() {
    let (good, _) = file(everything());
    let program = u64::from_le_bytes(good[136..144].try_into().unwrap()) as usize;
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % n
    };
    // The large blob is dead weight here.
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bad = good.clone();
        for _ in 0..1 + next(3) {
            let from = if round % 8 == 0 { 0 } else { program };
            let at = from + next(bad.len() - from);
            match next(5) {
                0 => bad[at] ^= 1 << next(8),
                1 => {
                    bad[at] = [0x80, 0x90, 0xa0, 0xc0, 0xc6, 0xdd, 0xdf, 0xff, 0xcf, 0xd3][next(10)]
                }
                2 => bad[at] = next(256) as u8,
                3 => {
                    let n = next(64).min(bad.len() - at);
                    let to = program + next(good.len() - program);
                    let n = n.min(bad.len() - to);
                    bad.copy_within(at..at + n, to);
                }
                _ => bad[at] = bad[at].wrapping_add(1),
            }
        }
        if bad.len() >= 192 {
            reseal(&mut bad);
        }
        match read_bytes(bad.into(), &Limits::default()) {
            Ok(open) => {
                read += 1;
                let (again, _) = file(open.contents.clone());
                let again = read_bytes(again.into(), &Limits::default()).unwrap().contents;
                // NaN is not equal to itself; the bytes are.
                assert_eq!(again.program.encode().unwrap(), {
                    let mut first = open.contents.program;
                    first.blobs.clone_from(&again.program.blobs);
                    for (a, b) in first.tensors.iter_mut().zip(&again.program.tensors) {
                        if let Storage::Blob(_) = a.storage {
                            a.storage = b.storage.clone();
                        }
                    }
                    first.encode().unwrap()
                });
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 500 && refused > 5_000, "{read} read, {refused} refused");
}

#[test]
fn other_files_and_text_mode() {
    let (good, _) = file(tiny());
    assert_eq!(message(b"PK\x03\x04 and so on"), "not an .ir file");
    assert_eq!(message(b""), "not an .ir file");
    let text = |f: &dyn Fn(u8) -> Vec<u8>| good.iter().flat_map(|&b| f(b)).collect::<Vec<u8>>();
    for damaged in [
        text(&|b| if b == b'\r' { vec![] } else { vec![b] }),
        text(&|b| if b == b'\n' { vec![b'\r', b'\n'] } else { vec![b] }),
        text(&|b| vec![b & 127]),
        text(&|b| (b as char).to_string().into_bytes()),
        String::from_utf8_lossy(&good).into_owned().into_bytes(),
    ] {
        assert!(message(&damaged).contains("text mode"), "{}", message(&damaged));
    }
}

#[test]
fn versions() {
    let version = |major: u16, minor: u16, needs: u16| {
        let (mut bytes, _) = file(tiny());
        bytes[8..10].copy_from_slice(&major.to_le_bytes());
        bytes[10..12].copy_from_slice(&minor.to_le_bytes());
        bytes[12..14].copy_from_slice(&needs.to_le_bytes());
        // A version that this crate does not know is reported even where the rest of the
        // header has another form.
        if needs == 1 && major == 0 {
            reseal(&mut bytes);
        }
        bytes
    };
    // A newer writer, but nothing new inside.
    let newer = open(&version(0, 7, 1)).unwrap();
    assert_eq!((newer.version, newer.needs), (Version { major: 0, minor: 7 }, 1));
    assert!(
        message(&version(0, 7, 2))
            .contains("version 0.7 and needs 0.2, this airconv reads up to 0.1")
    );
    assert!(message(&version(1, 0, 0)).contains("use a newer airconv"));
    assert!(message(&version(1, 4, 2)).contains("needs 1.2"));
    assert!(message(&version(0, 0, 0)).contains("version 0.0, this airconv reads 0.1"));
    assert!(message(&version(0, 1, 2)).contains("needs 0.2"));
}

#[test]
fn container_constraints() {
    let edit = |at: usize, bytes: &[u8]| {
        let (mut file, _) = file(everything());
        file[at..at + bytes.len()].copy_from_slice(bytes);
        reseal(&mut file);
        message(&file)
    };
    let label = |m: String| m.split(':').next().unwrap().to_owned();
    assert_eq!(label(edit(24, &[1])), "C-105");
    assert_eq!(label(edit(68, &[1])), "C-105");
    assert_eq!(label(edit(152, &[1])), "C-105");
    assert_eq!(label(edit(14, &[3])), "C-110");
    assert_eq!(label(edit(64, &[2])), "C-111");
    assert_eq!(label(edit(80, &[255; 8])), "C-112");
    assert_eq!(label(edit(144, &[255; 7])), "C-112");
    assert_eq!(label(edit(72, &[0])), "C-113");
    assert_eq!(label(edit(136, &[1])), "C-113");
    assert_eq!(label(edit(96, &[1])), "C-115");
    // Padding: after the first blob of 8 bytes, and before the program.
    assert_eq!(label(edit(192 + 8, &[1])), "C-126");
    let (good, _) = file(everything());
    let program = u64::from_le_bytes(good[136..144].try_into().unwrap()) as usize;
    assert_eq!(good[program - 1], 0);
    assert_eq!(label(edit(program - 1, &[1])), "C-114");
    // A blob's byte: opens, and does not verify.
    let mut bytes = good.clone();
    bytes[192] ^= 1;
    let open = read_bytes(bytes.into(), &Limits::default()).unwrap();
    assert_eq!(
        open.verify_digests().unwrap_err().to_string(),
        "the digest of blob 0 does not fit its bytes: the file is damaged"
    );
}

#[test]
fn blob_constraints() {
    let edit = |f: &dyn Fn(&mut Program)| {
        let (good, _) = file(everything());
        let mut program =
            read_bytes(good.clone().into(), &Limits::default()).unwrap().contents.program;
        f(&mut program);
        let at = u64::from_le_bytes(good[136..144].try_into().unwrap()) as usize;
        let text = program.encode().unwrap();
        let mut bytes = good;
        bytes.truncate(at);
        bytes.extend(&text);
        let size = bytes.len() as u64;
        bytes[16..24].copy_from_slice(&size.to_le_bytes());
        bytes[144..152].copy_from_slice(&(text.len() as u64).to_le_bytes());
        reseal(&mut bytes);
        open(&bytes).err().map(|e| e.to_string().split(':').next().unwrap().to_owned())
    };
    assert_eq!(edit(&|_| ()), None);
    let is = |label: &str, f: &dyn Fn(&mut Program)| assert_eq!(edit(f).as_deref(), Some(label));
    is("C-120", &|p| p.blobs.last_mut().unwrap().length += 1);
    is("C-120", &|p| p.blobs.last_mut().unwrap().length = u64::MAX);
    is("C-121", &|p| p.blobs[1].offset += 64);
    is("C-121", &|p| p.blobs[1].offset = u64::MAX);
    is("C-121", &|p| p.blobs[0].length = 1 << 63);
    is("C-122", &|p| p.blobs.truncate(p.blobs.len() - 1));
    is("C-123", &|p| p.tensors[0].storage = Storage::Blob(1000));
    is("C-124", &|p| p.tensors[1].storage = Storage::Strings(vec![]));
}

#[test]
fn record_constraints() {
    let check = |text: &[u8], wanted: &str| {
        let found = message(&with_program(text));
        assert!(found.contains(wanted), "{text:x?}: {found}");
    };
    open(&with_program(&[0x80])).unwrap();
    check(&[0x80, 0x80], "C-204");
    check(
        &[0x81, 0xa1, b'z', 0],
        "C-210: the program section does not fit the schema: `program` has no key `z`",
    );
    check(&[0x82, 0xa1, b'e', 0, 0xa1, b'e', 0], "key `e` of `program` comes twice");
    check(&[0x90], "the record `program` (a map)");
    check(&[0xc0], "C-210");
    check(&[0x81, 0xa1, b'f', 0x91, 0x80], "`function` lacks the key `n`");
    check(&[0x81, 0xa1, b'l', 0x91, 0xa1, b'!'], "`origin` has no bare tag `!`");
    check(&[0x81, 0xa1, b'l', 0x91, 0x80], "`origin` has no tag");
    check(&[0x81, 0xa1, b'e', 0xff], "C-210");
    check(&[0x81, 0xa1, b'e', 0xcf, 1, 0, 0, 0, 0, 0, 0, 0], "C-210");
    check(&[0x81, 0xa1, b'v', 0x82, 0xa1, b'a', 1, 0xa1, b'a', 1], "name `a` comes twice");
    check(&[0x81, 0xa1, b's', 0x91, 0xa1, 0xff], "C-210");
    // Announces four billion functions.
    check(&[0x81, 0xa1, b'f', 0xdd, 0xff, 0xff, 0xff, 0xff, 0x80], "C-202");
}

#[test]
fn limits() {
    let (bytes, _) = file(everything());
    let with = |limits: Limits| read_bytes(bytes.clone().into(), &limits).map(drop);
    with(Limits::default()).unwrap();
    let d = Limits::default();
    for (limits, what) in [
        (Limits { file_bytes: 1000, ..d }, "bytes of the file"),
        (Limits { program_bytes: 100, ..d }, "bytes of the program section"),
        (Limits { items: 100, ..d }, "values in the program section"),
        (Limits { depth: 5, ..d }, "nesting in the program section"),
        (Limits { string_bytes: 3, ..d }, "bytes of a text"),
    ] {
        match with(limits) {
            Err(ReadError::Limit { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// As deep as the format allows, on the stack of a test thread in a debug build.
#[test]
fn deepest_nesting() {
    let node = |attr: &[u8]| {
        let head = b"\x81\xa1f\x91\x82\xa1n\xa1f\xa1x\x91\x82\xa1o\x00\xa1a\x81\xa1k";
        [head, attr].concat()
    };
    let lists = |n: usize| [b"\x81\xa1l\x91".repeat(n), b"\x81\xa1i\x00".to_vec()].concat();
    let maps = |n: usize| [b"\x81\xa1m\x81\xa1k".repeat(n), b"\x81\xa1i\x00".to_vec()].concat();
    let sums = |n: usize| {
        [
            b"\x81\xa1n".to_vec(),
            b"\x91\x82\xa1k\x01\xa1a\x91\x81\xa3min\x91".repeat(n),
            b"\x00".to_vec(),
        ]
        .concat()
    };
    let types =
        |n: usize| [b"\x81\xa1t".to_vec(), b"\x81\xa3seq".repeat(n), b"\xa1?".to_vec()].concat();
    for (what, make, most) in [
        ("lists", &lists as &dyn Fn(usize) -> Vec<u8>, 92),
        ("maps", &maps, 92),
        ("sums", &sums, 37),
        ("types", &types, 185),
    ] {
        open(&with_program(&node(&make(most)))).map(drop).unwrap_or_else(|e| panic!("{what}: {e}"));
        for n in [most + 1, 100_000] {
            let found = message(&with_program(&node(&make(n))));
            assert!(found.contains("nesting"), "{what} {n}: {found}");
        }
    }
}

fn dims() -> impl Strategy<Value = Dim> {
    use airconv_schema::program::{Atom, Term};
    let leaf = prop_oneof![any::<i64>().prop_map(Dim::Known), Just(Dim::Any)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        let many = proptest::collection::vec(inner, 0..3);
        let atom = prop_oneof![
            any::<u32>().prop_map(Atom::Symbol),
            pair.clone().prop_map(Atom::FloorDiv),
            pair.clone().prop_map(Atom::CeilDiv),
            pair.prop_map(Atom::Mod),
            many.clone().prop_map(Atom::Min),
            many.clone().prop_map(Atom::Max),
            many.prop_map(Atom::Broadcast),
        ];
        let term = (any::<i64>(), proptest::collection::vec(atom, 0..3))
            .prop_map(|(coeff, atoms)| Term { coeff, atoms });
        proptest::collection::vec(term, 0..3).prop_map(Dim::Sum)
    })
}

fn attr() -> impl Strategy<Value = Attr> {
    use proptest::collection::{btree_map, vec};
    let text = || "\\PC{0,4}";
    let float = || any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan());
    let leaf = prop_oneof![
        any::<bool>().prop_map(Attr::Bool),
        any::<i64>().prop_map(Attr::Int),
        float().prop_map(Attr::Float),
        text().prop_map(Attr::Str),
        vec(any::<u8>(), 0..300).prop_map(|b| Attr::Bytes(Bin(b.into()))),
        text().prop_map(Attr::DType),
        dims().prop_map(Attr::Dim),
        any::<u32>().prop_map(Attr::Tensor),
        any::<u32>().prop_map(Attr::Region),
        any::<u32>().prop_map(Attr::Func),
        vec(any::<i64>(), 0..20).prop_map(Attr::Ints),
        vec(float(), 0..20).prop_map(Attr::Floats),
        vec(text(), 0..4).prop_map(Attr::Strs),
        vec(dims(), 0..4).prop_map(Attr::Dims),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Attr::List),
            btree_map(text(), inner, 0..4).prop_map(|m| Attr::Map(Named(m))),
        ]
    })
}

proptest! {
    #[test]
    fn attributes_come_back(attrs in proptest::collection::btree_map("[a-z]{1,3}", attr(), 0..8)) {
        let mut contents = tiny();
        contents.program.functions[0].nodes[0].attrs = Named(attrs);
        let (bytes, _) = file(contents.clone());
        crate::golden::same(contents, open(&bytes).unwrap().contents);
    }
}
