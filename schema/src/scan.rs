//! A first walk over the program section that builds nothing.
//!
//! After it, every length in the section is backed by bytes, nesting and counts are within
//! limits, and exactly one value ends where the section ends: what decodes it can neither
//! overflow its stack nor reserve more memory than the section justifies.

use crate::error::{Malformed, ReadError};
use crate::limits::Limits;

fn malformed(label: &'static str, message: String) -> ReadError {
    Malformed { label, message }.into()
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8], ReadError> {
    // C-202: what is announced is there.
    let (head, tail) = bytes.split_at_checked(n).ok_or_else(|| {
        malformed("C-202", format!("a value of {n} bytes, {} are left", bytes.len()))
    })?;
    *bytes = tail;
    Ok(head)
}

fn length(bytes: &mut &[u8], width: usize) -> Result<u64, ReadError> {
    Ok(take(bytes, width)?.iter().fold(0, |n, &b| n << 8 | u64::from(b)))
}

/// Checks C-200 to C-204.
pub(crate) fn scan(mut bytes: &[u8], limits: &Limits) -> Result<(), ReadError> {
    let over = |what, found, limit| Err(ReadError::Limit { what, found, limit });
    if bytes.len() as u64 > limits.program_bytes {
        return over("bytes of the program section", bytes.len() as u64, limits.program_bytes);
    }
    let depth_limit = limits.depth.min(Limits::FORMAT_DEPTH);
    // How many values each open list or map still wants.
    let mut open: Vec<u64> = vec![1];
    let mut items = 0u64;
    while let Some(left) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        items += 1;
        if items > limits.items {
            return over("values in the program section", items, limits.items);
        }
        let marker = length(&mut bytes, 1)? as u8;
        let (string, children) = match marker {
            0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => (None, None),
            0xcc | 0xd0 => (Some((1, false)), None),
            0xcd | 0xd1 => (Some((2, false)), None),
            0xce | 0xd2 => (Some((4, false)), None),
            0xcf | 0xd3 | 0xcb => (Some((8, false)), None),
            0xa0..=0xbf => (Some((u64::from(marker & 31), true)), None),
            0xd9 | 0xc4 => (Some((length(&mut bytes, 1)?, true)), None),
            0xda | 0xc5 => (Some((length(&mut bytes, 2)?, true)), None),
            0xdb | 0xc6 => (Some((length(&mut bytes, 4)?, true)), None),
            0x90..=0x9f => (None, Some(u64::from(marker & 15))),
            0xdc => (None, Some(length(&mut bytes, 2)?)),
            0xdd => (None, Some(length(&mut bytes, 4)?)),
            0x80..=0x8f => (None, Some(2 * u64::from(marker & 15))),
            0xde => (None, Some(2 * length(&mut bytes, 2)?)),
            0xdf => (None, Some(2 * length(&mut bytes, 4)?)),
            // C-201: no extension types, no 32-bit floats, no unassigned markers.
            0xc1 | 0xc7..=0xca | 0xd4..=0xd8 => {
                return Err(malformed("C-201", format!("marker {marker:#04x} has no use here")));
            }
        };
        if let Some((n, text)) = string {
            if text && n > limits.string_bytes {
                return over("bytes of a text", n, limits.string_bytes);
            }
            take(&mut bytes, usize::try_from(n).unwrap_or(usize::MAX))?;
        }
        if let Some(n) = children {
            if n > bytes.len() as u64 {
                let message = format!("a list of {n} values, {} bytes are left", bytes.len());
                return Err(malformed("C-202", message));
            }
            // C-203. The bottom entry is the section itself.
            if open.len() as u64 > u64::from(depth_limit) {
                return over(
                    "nesting in the program section",
                    open.len() as u64,
                    depth_limit.into(),
                );
            }
            open.push(n);
        }
    }
    match bytes.len() {
        0 => Ok(()),
        // C-204: nothing follows the one value.
        n => Err(malformed("C-204", format!("{n} bytes follow the program"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> Result<(), String> {
        scan(bytes, &Limits::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn wrong_lengths_are_found_before_memory_is_taken() {
        assert_eq!(check(&[0x93, 1, 2, 3]), Ok(()));
        assert_eq!(check(&[0x80]), Ok(()));
        for bad in [
            &[][..],
            &[0x93, 1, 2],
            &[0xdd, 0xff, 0xff, 0xff, 0xff],
            &[0xdf, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xc6, 0xff, 0xff, 0xff, 0xff, 1],
            &[0xdb, 0x7f, 0xff, 0xff, 0xff],
            &[0xa3, b'a'],
            &[0xcb, 0],
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
        assert!(check(&[1, 1]).unwrap_err().starts_with("C-204"));
        for marker in [0xc1, 0xc7, 0xca, 0xd4, 0xd8] {
            assert!(check(&[marker, 0, 0, 0, 0, 0]).unwrap_err().starts_with("C-201"));
        }
    }

    #[test]
    fn limits_hold() {
        let nested = |n: usize| [vec![0x91; n], vec![0]].concat();
        assert_eq!(check(&nested(192)), Ok(()));
        assert!(check(&nested(193)).unwrap_err().contains("nesting"));
        let few = Limits { items: 3, ..Limits::default() };
        assert!(scan(&[0x92, 1, 2], &few).is_ok());
        assert!(matches!(scan(&[0x93, 1, 2, 3], &few), Err(ReadError::Limit { limit: 3, .. })));
        let short = Limits { string_bytes: 2, ..Limits::default() };
        assert!(scan(&[0xa2, b'a', b'b'], &short).is_ok());
        assert!(scan(&[0xa3, b'a', b'b', b'c'], &short).is_err());
    }
}
