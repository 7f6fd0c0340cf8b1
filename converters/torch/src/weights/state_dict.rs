//! What `torch.save` makes of a dictionary of tensors.

use airconv_api::Limits;
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::{View, Weight, Weights};
use crate::archive::Archive;
use crate::error::FileError;
use crate::pickle::{Id, Pickle, StorageRef, TensorRef, Value, load};

/// Where training scripts put the weights in a checkpoint that has other things too.
const INNER: &[&str] = &[
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "params_ema",
    "params",
    "net",
    "weights",
];

/// The most bytes that the names of all entries may take: a key of a pickle can be part of the
/// names of many.
const NAME_BYTES: u64 = 1 << 26;

/// The storages of an archive, each looked up once.
#[derive(Debug)]
pub struct Storages<'a> {
    archive: &'a Archive,
    folder: &'a str,
    found: FxHashMap<String, Bytes>,
}

impl<'a> Storages<'a> {
    /// The storages in a folder of an archive, such as `data`. Fails for archives of machines
    /// with another byte order.
    pub fn new(archive: &'a Archive, folder: &'a str) -> Result<Self, FileError> {
        if let Some(order) = archive.find("byteorder")?
            && &*order != b"little"
        {
            let order = String::from_utf8_lossy(&order).into_owned();
            return Err(FileError::unsupported("byteorder", format!("byte order `{order}`")));
        }
        Ok(Self { archive, folder, found: FxHashMap::default() })
    }
    /// The bytes of a storage, which are at least as many as it says.
    pub fn get(&mut self, storage: &StorageRef) -> Result<Bytes, FileError> {
        let name = format!("{}/{}", self.folder, storage.key);
        let bytes = match self.found.get(&name) {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = self.archive.get(&name)?;
                self.found.insert(name.clone(), bytes.clone());
                bytes
            }
        };
        let width = storage.dtype.map_or(1, |d| u64::from(d.bits() / 8));
        match storage.numel.checked_mul(width) {
            Some(needs) if needs <= bytes.len() as u64 => Ok(bytes),
            _ => Err(FileError::malformed(
                name,
                format!("it has {} bytes, too few for {} elements", bytes.len(), storage.numel),
            )),
        }
    }
    /// The view that a tensor is.
    pub fn view(&mut self, tensor: &TensorRef) -> Result<View, FileError> {
        View::of(tensor, self.get(&tensor.storage)?)
    }
}

/// Reads `data.pkl` and the storages beside it.
pub(super) fn from_archive(archive: &Archive, limits: &Limits) -> Result<Weights, FileError> {
    if !archive.has("data.pkl") {
        let message = "the archive has no `data.pkl`: it holds no weights of `torch.save`";
        return Err(FileError::malformed("", message));
    }
    let pickle = load(&archive.get("data.pkl")?, limits).map_err(|e| e.within("data.pkl"))?;
    let mut storages = Storages::new(archive, "data")?;
    collect(&pickle, limits, |tensor| storages.view(tensor))
}

/// The tensors of a pickle, named by the way to them.
pub(super) fn collect(
    pickle: &Pickle,
    limits: &Limits,
    view: impl FnMut(&TensorRef) -> Result<View, FileError>,
) -> Result<Weights, FileError> {
    let root = pickle.root();
    let inner = INNER.iter().find_map(|&key| Some((key, pickle.entry(root, key)?)));
    let inner = inner.filter(|(_, id)| holds_tensors(pickle, *id) && !holds_tensors(pickle, root));
    let mut walk = Walk {
        pickle,
        view,
        left: limits.nodes,
        depth: limits.depth,
        name_bytes: NAME_BYTES,
        out: Weights { found_in: inner.map(|(key, _)| key.to_owned()), ..Weights::default() },
    };
    walk.visit(inner.map_or(root, |(_, id)| id), "", 0)?;
    Ok(walk.out)
}

/// Whether a dictionary has a tensor as one of its values.
fn holds_tensors(pickle: &Pickle, id: Id) -> bool {
    let pairs = pickle.pairs(id).unwrap_or_default();
    pairs.iter().any(|(_, value)| matches!(pickle.get(*value), Value::Tensor(_)))
}

struct Walk<'a, F> {
    pickle: &'a Pickle,
    view: F,
    left: u64,
    depth: u32,
    name_bytes: u64,
    out: Weights,
}

impl<F: FnMut(&TensorRef) -> Result<View, FileError>> Walk<'_, F> {
    fn visit(&mut self, id: Id, path: &str, depth: u32) -> Result<(), FileError> {
        let counted = self.left.checked_sub(1);
        let Some(left) = counted.filter(|_| depth <= self.depth.saturating_mul(4)) else {
            return Err(FileError::limit("", "it nests too deep or has too many entries"));
        };
        self.left = left;
        let pickle = self.pickle;
        match pickle.get(id) {
            Value::Tensor(tensor) => {
                let name = self.kept(if path.is_empty() { "tensor" } else { path })?;
                let view = (self.view)(tensor).map_err(|e| e.within(&name))?;
                let requires_grad = tensor.requires_grad;
                self.out.tensors.push(Weight { name, view, requires_grad });
            }
            Value::Dict(pairs) => {
                for (key, value) in pairs {
                    let Some(key) = key_of(pickle, *key) else {
                        let name = self.kept(path)?;
                        self.out.skipped.push(name);
                        continue;
                    };
                    self.visit(*value, &join(path, &key), depth + 1)?;
                }
            }
            Value::List(items) | Value::Tuple(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.visit(*item, &join(path, &i.to_string()), depth + 1)?;
                }
            }
            Value::Object { state: Some(state), .. } => self.visit(*state, path, depth + 1)?,
            _ => {
                let name = self.kept(path)?;
                self.out.skipped.push(name);
            }
        }
        Ok(())
    }
    /// A name that stays in memory.
    fn kept(&mut self, name: &str) -> Result<String, FileError> {
        let left = self.name_bytes.checked_sub(name.len() as u64);
        self.name_bytes =
            left.ok_or_else(|| FileError::limit("", "the names of its entries are too long"))?;
        Ok(name.to_owned())
    }
}

fn key_of(pickle: &Pickle, key: Id) -> Option<String> {
    match pickle.get(key) {
        Value::Str(text) => Some(text.to_string()),
        Value::Int(n) => Some(n.to_string()),
        _ => None,
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
