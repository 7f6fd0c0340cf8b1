//! Files of `torch.save` before version 1.6: five pickles, then the storages one after the other,
//! each as the number of its elements and the elements.

use airconv_api::Limits;
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::state_dict::collect;
use super::{View, Weights};
use crate::error::FileError;
use crate::pickle::{Pickle, StorageRef, Value, load_prefix};

/// The first pickle.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second one.
const PROTOCOL: i64 = 1001;

/// Reads such a file; elements stay where they are.
pub(super) fn read(bytes: &Bytes, limits: &Limits) -> Result<Weights, FileError> {
    let mut at = 0;
    let mut next = |what: &str| {
        let rest = bytes.slice(at..);
        let (pickle, used) = load_prefix(&rest, limits).map_err(|e| e.within(what))?;
        at += used;
        Ok::<_, FileError>(pickle)
    };
    let magic = next("its first pickle")?;
    if *magic.get(magic.root()) != Value::Long(MAGIC) {
        return Err(FileError::malformed("", "it is a pickle, and none of `torch.save`"));
    }
    let protocol = next("its second pickle")?;
    if protocol.int(protocol.root()) != Some(PROTOCOL) {
        return Err(FileError::unsupported("", "its protocol is not 1001"));
    }
    let system = next("its third pickle")?;
    let little = system.entry(system.root(), "little_endian").map(|id| system.get(id));
    if little == Some(&Value::Bool(false)) {
        return Err(FileError::unsupported("", "its elements are big-endian"));
    }
    let content = next("its pickle of tensors")?;
    let keys = next("its list of storages")?;
    let found = storages(bytes, at, &content, &keys)?;
    collect(&content, limits, |tensor| {
        let key: &str = &tensor.storage.key;
        let Some(bytes) = found.get(key) else {
            return Err(FileError::malformed("", format!("it has no storage `{key}`")));
        };
        View::of(tensor, part(&tensor.storage, bytes)?)
    })
}

/// The part of a storage that a reference names.
fn part(storage: &StorageRef, bytes: &Bytes) -> Result<Bytes, FileError> {
    let Some((first, count)) = storage.part else { return Ok(bytes.clone()) };
    let width = width(storage);
    let range = first.checked_add(count).and_then(|end| {
        let end = end.checked_mul(width).filter(|&end| end <= bytes.len() as u64)?;
        Some(usize::try_from(first * width).ok()?..usize::try_from(end).ok()?)
    });
    match range {
        Some(range) => Ok(bytes.slice(range)),
        None => Err(FileError::malformed("", "a part of a storage is outside of it")),
    }
}

fn width(storage: &StorageRef) -> u64 {
    storage.dtype.map_or(1, |d| u64::from(d.bits() / 8))
}

/// The storages by key, as they follow the pickles in the order of `keys`.
fn storages<'a>(
    bytes: &Bytes,
    mut at: usize,
    content: &'a Pickle,
    keys: &'a Pickle,
) -> Result<FxHashMap<&'a str, Bytes>, FileError> {
    let mut widths: FxHashMap<&str, u64> = FxHashMap::default();
    for storage in content.storages() {
        widths.insert(&storage.key, width(storage));
    }
    let mut found = FxHashMap::default();
    for &key in keys.items(keys.root()).unwrap_or_default() {
        let bad = |message: &str| FileError::malformed("its storages", message);
        let key = keys.str(key).ok_or_else(|| bad("the name of one is no text"))?;
        let &width = widths.get(key).ok_or_else(|| bad("one belongs to no tensor"))?;
        let count: Option<[u8; 8]> = bytes.get(at..).and_then(|b| b.first_chunk().copied());
        let count = count.map(u64::from_le_bytes).ok_or_else(|| bad("the file ends too early"))?;
        let start = at + 8;
        let end = count.checked_mul(width).and_then(|n| usize::try_from(n).ok());
        let end = end.and_then(|n| start.checked_add(n)).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| bad("the file ends too early"))?;
        found.insert(key, bytes.slice(start..end));
        at = end;
    }
    Ok(found)
}
