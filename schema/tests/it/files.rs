//! Files on disk: round trip, sharing, alignment, replacement, failure.

use std::io::Cursor;

use airconv_schema::*;
use bytes::Bytes;

use crate::golden::same;
use crate::sample::{everything, file, noise, tiny};

fn options(no_mmap: bool) -> ReadOptions {
    ReadOptions { no_mmap, ..ReadOptions::default() }
}

#[test]
fn round_trip_mapped_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("all.ir");
    let written = write(&path, everything(), &WriteOptions::default()).unwrap();
    assert_eq!(written.bytes, std::fs::metadata(&path).unwrap().len());
    for no_mmap in [false, true] {
        let open = read(&path, &options(no_mmap)).unwrap();
        open.verify_digests().unwrap();
        assert_eq!(open.digest, written.digest);
        for (blob, data) in open.contents.program.blobs.iter().zip(&open.contents.data) {
            let to = if blob.length >= LARGE { LARGE_ALIGN } else { ALIGN };
            assert_eq!(blob.offset % to, 0);
            assert_eq!(data.as_ptr() as u64 % to, 0, "in memory, no_mmap: {no_mmap}");
        }
        same(everything(), open.contents);
    }
    // Nothing is left beside it, and the mode is that of a file made in the usual way.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let usual = folder.path().join("usual");
    std::fs::write(&usual, "").unwrap();
    let mode = |p| std::fs::metadata(p).unwrap().permissions();
    assert_eq!(mode(&path), mode(&usual));
}

#[test]
fn same_contents_same_bytes() {
    assert_eq!(file(everything()), file(everything()));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ir");
    write(&path, everything(), &WriteOptions::default()).unwrap();
    assert!(std::fs::read(&path).unwrap() == file(everything()).0);
    // Written again from the map of the file that it replaces.
    let again = read(&path, &options(false)).unwrap().contents;
    write(&path, again, &WriteOptions::default()).unwrap();
    assert!(std::fs::read(&path).unwrap() == file(everything()).0);
}

/// Equal bytes are stored once, whether they are the same memory, a small copy or a copy
/// that is too large to be hashed before it is written.
#[test]
fn equal_blobs_are_stored_once() {
    use airconv_schema::program::{Storage, Tensor};
    let large = noise(1, 5_000_001);
    let shared: Bytes = large.clone().into();
    let data = vec![
        shared.clone(),
        noise(2, 100).into(),
        shared.clone(),
        large.clone().into(),
        noise(2, 100).into(),
        noise(3, 5).into(),
        large.clone().into(),
    ];
    let tensor = |i: usize| Tensor {
        dtype: "u8".into(),
        shape: vec![data[i].len() as u64],
        storage: Storage::Blob(i as u32),
    };
    let program = Program { tensors: (0..7).map(tensor).collect(), ..tiny().program };
    let (bytes, written) = file(Contents { program, data: data.clone() });
    assert_eq!(written.blobs, 3);
    assert_eq!(written.bytes, bytes.len() as u64);
    assert!(bytes.len() < 5_006_000);
    let open = read_bytes(bytes.into(), &Limits::default()).unwrap();
    open.verify_digests().unwrap();
    for (tensor, wanted) in open.contents.program.tensors.iter().zip(&data) {
        let Storage::Blob(i) = tensor.storage else { panic!() };
        assert!(open.contents.data[i as usize] == wanted);
    }
}

#[test]
fn failure_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.ir");
    std::fs::write(&path, "old").unwrap();
    let mut broken = tiny();
    broken.data.clear();
    let error = write(&path, broken, &WriteOptions::default()).unwrap_err();
    assert!(matches!(error, WriteError::NoSuchBlob { tensor: 0, blob: 0, count: 0 }));
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(matches!(
        write(folder.path(), tiny(), &WriteOptions::default()),
        Err(WriteError::NotAFile { .. })
    ));
    assert!(matches!(
        write(&folder.path().join("no/such/x.ir"), tiny(), &WriteOptions::default()),
        Err(WriteError::Io { .. })
    ));
}

