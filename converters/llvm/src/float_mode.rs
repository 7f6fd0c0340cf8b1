//! How the processor treats subnormal numbers.
//!
//! Arithmetic on subnormal numbers takes a hundred times as long on many processors. Kernels run
//! with them flushed to zero, in operands and in results; the mode of the caller's thread is
//! restored afterwards. Only generated code computes while a guard is alive: Rust's own floating
//! point arithmetic assumes the default mode.

use std::marker::PhantomData;

/// While it lives, this thread flushes subnormal numbers to zero.
#[derive(Debug)]
pub struct FlushGuard {
    before: u64,
    // The mode is that of one thread.
    _not_send: PhantomData<*const ()>,
}

impl FlushGuard {
    /// Sets the mode, and remembers the one before.
    pub fn new() -> FlushGuard {
        let before = read();
        let wanted = before | FLUSH;
        if wanted != before {
            write(wanted);
        }
        FlushGuard { before, _not_send: PhantomData }
    }
}

impl Default for FlushGuard {
    fn default() -> Self {
        FlushGuard::new()
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        if self.before & FLUSH != FLUSH {
            write(self.before);
        }
    }
}

/// Whether this thread flushes subnormal numbers.
pub fn flushes() -> bool {
    FLUSH != 0 && read() & FLUSH == FLUSH
}

#[cfg(target_arch = "x86_64")]
mod register {
    /// Flush to zero and denormals are zero, in MXCSR.
    pub const FLUSH: u64 = 1 << 15 | 1 << 6;

    pub fn read() -> u64 {
        let mut value = 0u32;
        // SAFETY: stores four bytes where `value` is.
        unsafe {
            std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut value,
                options(nostack, preserves_flags));
        }
        u64::from(value)
    }

    pub fn write(value: u64) {
        let value = value as u32;
        // SAFETY: loads four bytes; only bits that `read` gave and the two above are set.
        unsafe {
            std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const value,
                options(nostack, preserves_flags));
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod register {
    /// Flush to zero, in FPCR.
    pub const FLUSH: u64 = 1 << 24;

    pub fn read() -> u64 {
        let value: u64;
        // SAFETY: reads a control register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) value, options(nostack, nomem)) };
        value
    }

    pub fn write(value: u64) {
        // SAFETY: sets what `read` gave, and the bit above.
        unsafe { std::arch::asm!("msr fpcr, {}", in(reg) value, options(nostack, nomem)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod register {
    pub const FLUSH: u64 = 0;

    pub fn read() -> u64 {
        0
    }

    pub fn write(_: u64) {}
}

use register::{FLUSH, read, write};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_nest_and_restore() {
        assert!(!flushes());
        {
            let _outer = FlushGuard::new();
            assert!(flushes());
            drop(FlushGuard::new());
            assert!(flushes());
        }
        assert!(!flushes());
    }
}
