//! Memory for kernels: aligned, zeroed, on huge pages where it is large.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

const CACHE_LINE: usize = 64;
const HUGE_PAGE: usize = 2 << 20;

/// Zeroed bytes at an address that suits vector loads: a multiple of 64, and from 2 MiB on a
/// multiple of 2 MiB with huge pages advised for all of them that are filled.
pub struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: the bytes are owned, and shared only through references.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

impl Buffer {
    /// A buffer of `len` zero bytes.
    ///
    /// # Panics
    /// When `len` is beyond what a process can address. Like all Rust collections it ends the
    /// process when the system has no memory.
    pub fn new(len: usize) -> Buffer {
        let align = if len >= HUGE_PAGE { HUGE_PAGE } else { CACHE_LINE };
        let size = len.max(1).checked_next_multiple_of(CACHE_LINE).expect("buffer size overflows");
        let layout = Layout::from_size_align(size, align).expect("buffer size overflows");
        // SAFETY: the size is not zero.
        let start = unsafe { alloc(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        #[cfg(target_os = "linux")]
        if align == HUGE_PAGE {
            let filled = size - size % HUGE_PAGE;
            // SAFETY: advice on memory that is ours, which may be ignored.
            unsafe { libc::madvise(start.as_ptr().cast(), filled, libc::MADV_HUGEPAGE) };
        }
        // Only now, since the first write decides the size of pages.
        // SAFETY: `size` bytes were allocated.
        unsafe { start.as_ptr().write_bytes(0, size) };
        Buffer { start, layout, len }
    }

    /// A buffer of `len` zero floats.
    pub fn floats(len: usize) -> Buffer {
        Buffer::new(len.checked_mul(4).expect("buffer size overflows"))
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address, for kernels.
    pub fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }

    /// The address, for kernels that write.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: allocated, initialised with zeros, and ours.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// The bytes, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }

    /// The bytes as floats; a remainder is left out.
    pub fn f32s(&self) -> &[f32] {
        // SAFETY: aligned to 64, within the bytes, and every pattern is a float.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The bytes as floats, to be changed.
    pub fn f32s_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned_and_zero() {
        for len in [0, 1, 63, 4096, 1 << 20, (5 << 20) + 3] {
            let mut buffer = Buffer::new(len);
            assert_eq!(buffer.as_ptr() as usize % 64, 0);
            assert!(len < HUGE_PAGE || (buffer.as_ptr() as usize).is_multiple_of(HUGE_PAGE));
            assert!(buffer.bytes().iter().all(|&b| b == 0));
            assert_eq!((buffer.len(), buffer.is_empty()), (len, len == 0));
            buffer.bytes_mut().fill(255);
        }
        let mut floats = Buffer::floats(3);
        floats.f32s_mut()[2] = 1.5;
        assert_eq!(floats.f32s(), &[0.0, 0.0, 1.5]);
    }
}
