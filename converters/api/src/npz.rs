//! `.npz` files: named arrays in a zip archive of `.npy` members.
//!
//! Dtypes that NumPy lacks are kept as raw bytes (`V1`, `V2`), which is how NumPy stores
//! those of extension packages; reading them back takes the dtype from what is wanted.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use airconv_ir::array::{Array, Data, StrBytes};
use airconv_ir::dtype::DType;

use crate::files::Draft;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NpzError {
    /// The system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The archive.
    #[error(transparent)]
    Zip(#[from] zip::result::ZipError),
    /// A member.
    #[error("`{name}`: {message}")]
    Member {
        /// The member.
        name: String,
        /// What is wrong.
        message: String,
    },
}

/// The most bytes of one member.
const LARGEST: u64 = 16 << 30;

/// A member: an array, or raw elements whose dtype NumPy does not know.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// An array.
    Array(Array),
    /// Elements of `width` bytes.
    Raw {
        /// Bytes per element.
        width: usize,
        /// The shape.
        shape: Vec<usize>,
        /// The bytes.
        bytes: Vec<u8>,
    },
}

impl Member {
    /// The array, of the wanted dtype where the file leaves it open.
    pub fn into_array(self, wanted: Option<DType>) -> Result<Array, String> {
        match self {
            Self::Array(a) => Ok(a),
            Self::Raw { shape, bytes, .. } => match wanted {
                Some(dtype) => Array::from_bytes(dtype, shape, &bytes).map_err(|e| e.to_string()),
                None => Err("its dtype is not known to NumPy and not stated elsewhere".to_owned()),
            },
        }
    }
}

/// Reads all members by name, without the `.npy`.
pub fn read(path: &Path) -> Result<BTreeMap<String, Member>, NpzError> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path)?)?;
    let mut out = BTreeMap::new();
    for i in 0..archive.len() {
        let file = archive.by_index(i)?;
        let name = file.name()?.into_owned();
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        let key = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let member =
            parse_npy(&bytes).map_err(|message| NpzError::Member { name: key.clone(), message })?;
        out.insert(key, member);
    }
    Ok(out)
}

/// Writes arrays by name, stored uncompressed, whole or not at all. Equal arrays make equal
/// bytes.
pub fn write<'a>(
    path: &Path,
    arrays: impl IntoIterator<Item = (&'a str, &'a Array)>,
) -> Result<(), NpzError> {
    let mut out = Deaf::new(Draft::new(path)?);
    let mut zip = zip::ZipWriter::new(&mut out);
    let options = zip::write::SimpleFileOptions::default()
        .compression_method(zip::CompressionMethod::Stored)
        .large_file(true);
    for (name, array) in arrays {
        zip.start_file(format!("{name}.npy"), options)?;
        let bytes = npy_bytes(array)
            .map_err(|message| NpzError::Member { name: name.to_owned(), message })?;
        zip.write_all(&bytes)?;
    }
    zip.finish()?;
    out.error.map_or(Ok(()), Err)?;
    out.draft.finish()?;
    Ok(())
}

/// A draft that keeps the first error and takes all that follows for written: an archive that
/// hears of an error reports it a second time, to stderr, when it goes.
struct Deaf {
    draft: Draft,
    error: Option<io::Error>,
    at: u64,
    end: u64,
}

impl Deaf {
    fn new(draft: Draft) -> Self {
        Self { draft, error: None, at: 0, end: 0 }
    }
    fn keep<T>(&mut self, done: impl FnOnce(&mut Draft) -> io::Result<T>) {
        if self.error.is_none() {
            self.error = done(&mut self.draft).err();
        }
    }
}

impl Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.keep(|draft| draft.write_all(bytes));
        self.at += bytes.len() as u64;
        self.end = self.end.max(self.at);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        self.keep(Draft::flush);
        Ok(())
    }
}

