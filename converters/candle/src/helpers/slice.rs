use candle_core::{Result, Tensor};

/// A part of an axis. Bounds below zero count from its end, and those outside of it are its ends.
pub fn slice(x: &Tensor, axis: usize, start: i64, end: i64) -> Result<Tensor> {
    let len = x.dim(axis)? as i64;
    let bound = |at: i64| if at < 0 { (at + len).max(0) } else { at.min(len) };
    let (start, end) = (bound(start), bound(end));
    x.narrow(axis, start as usize, (end - start).max(0) as usize)
}
