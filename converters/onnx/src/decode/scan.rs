//! The walk over an encoded message that allocates nothing and adds up what is there.

use bytes::Bytes;

use super::fields::{Field, Kind, Place, Wire};
use super::{BLOCK_OVERHEAD, DecodeError, HARD_DEPTH, Limits, Scan};

/// Checks an encoded message against the limits, and says what is in it.
pub(super) fn scan(kind: Kind, bytes: &[u8], limits: &Limits) -> Result<Scan, DecodeError> {
    let file_bytes = bytes.len() as u64;
    let mut scanner = Scanner {
        data: bytes,
        at: 0,
        max_depth: limits.max_depth.min(HARD_DEPTH),
        max_messages: limits.max_messages,
        max_bytes: limits.memory_for(file_bytes),
        found: Scan { decoded_bytes: kind.size(), ..Scan::default() },
    };
    scanner.message(kind, bytes.len(), 0)?;
    Ok(scanner.found)
}

/// One more than the highest field number of the format.
const TAGS: usize = 27;

/// Length of each vector of the message being scanned, by field number.
type Lengths = [u64; TAGS];

struct Scanner<'a> {
    data: &'a [u8],
    at: usize,
    max_depth: u32,
    max_messages: u64,
    max_bytes: u64,
    found: Scan,
}