impl Seek for Deaf {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.end.checked_add_signed(by),
        };
        let at = at.ok_or(io::ErrorKind::InvalidInput)?;
        if at != self.at {
            self.keep(|draft| draft.seek(SeekFrom::Start(at)));
            self.at = at;
        }
        Ok(at)
    }
}

/// Parses the bytes of an `.npy` file.
pub fn parse_npy(bytes: &[u8]) -> Result<Member, String> {
    let bad = || "it is not an .npy file".to_owned();
    if bytes.get(..6) != Some(b"\x93NUMPY") {
        return Err(bad());
    }
    let (start, length) = match bytes.get(6).ok_or_else(bad)? {
        1 => (
            10,
            u16::from_le_bytes(bytes.get(8..10).and_then(|b| b.try_into().ok()).ok_or_else(bad)?)
                .into(),
        ),
        2 | 3 => {
            let n = u32::from_le_bytes(
                bytes.get(8..12).and_then(|b| b.try_into().ok()).ok_or_else(bad)?,
            );
            (12, n as usize)
        }
        v => return Err(format!("npy version {v} is not known")),
    };
    let end = start + length;
    let header = bytes.get(start..end).and_then(|h| std::str::from_utf8(h).ok()).ok_or_else(bad)?;
    let descr = quoted(header, "'descr':").ok_or("it has no simple dtype")?;
    if after(header, "'fortran_order':").is_some_and(|t| t.trim_start().starts_with("True")) {
        return Err(
            "column-major arrays are not supported; save with np.ascontiguousarray".to_owned()
        );
    }
    let shape = shape_of(header).ok_or("its shape cannot be read")?;
    let data = bytes.get(end..).ok_or_else(bad)?;
    member(&descr, shape, data)
}

fn after<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    header.find(key).map(|i| &header[i + key.len()..])
}

fn quoted(header: &str, key: &str) -> Option<String> {
    let rest = after(header, key)?.trim_start().strip_prefix('\'')?;
    rest.find('\'').map(|end| rest[..end].to_owned())
}

fn shape_of(header: &str) -> Option<Vec<usize>> {
    let rest = after(header, "'shape':")?.trim_start().strip_prefix('(')?;
    let inner = &rest[..rest.find(')')?];
    inner.split(',').map(str::trim).filter(|s| !s.is_empty()).map(|s| s.parse().ok()).collect()
}

fn member(descr: &str, shape: Vec<usize>, data: &[u8]) -> Result<Member, String> {
    let numel = airconv_ir::array::checked_numel(&shape).map_err(|e| e.to_string())?;
    let code = descr.trim_start_matches(['<', '|', '=']);
    if descr.starts_with('>') {
        return Err("big-endian arrays are not supported".to_owned());
    }
    let dtype = match code {
        "b1" => DType::Bool,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "c8" => DType::C64,
        "c16" => DType::C128,
        _ => return special(code, shape, numel, data),
    };
    Array::from_bytes(dtype, shape, data).map(Member::Array).map_err(|e| e.to_string())
}

fn special(code: &str, shape: Vec<usize>, numel: usize, data: &[u8]) -> Result<Member, String> {
    let width: usize =
        code.get(1..).and_then(|w| w.parse().ok()).ok_or("its dtype is not known")?;
    let fits = |bytes: usize| numel.checked_mul(bytes) == Some(data.len());
    match code.as_bytes().first() {
        Some(b'V') if fits(width) => Ok(Member::Raw { width, shape, bytes: data.to_vec() }),
        Some(b'U') if fits(width.saturating_mul(4)) => {
            let text = |chunk: &[u8]| -> StrBytes {
                let chars =
                    chunk.chunks_exact(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]]));
                let s: String = chars.take_while(|&c| c != 0).filter_map(char::from_u32).collect();
                s.into_bytes().into()
            };
            let strings = if width == 0 {
                vec![StrBytes::from(&[][..]); numel]
            } else {
                data.chunks_exact(width * 4).map(text).collect()
            };
            Array::new(DType::String, shape, Data::Str(strings))
                .map(Member::Array)
                .map_err(|e| e.to_string())
        }
        Some(b'S') if fits(width) && width > 0 => {
            let strings = data
                .chunks_exact(width)
                .map(|c| StrBytes::from(c.split(|&b| b == 0).next().unwrap_or(&[])))
                .collect();
            Array::new(DType::String, shape, Data::Str(strings))
                .map(Member::Array)
                .map_err(|e| e.to_string())
        }
        _ => Err(format!("its dtype `{code}` is not supported")),
    }
}

