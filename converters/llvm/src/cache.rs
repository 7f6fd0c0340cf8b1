//! Compiled objects on disk.
//!
//! An entry is a file whose name is the BLAKE3 digest of everything that the object depends on.
//! It holds a digest of its bytes: one that was cut short or changed counts as absent and is
//! written again. Writing is atomic, so that processes share a cache without locks. Trouble with
//! the cache is never an error: the object is compiled instead.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use crate::target::Target;

/// Changes when objects of equal IR text are no longer interchangeable.
pub const EMITTER_VERSION: u32 = 1;
/// How much a cache may hold unless told otherwise.
pub const DEFAULT_LIMIT: u64 = 512 << 20;

const MAGIC: &[u8; 8] = b"AIROBJ1\n";
const HEADER: usize = MAGIC.len() + blake3::OUT_LEN;
const EXTENSION: &str = "airobj";
/// How full a cache is after eviction, in percent of its limit.
const AFTER_EVICTION: u64 = 80;

/// What an object depends on, as a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(blake3::Hash);

impl Key {
    /// The key of the object of `ir` for `target`, by the compiler that `compiler` tells from
    /// others.
    pub fn new(ir: &str, compiler: &str, target: &Target) -> Key {
        let mut hasher = blake3::Hasher::new();
        let emitter = EMITTER_VERSION.to_string();
        let tune = target.tune.as_deref().unwrap_or("");
        for part in [&emitter, compiler, &target.triple, &target.cpu, &target.features, tune, ir] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Key(hasher.finalize())
    }
}

/// A folder of compiled objects, or none.
#[derive(Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
    limit: u64,
    /// Bytes in the folder as far as is known; `u64::MAX` before it was looked at.
    size: AtomicU64,
}

impl Cache {
    /// The user's cache: `AIRCONV_CACHE_DIR`, or `airconv/objects` in `XDG_CACHE_HOME` or
    /// `~/.cache`. An empty `AIRCONV_CACHE_DIR` disables it.
    pub fn user() -> Cache {
        let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let folder = match std::env::var_os("AIRCONV_CACHE_DIR") {
            Some(folder) if folder.is_empty() => None,
            Some(folder) => Some(PathBuf::from(folder)),
            None => set("XDG_CACHE_HOME")
                .filter(|p| p.is_absolute())
                .or_else(|| set("HOME").map(|home| home.join(".cache")))
                .or_else(|| set("LOCALAPPDATA"))
                .map(|base| base.join("airconv").join("objects")),
        };
        match folder {
            Some(folder) => Cache::at(folder, DEFAULT_LIMIT),
            None => Cache::disabled(),
        }
    }

    /// A cache in `folder`, which is made when something is first put there, of at most `limit`
    /// bytes.
    pub fn at(folder: impl Into<PathBuf>, limit: u64) -> Cache {
        Cache { folder: Some(folder.into()), limit, size: AtomicU64::new(u64::MAX) }
    }

    /// A cache that holds nothing.
    pub fn disabled() -> Cache {
        Cache { folder: None, limit: 0, size: AtomicU64::new(0) }
    }