impl Scanner<'_> {
    /// Walks the fields of one message that ends at `end`.
    fn message(&mut self, kind: Kind, end: usize, depth: u32) -> Result<(), DecodeError> {
        let mut lengths: Lengths = [0; TAGS];
        self.found.depth = self.found.depth.max(depth);
        while self.at < end {
            let start = self.at;
            let (tag, wire) = self.key(kind, end)?.ok_or_else(|| bad_field(kind, start))?;
            match kind.field(tag) {
                Some((name, field)) => {
                    let here = Here { kind, name, tag, start, end, depth };
                    self.field(&here, field, wire, &mut lengths)?;
                }
                None => {
                    self.found.unknown_fields += 1;
                    self.found.first_unknown.get_or_insert((kind.name(), tag));
                    self.skip(kind, tag, wire, start, end, depth)?;
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        here: &Here,
        field: Field,
        wire: Wire,
        lengths: &mut Lengths,
    ) -> Result<(), DecodeError> {
        let expected = match field {
            Field::Numbers(..) if wire == Wire::Delimited => Wire::Delimited,
            Field::Number(number) | Field::Numbers(number, _) => number,
            _ => Wire::Delimited,
        };
        if wire != expected {
            return Err(DecodeError::WrongKind {
                message: here.kind.name(),
                field: here.name,
                offset: here.start as u64,
            });
        }
        match field {
            Field::Number(_) => {
                self.value(here.kind, wire, here.start, here.end)?;
            }
            Field::Numbers(number, size) => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                let count = match (wire, number) {
                    (Wire::Delimited, Wire::Varint) => self.packed_varints(here, from, to)?,
                    (Wire::Delimited, _) => {
                        let width = if number == Wire::Fixed32 { 4 } else { 8 };
                        if (to - from) % width != 0 {
                            return Err(truncated(here.kind, here.start));
                        }
                        ((to - from) / width) as u64
                    }
                    _ => 1,
                };
                self.extend(here, count, size, lengths)?;
            }
            Field::Text | Field::Texts => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                if std::str::from_utf8(&self.data[from..to]).is_err() {
                    return Err(DecodeError::InvalidUtf8 {
                        message: here.kind.name(),
                        field: here.name,
                        offset: from as u64,
                    });
                }
                if to > from {
                    self.charge(here, ((to - from) as u64).max(8) + BLOCK_OVERHEAD)?;
                }
                if matches!(field, Field::Texts) {
                    self.extend(here, 1, size_of::<String>() as u64, lengths)?;
                }
            }
            Field::Blob => {
                self.value(here.kind, wire, here.start, here.end)?;
            }
            Field::Blobs => {
                self.value(here.kind, wire, here.start, here.end)?;
                self.extend(here, 1, size_of::<Bytes>() as u64, lengths)?;
            }
            Field::Nested(inner, place) => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                if here.depth >= self.max_depth {
                    return Err(self.too_deep(here.kind, here.start));
                }
                self.found.messages += 1;
                if self.found.messages > self.max_messages {
                    return Err(DecodeError::TooManyMessages { limit: self.max_messages });
                }
                match place {
                    Place::Inline => {}
                    Place::Boxed => self.charge(here, inner.size() + BLOCK_OVERHEAD)?,
                    Place::List => self.extend(here, 1, inner.size(), lengths)?,
                }
                self.at = from;
                self.message(inner, to, here.depth + 1)?;
            }
        }
        Ok(())
    }

    /// Reads past a value and returns where its content lies; a group is not a value.
    fn value(
        &mut self,
        kind: Kind,
        wire: Wire,
        start: usize,
        end: usize,
    ) -> Result<(usize, usize), DecodeError> {
        let length = match wire {
            Wire::Varint => {
                let from = self.at;
                self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))?;
                return Ok((from, self.at));
            }
            Wire::Fixed32 => 4,
            Wire::Fixed64 => 8,
            Wire::Delimited => self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))?,
            Wire::StartGroup => return Err(bad_field(kind, start)),
        };
        let from = self.at;
        let stop = usize::try_from(length).ok().and_then(|length| from.checked_add(length));
        match stop {
            Some(stop) if stop <= end => {
                self.at = stop;
                Ok((from, stop))
            }
            _ => Err(truncated(kind, start)),
        }
    }

    /// Reads past a field that the format does not have.
    fn skip(
        &mut self,
        kind: Kind,
        tag: u32,
        wire: Wire,
        start: usize,
        end: usize,
        depth: u32,
    ) -> Result<(), DecodeError> {
        if depth >= HARD_DEPTH {
            return Err(self.too_deep(kind, start));
        }
        if wire != Wire::StartGroup {
            return self.value(kind, wire, start, end).map(|_| ());
        }
        if depth >= self.max_depth {
            return Err(self.too_deep(kind, start));
        }
        loop {
            let inner = self.at;
            if inner >= end {
                return Err(truncated(kind, start));
            }
            let key = self.raw_key(kind, end)?;
            if key == (u64::from(tag) << 3 | 4) {
                return Ok(());
            }
            let (tag, wire) = split_key(key).ok_or_else(|| bad_field(kind, inner))?;
            self.skip(kind, tag, wire, inner, end, depth + 1)?;
        }
    }

    /// Field number and wire type; none where there is no valid key.
    fn key(&mut self, kind: Kind, end: usize) -> Result<Option<(u32, Wire)>, DecodeError> {
        Ok(split_key(self.raw_key(kind, end)?))
    }

    fn raw_key(&mut self, kind: Kind, end: usize) -> Result<u64, DecodeError> {
        let start = self.at;
        self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))
    }

    /// A variable-length number; none where it does not fit 64 bits.
    fn varint(&mut self, kind: Kind, end: usize) -> Result<Option<u64>, DecodeError> {
        let start = self.at;
        let mut number = 0u64;
        for (index, byte) in self.data[start..end].iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Ok(None);
            }
            number |= u64::from(*byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at = start + index + 1;
                return Ok(Some(number));
            }
        }
        Err(truncated(kind, start))
    }

    /// Number of variable-length numbers in a packed list.
    fn packed_varints(&self, here: &Here, from: usize, to: usize) -> Result<u64, DecodeError> {
        let (mut count, mut width) = (0u64, 0u32);
        for byte in &self.data[from..to] {
            width += 1;
            if width > 10 || (width == 10 && *byte > 1) {
                return Err(bad_field(here.kind, here.start));
            }
            if *byte < 0x80 {
                count += 1;
                width = 0;
            }
        }
        if width != 0 {
            return Err(truncated(here.kind, here.start));
        }
        Ok(count)
    }

    /// Accounts for `count` more items in a vector, whose capacity doubles as it grows.
    fn extend(
        &mut self,
        here: &Here,
        count: u64,
        size: u64,
        lengths: &mut Lengths,
    ) -> Result<(), DecodeError> {
        if count == 0 {
            return Ok(());
        }
        let length = &mut lengths[here.tag as usize];
        let before = capacity(*length, size);
        *length = length.saturating_add(count);
        let after = capacity(*length, size);
        let block = if before == 0 { BLOCK_OVERHEAD } else { 0 };
        self.charge(here, (after - before).saturating_mul(size).saturating_add(block))
    }

    fn charge(&mut self, here: &Here, bytes: u64) -> Result<(), DecodeError> {
        self.found.decoded_bytes = self.found.decoded_bytes.saturating_add(bytes);
        if self.found.decoded_bytes > self.max_bytes {
            return Err(DecodeError::TooMuchMemory {
                file_bytes: self.data.len() as u64,
                limit: self.max_bytes,
                offset: here.start as u64,
                message: here.kind.name(),
            });
        }
        Ok(())
    }

    fn too_deep(&self, kind: Kind, start: usize) -> DecodeError {
        DecodeError::TooDeep { limit: self.max_depth, offset: start as u64, message: kind.name() }
    }
}

/// A field and where it stands.
struct Here {
    kind: Kind,
    name: &'static str,
    tag: u32,
    start: usize,
    end: usize,
    depth: u32,
}

/// Items that a vector grown one by one to this length has room for.
fn capacity(length: u64, size: u64) -> u64 {
    match length {
        0 => 0,
        _ => {
            let least = if size <= 1024 { 4 } else { 1 };
            length.checked_next_power_of_two().unwrap_or(u64::MAX).max(least)
        }
    }
}

fn split_key(key: u64) -> Option<(u32, Wire)> {
    let key = u32::try_from(key).ok()?;
    let wire = match key & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Delimited,
        3 => Wire::StartGroup,
        5 => Wire::Fixed32,
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, wire))
}

fn bad_field(kind: Kind, start: usize) -> DecodeError {
    DecodeError::BadField { offset: start as u64, message: kind.name() }
}

fn truncated(kind: Kind, start: usize) -> DecodeError {
    DecodeError::Truncated { offset: start as u64, message: kind.name() }
}
