//! The header: named values and records of tensors.

use airconv_api::Limits;
use bytes::Bytes;

use crate::error::FileError;

/// The longest text that is kept of a named value.
const LONGEST: usize = 256;
/// The elements of a list that are kept as text.
const SHOWN: u64 = 8;
/// The deepest nesting of lists.
const DEEPEST: u32 = 4;
/// Where elements begin, unless the file says otherwise: at multiples of this.
const ALIGNMENT: u64 = 32;

/// What a file says before its elements.
pub(super) struct Header {
    /// Named values as text, long lists shortened.
    pub metadata: Vec<(String, String)>,
    pub tensors: Vec<Record>,
    /// Where the elements begin.
    pub data: u64,
}

/// A tensor of the file.
pub(super) struct Record {
    pub name: String,
    /// Sizes, the last one that of neighbours; the file has them in the other order.
    pub shape: Vec<u64>,
    /// The number of the type of its elements.
    pub kind: u32,
    /// Where they are, counted from where all begin.
    pub offset: u64,
}

impl Header {
    pub fn read(bytes: &Bytes, limits: &Limits) -> Result<Self, FileError> {
        let mut cursor = Cursor { rest: bytes };
        cursor.take(4)?;
        let version = cursor.u32()?;
        if !(2..=3).contains(&version) {
            let why = format!("version {version} of the format is not supported, 2 and 3 are");
            return Err(FileError::unsupported("", why));
        }
        let (tensors, values) = (cursor.u64()?, cursor.u64()?);
        if tensors > limits.nodes || values > limits.nodes {
            return Err(FileError::limit("", format!("it has {tensors} tensors")));
        }
        let mut metadata = Vec::new();
        let mut alignment = ALIGNMENT;
        for _ in 0..values {
            let key = cursor.text()?;
            let kind = cursor.u32()?;
            let value = cursor.value(kind, 0)?;
            if key == "general.alignment" {
                alignment =
                    value.parse().ok().filter(|a: &u64| a.is_power_of_two()).ok_or_else(|| {
                        FileError::malformed("", format!("an alignment of {value} bytes"))
                    })?;
            }
            metadata.push((key, value));
        }
        let mut records = Vec::new();
        for _ in 0..tensors {
            records.push(cursor.record(limits)?);
        }
        let read = (bytes.len() - cursor.rest.len()) as u64;
        let data = read.checked_next_multiple_of(alignment).unwrap_or(u64::MAX);
        Ok(Self { metadata, tensors: records, data })
    }
}

/// Bytes that are still to be read.
struct Cursor<'b> {
    rest: &'b [u8],
}

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], FileError> {
        match self.rest.split_at_checked(count) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(FileError::malformed("", "the header of the file is cut off")),
        }
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    fn u32(&mut self) -> Result<u32, FileError> {
        self.array().map(u32::from_le_bytes)
    }
    fn u64(&mut self) -> Result<u64, FileError> {
        self.array().map(u64::from_le_bytes)
    }
    fn text(&mut self) -> Result<String, FileError> {
        let length = usize::try_from(self.u64()?).unwrap_or(usize::MAX);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    /// A named value as text.
    fn value(&mut self, kind: u32, depth: u32) -> Result<String, FileError> {
        Ok(match kind {
            0 => u8::from_le_bytes(self.array()?).to_string(),
            1 => i8::from_le_bytes(self.array()?).to_string(),
            2 => u16::from_le_bytes(self.array()?).to_string(),
            3 => i16::from_le_bytes(self.array()?).to_string(),
            4 => self.u32()?.to_string(),
            5 => i32::from_le_bytes(self.array()?).to_string(),
            6 => f32::from_le_bytes(self.array()?).to_string(),
            7 => (self.array::<1>()? != [0]).to_string(),
            8 => shortened(self.text()?),
            9 => self.list(depth)?,
            10 => self.u64()?.to_string(),
            11 => i64::from_le_bytes(self.array()?).to_string(),
            12 => f64::from_le_bytes(self.array()?).to_string(),
            other => {
                return Err(FileError::malformed("", format!("a named value of type {other}")));
            }
        })
    }

    /// A list as text: its first elements, and how many there are.
    fn list(&mut self, depth: u32) -> Result<String, FileError> {
        if depth == DEEPEST {
            return Err(FileError::limit("", format!("lists are nested more than {DEEPEST} deep")));
        }
        let (kind, count) = (self.u32()?, self.u64()?);
        let mut shown = Vec::new();
        for i in 0..count {
            let value = self.value(kind, depth + 1)?;
            if i < SHOWN {
                shown.push(value);
            }
        }
        let more = if count > SHOWN { format!(", ... {count} in all") } else { String::new() };
        Ok(format!("[{}{more}]", shown.join(", ")))
    }

    fn record(&mut self, limits: &Limits) -> Result<Record, FileError> {
        let name = self.text()?;
        let rank = self.u32()? as usize;
        if rank > limits.rank {
            return Err(FileError::limit(name, format!("a tensor has {rank} axes")));
        }
        let mut shape = Vec::new();
        for _ in 0..rank {
            shape.push(self.u64()?);
        }
        shape.reverse();
        Ok(Record { name, shape, kind: self.u32()?, offset: self.u64()? })
    }
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
