//! The layout around the program: header, section table, alignment.

use sha2::{Digest as _, Sha256};

use crate::error::{Malformed, ReadError};
use crate::limits::Limits;
use crate::program::Blob;
use crate::record::Digest;
use crate::version::Version;

/// The first bytes of a file (C-100): a byte over 127, the name, CR LF, ^Z, LF, so that
/// every kind of transfer as text damages them.
pub const MAGIC: [u8; 8] = *b"\x8aAIR\r\n\x1a\n";
/// Alignment of sections and blobs (C-113, C-121).
pub const ALIGN: u64 = 64;
/// Blobs from this size on are aligned to [`LARGE_ALIGN`] (C-121).
pub const LARGE: u64 = 64 * 1024;
/// Alignment of large blobs: a page of memory on common systems.
pub const LARGE_ALIGN: u64 = 4096;

/// Bytes of the header without the section table.
pub(crate) const FIXED: usize = 64;
/// Bytes of an entry of the section table.
const ENTRY: usize = 64;
/// Bytes of the header with the section table.
pub(crate) const HEADER: usize = FIXED + 2 * ENTRY;

/// The section of tensors.
const TENSORS: u32 = 1;
/// The section of the program.
const PROGRAM: u32 = 2;

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) digest: [u8; 32],
}

impl Section {
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.length)
    }
}

/// What stands at the start of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: Version,
    pub(crate) needs: u16,
    pub(crate) tensors: Section,
    pub(crate) program: Section,
}

/// The next multiple of `to`, a power of two; saturates at the last one.
pub(crate) fn align(offset: u64, to: u64) -> u64 {
    offset.saturating_add(to - 1) & !(to - 1)
}

/// Where a blob of this length goes that follows one that ends at `end` (C-121).
pub(crate) fn place(end: u64, length: u64) -> u64 {
    align(end, if length >= LARGE { LARGE_ALIGN } else { ALIGN })
}

pub(crate) fn malformed(label: &'static str, message: impl Into<String>) -> ReadError {
    Malformed { label, message: message.into() }.into()
}

fn int<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..at + N).and_then(|b| b.try_into().ok()).unwrap_or([0; N])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(int(bytes, at))
}
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(int(bytes, at))
}
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(int(bytes, at))
}

fn digest_of(header: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(header.get(..32).unwrap_or_default());
    hasher.update(header.get(FIXED..HEADER).unwrap_or_default());
    hasher.finalize().into()
}

impl Header {
    /// The bytes of the header, and the digest that is the identity of the file.
    pub(crate) fn encode(&self) -> ([u8; HEADER], Digest) {
        let mut out = Vec::with_capacity(HEADER);
        out.extend(MAGIC);
        out.extend(self.version.major.to_le_bytes());
        out.extend(self.version.minor.to_le_bytes());
        out.extend(self.needs.to_le_bytes());
        out.extend(2u16.to_le_bytes());
        out.extend(self.program.end().to_le_bytes());
        out.extend([0; 40]);
        for (kind, section) in [(TENSORS, self.tensors), (PROGRAM, self.program)] {
            out.extend(kind.to_le_bytes());
            out.extend([0; 4]);
            out.extend(section.offset.to_le_bytes());
            out.extend(section.length.to_le_bytes());
            out.extend([0; 8]);
            out.extend(section.digest);
        }
        let mut header = [0; HEADER];
        header.copy_from_slice(&out);
        let digest = digest_of(&header);
        header[32..FIXED].copy_from_slice(&digest);
        (header, Digest(digest))
    }

