//! Elements in memory.

use half::{bf16, f16};

use crate::ir::Elem;
use crate::memory::Mem;

/// The place of an element, when it is within the memory.
fn place(mem: Mem, elem: Elem, at: i64) -> Option<*mut u8> {
    let size = elem.bytes();
    let at = usize::try_from(at).ok().filter(|at| *at < mem.len / size)?;
    // The product does not overflow: it is below the length.
    Some(mem.ptr.wrapping_add(at * size))
}

fn read<const N: usize>(from: *const u8) -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: `place` gives memory of the buffer, which holds N bytes from there on.
    unsafe { std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), N) };
    u64::from_le_bytes(if cfg!(target_endian = "big") { swapped::<N>(bytes) } else { bytes })
}

fn write<const N: usize>(to: *mut u8, value: u64) {
    let bytes = value.to_le_bytes();
    let bytes = if cfg!(target_endian = "big") { swapped::<N>(bytes) } else { bytes };
    // SAFETY: as in `read`.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, N) };
}

/// The first N bytes in reverse.
fn swapped<const N: usize>(mut bytes: [u8; 8]) -> [u8; 8] {
    bytes[..N].reverse();
    bytes
}

/// The value of an element; `None` outside of the memory.
pub(super) fn load(mem: Mem, elem: Elem, at: i64) -> Option<u64> {
    let from = place(mem, elem, at)?;
    Some(match elem {
        Elem::Bool => u64::from(read::<1>(from) != 0),
        Elem::F16 => u64::from(f16::from_bits(read::<2>(from) as u16).to_f32().to_bits()),
        Elem::Bf16 => u64::from(bf16::from_bits(read::<2>(from) as u16).to_f32().to_bits()),
        _ => match elem.bytes() {
            1 => read::<1>(from),
            2 => read::<2>(from),
            4 => read::<4>(from),
            _ => read::<8>(from),
        },
    })
}

/// Writes an element; `None` outside of the memory.
pub(super) fn store(mem: Mem, elem: Elem, at: i64, value: u64) -> Option<()> {
    let to = place(mem, elem, at)?;
    match elem {
        Elem::F16 => {
            write::<2>(to, f16::from_f32(f32::from_bits(value as u32)).to_bits().into());
        }
        Elem::Bf16 => {
            write::<2>(to, bf16::from_f32(f32::from_bits(value as u32)).to_bits().into());
        }
        _ => match elem.bytes() {
            1 => write::<1>(to, value),
            2 => write::<2>(to, value),
            4 => write::<4>(to, value),
            _ => write::<8>(to, value),
        },
    }
    Some(())
}