#[test]
fn targets_that_are_not_known_are_refused() {
    for (major, minor) in [(0, 0), (0, 2), (1, 0)] {
        let options = WriteOptions { target: Version { major, minor }, ..WriteOptions::default() };
        let error = write_to(&mut Cursor::new(Vec::new()), tiny(), &options).unwrap_err();
        assert!(error.to_string().contains("known: 0.1"), "{error}");
    }
    let needs = vec![Need { minor: 2, feature: "op `shiny`".into() }];
    let options = WriteOptions { needs, ..WriteOptions::default() };
    let error = write_to(&mut Cursor::new(Vec::new()), tiny(), &options).unwrap_err();
    assert!(error.to_string().starts_with("op `shiny` needs"), "{error}");
}

/// What no reader would take is not written.
#[test]
fn too_deep_is_refused_when_writing() {
    use airconv_schema::program::Attr;
    let deep = |n: usize| {
        let mut contents = tiny();
        let attr = (0..n).fold(Attr::Int(1), |a, _| Attr::List(vec![a]));
        contents.program.functions[0].nodes[0].attrs.0.insert("a".into(), attr);
        contents
    };
    let mut out = Cursor::new(Vec::new());
    write_to(&mut out, deep(80), &WriteOptions::default()).unwrap();
    read_bytes(out.into_inner().into(), &Limits::default()).unwrap();
    let error = write_to(&mut Cursor::new(Vec::new()), deep(120), &WriteOptions::default());
    assert!(matches!(error, Err(WriteError::TooLarge(_))));
}

/// `AIRCONV_SPEED=4096 cargo test --release speed -- --nocapture`: MiB to write.
#[test]
#[allow(clippy::print_stdout)]
fn speed() {
    use airconv_schema::program::{Storage, Tensor};
    let Some(mib) = std::env::var("AIRCONV_SPEED").ok().and_then(|v| v.parse::<usize>().ok())
    else {
        return;
    };
    let base = std::env::var_os("AIRCONV_SPEED_DIR").map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base).unwrap();
    let raw = folder.path().join("raw");
    {
        use std::io::Write as _;
        let mut out = std::fs::File::create(&raw).unwrap();
        for i in 0..mib {
            out.write_all(&noise(i as u64, 1 << 20)).unwrap();
        }
    }
    let time = |what: &str, f: &mut dyn FnMut()| {
        // What was written before is not to slow this down.
        let _ = std::process::Command::new("sync").status();
        let start = std::time::Instant::now();
        f();
        let t = start.elapsed().as_secs_f64();
        let anon = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let anon = anon.lines().find(|l| l.starts_with("RssAnon")).unwrap_or("").to_owned();
        println!("{what}: {t:.2} s, {:.0} MiB/s, {anon}", mib as f64 / t);
    };
    for _ in 0..3 {
        let copy = folder.path().join("copy");
        time("cp", &mut || {
            let status = std::process::Command::new("cp").arg(&raw).arg(&copy).status().unwrap();
            assert!(status.success());
        });
        std::fs::remove_file(&copy).unwrap();
        let path = folder.path().join("x.ir");
        time("write", &mut || {
            // SAFETY: nothing else has the file.
            let map = unsafe { memmap2::Mmap::map(&std::fs::File::open(&raw).unwrap()) }.unwrap();
            let all = Bytes::from_owner(map);
            let each = all.len() / 16;
            let data: Vec<Bytes> = (0..16).map(|i| all.slice(i * each..(i + 1) * each)).collect();
            let tensors = (0..16).map(|i| Tensor {
                dtype: "u8".into(),
                shape: vec![each as u64],
                storage: Storage::Blob(i),
            });
            let program = Program { tensors: tensors.collect(), ..tiny().program };
            write(&path, Contents { program, data }, &WriteOptions::default()).unwrap();
        });
        time("open", &mut || drop(read(&path, &options(false)).unwrap()));
        time("verify", &mut || read(&path, &options(false)).unwrap().verify_digests().unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