    /// The folder.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(format!("{}.{EXTENSION}", key.0.to_hex())))
    }

    /// The object of a key, if it is there and whole. It then counts as used just now.
    pub fn get(&self, key: &Key) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let mut bytes = fs::read(&path).ok()?;
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return None;
        }
        let digest = blake3::hash(&bytes[HEADER..]);
        if digest.as_bytes()[..] != bytes[MAGIC.len()..HEADER] {
            return None;
        }
        // A cache that may only be read still serves.
        let _ = File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(SystemTime::now()));
        bytes.drain(..HEADER);
        Some(bytes)
    }

    /// Stores an object, and drops the least recently used ones when there is too much.
    pub fn put(&self, key: &Key, object: &[u8]) {
        let (Some(folder), Some(path)) = (&self.folder, self.path(key)) else { return };
        if (object.len() + HEADER) as u64 > self.limit {
            return;
        }
        let written = fs::create_dir_all(folder).and_then(|()| {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(MAGIC)?;
            file.write_all(blake3::hash(object).as_bytes())?;
            file.write_all(object)?;
            file.persist(&path).map_err(|e| e.error)?;
            Ok(())
        });
        if written.is_err() {
            return;
        }
        let added = (object.len() + HEADER) as u64;
        let size = match self.size.load(Ordering::Relaxed) {
            u64::MAX => entries(folder).iter().map(|e| e.size).sum(),
            known => known + added,
        };
        self.size.store(size, Ordering::Relaxed);
        if size > self.limit {
            self.evict(folder);
        }
    }

    fn evict(&self, folder: &Path) {
        let mut entries = entries(folder);
        entries.sort_by(|a, b| a.used.cmp(&b.used).then_with(|| a.path.cmp(&b.path)));
        let mut size: u64 = entries.iter().map(|e| e.size).sum();
        let goal = self.limit / 100 * AFTER_EVICTION;
        for entry in &entries {
            if size <= goal {
                break;
            }
            if fs::remove_file(&entry.path).is_ok() {
                size -= entry.size;
            }
        }
        self.size.store(size, Ordering::Relaxed);
    }
}

struct Entry {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

fn entries(folder: &Path) -> Vec<Entry> {
    let Ok(listing) = fs::read_dir(folder) else { return Vec::new() };
    listing
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let path = entry.path();
            if path.extension().is_none_or(|e| e != EXTENSION) {
                return None;
            }
            let meta = entry.metadata().ok()?;
            Some(Entry { path, size: meta.len(), used: meta.modified().ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Isa;

    fn key(text: &str) -> Key {
        Key::new(text, "22.1.0", &Target::of(Isa::V3))
    }

    #[test]
    fn hit_miss_and_corruption() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("new"), DEFAULT_LIMIT);
        assert_eq!(cache.get(&key("a")), None);
        cache.put(&key("a"), b"object of a");
        assert_eq!(cache.get(&key("a")).as_deref(), Some(&b"object of a"[..]));
        assert_eq!(cache.get(&key("b")), None);

        let path = cache.path(&key("a")).unwrap();
        let whole = fs::read(&path).unwrap();
        for broken in [&whole[..10], &whole[..whole.len() - 1], b""] {
            fs::write(&path, broken).unwrap();
            assert_eq!(cache.get(&key("a")), None);
        }
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, flipped).unwrap();
        assert_eq!(cache.get(&key("a")), None);
        cache.put(&key("a"), b"object of a");
        assert!(cache.get(&key("a")).is_some());
    }

    #[test]
    fn keys_depend_on_everything() {
        let target = Target::of(Isa::V3);
        let mut keys = vec![
            Key::new("a", "22", &target),
            Key::new("b", "22", &target),
            Key::new("a", "21", &target),
            Key::new("a", "22", &Target::of(Isa::V4)),
            Key::new("a", "22", &Target { features: "+avxvnni".into(), ..target.clone() }),
            Key::new("a", "22", &Target { tune: Some("znver4".into()), ..target.clone() }),
        ];
        keys.dedup();
        assert_eq!(keys.len(), 6);
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path(), 1000);
        let object = [7u8; 200];
        for (age, name) in [(50, "a"), (40, "b"), (30, "c"), (20, "d")] {
            cache.put(&key(name), &object);
            let then = SystemTime::now() - std::time::Duration::from_secs(age);
            let file = File::options().append(true).open(cache.path(&key(name)).unwrap()).unwrap();
            file.set_modified(then).unwrap();
        }
        assert!(cache.get(&key("a")).is_some());
        cache.put(&key("e"), &object);
        assert!(cache.get(&key("a")).is_some() && cache.get(&key("e")).is_some());
        assert_eq!(cache.get(&key("b")), None);
        assert_eq!(cache.get(&key("c")), None);
        cache.put(&key("huge"), &[0; 2000]);
        assert_eq!(cache.get(&key("huge")), None);
    }

    #[test]
    fn disabled_holds_nothing() {
        let cache = Cache::disabled();
        cache.put(&key("a"), b"x");
        assert_eq!(cache.get(&key("a")), None);
        assert_eq!(cache.folder(), None);
    }
}