    /// Reads the header of a file of `size` bytes and checks it against the size.
    pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Self, Digest), ReadError> {
        let size = bytes.len() as u64;
        let truncated = |expected| Err(ReadError::Truncated { expected, found: size });
        // C-100, C-101
        if !bytes.starts_with(&MAGIC) {
            if size > 0 && MAGIC.starts_with(bytes) {
                return truncated(HEADER as u64);
            }
            let text: [&[u8]; 4] = [b"\x8aAIR", b"\x0aAIR", b"\xc2\x8aAIR", b"\xef\xbf\xbdAIR"];
            if text.iter().any(|t| bytes.starts_with(t)) {
                return Err(ReadError::TextMode);
            }
            return Err(ReadError::NotIr);
        }
        if size < 16 {
            return truncated(HEADER as u64);
        }
        // C-102: before anything that a later version may have changed.
        let version = Version { major: u16_at(bytes, 8), minor: u16_at(bytes, 10) };
        let needs = u16_at(bytes, 12);
        let readable = version.major == Version::CURRENT.major
            && needs <= Version::CURRENT.minor
            && needs <= version.minor
            && Version::KNOWN.contains(&Version { major: version.major, minor: needs });
        if !readable {
            return Err(ReadError::Version { version, needs });
        }
        if size < HEADER as u64 {
            return truncated(HEADER as u64);
        }
        // C-103
        let digest = digest_of(bytes);
        if bytes.get(32..FIXED) != Some(&digest) {
            return Err(ReadError::Digest { what: "the header".into() });
        }
        // C-104: the size of the file.
        let stated = u64_at(bytes, 16);
        if stated > size {
            return truncated(stated);
        }
        if stated < size {
            let more = size - stated;
            return Err(malformed("C-104", format!("{more} bytes follow the end of the file")));
        }
        if size > limits.file_bytes {
            let (what, limit) = ("bytes of the file", limits.file_bytes);
            return Err(ReadError::Limit { what, found: size, limit });
        }
        // C-105
        if u64_at(bytes, 24) != 0 {
            return Err(malformed("C-105", "the reserved bytes 24..32 are not zero"));
        }
        // C-110, C-111
        if u16_at(bytes, 14) != 2 {
            return Err(malformed("C-110", format!("{} sections, not 2", u16_at(bytes, 14))));
        }
        let mut end = HEADER as u64;
        let mut section = |at: usize, kind: u32| {
            if u32_at(bytes, at) != kind {
                let found = u32_at(bytes, at);
                return Err(malformed("C-111", format!("section of kind {found}, not {kind}")));
            }
            if u32_at(bytes, at + 4) != 0 || u64_at(bytes, at + 24) != 0 {
                return Err(malformed("C-105", "reserved bytes of a section are not zero"));
            }
            let (offset, length) = (u64_at(bytes, at + 8), u64_at(bytes, at + 16));
            // C-113: in order, no overlap, no gap but the padding.
            if offset != align(end, ALIGN) {
                let message =
                    format!("section {kind} starts at {offset}, not {}", align(end, ALIGN));
                return Err(malformed("C-113", message));
            }
            let next = offset.checked_add(length).filter(|&e| e <= size).ok_or_else(|| {
                malformed("C-112", format!("section {kind} of {length} bytes leaves the file"))
            })?;
            // C-114: padding is zero.
            let gap = bytes.get(end as usize..offset as usize).unwrap_or_default();
            if gap.iter().any(|&b| b != 0) {
                return Err(malformed(
                    "C-114",
                    format!("padding before section {kind} is not zero"),
                ));
            }
            end = next;
            Ok(Section { offset, length, digest: int(bytes, at + 32) })
        };
        let tensors = section(FIXED, TENSORS)?;
        let program = section(FIXED + ENTRY, PROGRAM)?;
        if tensors.digest != [0; 32] {
            return Err(malformed("C-115", "the tensor section has a digest of its own"));
        }
        if end != size {
            return Err(malformed("C-104", "the last section does not end the file"));
        }
        Ok((Self { version, needs, tensors, program }, Digest(digest)))
    }
}

/// Checks that the blobs fill the tensor section exactly (C-120 to C-122).
pub(crate) fn check_blobs(blobs: &[Blob], tensors: &Section) -> Result<(), ReadError> {
    let mut end = tensors.offset;
    for (i, blob) in blobs.iter().enumerate() {
        let wanted = place(end, blob.length);
        if blob.offset != wanted {
            let message = format!("blob {i} starts at {}, not {wanted}", blob.offset);
            return Err(malformed("C-121", message));
        }
        end = blob.offset.checked_add(blob.length).filter(|&e| e <= tensors.end()).ok_or_else(
            || malformed("C-120", format!("blob {i} of {} bytes leaves its section", blob.length)),
        )?;
    }
    if end != tensors.end() {
        let message = format!("the blobs end at {end}, their section at {}", tensors.end());
        return Err(malformed("C-122", message));
    }
    Ok(())
}
