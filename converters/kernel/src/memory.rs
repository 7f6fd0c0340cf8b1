//! Memory of a run.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Alignment of every block, in bytes.
pub const ALIGN: usize = 64;

/// Bytes past the end of every block that vector code may read, never use.
pub const SLACK: usize = 64;

/// A block of zeroed memory.
#[derive(Debug)]
pub struct Block {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: a block owns its memory and hands out raw pointers only.
unsafe impl Send for Block {}
// SAFETY: as above; whoever writes through the pointers sees to their order.
unsafe impl Sync for Block {}

impl Block {
    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.checked_add(SLACK)?, ALIGN).ok()
    }

    /// A block of so many bytes; `None` when there is not that much memory.
    pub fn new(len: usize) -> Option<Block> {
        let layout = Self::layout(len)?;
        // SAFETY: the layout is not empty.
        let ptr = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Block { ptr, len })
    }

    /// Its memory.
    pub fn mem(&self) -> Mem {
        Mem { ptr: self.ptr.as_ptr(), len: self.len }
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the block owns that many bytes; no kernel runs while a caller looks at them.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// Its bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.len) {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.ptr.as_ptr(), layout) }
        }
    }
}

/// Memory that a kernel parameter refers to.
#[derive(Clone, Copy, Debug)]
pub struct Mem {
    /// The first byte, aligned to [`ALIGN`] for blocks of a run, to the element else.
    pub ptr: *mut u8,
    /// The number of bytes.
    pub len: usize,
}