fn npy_bytes(array: &Array) -> Result<Vec<u8>, String> {
    let (descr, data) = match (&array.data, array.dtype) {
        (Data::Str(strings), _) => string_data(strings)?,
        (_, dtype) => {
            let code = match dtype {
                DType::Bool => "|b1",
                DType::I8 => "|i1",
                DType::I16 => "<i2",
                DType::I32 => "<i4",
                DType::I64 => "<i8",
                DType::U8 => "|u1",
                DType::U16 => "<u2",
                DType::U32 => "<u4",
                DType::U64 => "<u8",
                DType::F16 => "<f2",
                DType::F32 => "<f4",
                DType::F64 => "<f8",
                DType::C64 => "<c8",
                DType::C128 => "<c16",
                DType::BF16 => "<V2",
                DType::F8E4M3FN
                | DType::F8E4M3FNUZ
                | DType::F8E5M2
                | DType::F8E5M2FNUZ
                | DType::F8E8M0 => "|V1",
                _ => {
                    return Err(format!(
                        "{dtype} arrays cannot be saved; cast them to a wider dtype"
                    ));
                }
            };
            (code.to_owned(), array.to_bytes().map_err(|e| e.to_string())?)
        }
    };
    let dims: Vec<String> = array.shape.iter().map(|d| d.to_string()).collect();
    let shape = match dims.as_slice() {
        [one] => format!("({one},)"),
        _ => format!("({})", dims.join(", ")),
    };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let length = u16::try_from(header.len()).map_err(|_| "the header is too long".to_owned())?;
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend(length.to_le_bytes());
    out.extend(header.into_bytes());
    out.extend(data);
    Ok(out)
}

fn string_data(strings: &[StrBytes]) -> Result<(String, Vec<u8>), String> {
    let texts: Vec<&str> = strings
        .iter()
        .map(|s| std::str::from_utf8(s).map_err(|_| "a string is not UTF-8".to_owned()))
        .collect::<Result<_, _>>()?;
    let width = texts.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(1);
    let mut out = Vec::with_capacity(strings.len() * width * 4);
    for text in texts {
        let end = out.len() + width * 4;
        text.chars().for_each(|c| out.extend((c as u32).to_le_bytes()));
        out.resize(end, 0);
    }
    Ok((format!("<U{width}"), out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        let floats =
            Array::from_f64s(DType::F32, vec![2, 3], &[1.0, 2.5, -3.0, 0.0, 1e9, -0.5]).unwrap();
        let half = Array::from_f64s(DType::BF16, vec![2], &[1.0, 2.5]).unwrap();
        let text = Array::from_strs(vec![2], &["héllo", ""]).unwrap();
        let scalar = Array::from_i64s(DType::I64, vec![], &[7]).unwrap();
        write(&path, [("f/x:0", &floats), ("h", &half), ("t", &text), ("s", &scalar)]).unwrap();
        let mut back = read(&path).unwrap();
        let mut take = |k: &str, d| back.remove(k).unwrap().into_array(d).unwrap();
        assert_eq!(take("f/x:0", None), floats);
        assert_eq!(take("h", Some(DType::BF16)), half);
        assert_eq!(take("t", None), text);
        assert_eq!(take("s", None), scalar);
    }

    #[test]
    fn damaged_members_are_refused() {
        for bytes in
            [&b""[..], b"\x93NUMPY", b"\x93NUMPY\x01\x00\xff\xff", b"\x93NUMPY\x09\x00\x01\x00 "]
        {
            assert!(parse_npy(bytes).is_err());
        }
    }
}
