//! Sums over windows that leave channels apart.

use std::sync::Arc;

use airconv_kernel::run::LaunchError;

use super::constants::Side;
use super::plan::{Layout, offsets};
use super::run::{Compiled, GRAIN, Given, MOST_BATCH, Planned, Shared};
use crate::buffer::Buffer;
use crate::micro::WindowCall;
use crate::pool::ChunkFn;

/// Bytes of an image under the windows of its channels that are done together.
const WINDOWS: i64 = 24 << 10;

/// Images of more bytes than this are read in order, all channels together.
const LARGE: i64 = 512 << 10;

impl Compiled {
    /// Runs sums over windows, channel by channel.
    pub(super) fn windows(
        &self,
        code: ChunkFn,
        plan: &Planned,
        given: &Given<'_>,
    ) -> Result<(), LaunchError> {
        let Some(g) = &plan.gathered else {
            return Err(LaunchError::Broken("windows that are not known".to_owned()));
        };
        let Given { launch, buffers, sizes, constants, pool, .. } = *given;
        let param = self.product.right.param as usize;
        let from: *const f32 = buffers[param].ptr.cast();
        let make = |right: &Layout| pack_window(right, from, self.lanes);
        let weights = if constants.is_constant(launch.buffers[param]) {
            plan.get((launch.buffers[param], Side::Right), || {
                let key = (launch.buffers[param], Side::Right, 0, plan.right.clone());
                constants.get(key, &buffers[param], make)
            })
        } else {
            Arc::new(make(&plan.right))
        };
        let weights = Shared(weights.as_ptr().cast_mut().cast::<f32>());
        let mut status = 0i32;
        let context =
            [given.pointers.as_ptr() as u64, sizes.as_ptr() as u64, (&raw mut status) as u64];
        let base = |param: u32| Shared(buffers[param as usize].ptr.cast::<f32>());
        let (a, c) = (base(self.product.left.param), base(self.product.out.param));
        let busy = plan.operations() > 2.0 * GRAIN && pool.threads() > 1;
        let wanted = if busy { pool.threads() as i64 * 2 } else { 1 };
        let tall = ((plan.m + wanted - 1) / wanted + 7) / 8 * 8;
        let parts = (plan.m + tall - 1) / tall;
        let items = plan.batches * parts;
        let grain = if busy { 1 } else { items as u64 };
        let whole = plan.n.div_euclid(self.lanes) + i64::from(plan.n % self.lanes != 0);
        let block = if plan.m * plan.n * 4 > LARGE {
            whole
        } else {
            let pixels = g.reach(plan.m) / plan.n.max(1) + 1;
            let most = (WINDOWS / 4 / self.lanes / pixels).clamp(1, whole);
            let blocks = (whole + most - 1) / most;
            (whole + blocks - 1) / blocks
        };
        pool.for_each(items as u64, grain, |begin, end| {
            for item in begin as i64..end as i64 {
                let (part, batch) = (item % parts, item / parts);
                let at = plan.at(batch);
                let mut args = [0u64; MOST_BATCH + 3];
                args[..3].copy_from_slice(&context);
                args[3..].copy_from_slice(&at.counters);
                let mut call = WindowCall {
                    a: a.at(at.left),
                    weights: weights.at(0),
                    c: c.at(at.out),
                    args: args.as_ptr().cast(),
                    table: plan.table(g, &at).as_ptr(),
                    zeros: g.zeros.as_ptr(),
                    ldc: plan.out_rows,
                    taps: g.taps,
                    channels: plan.n,
                    block: block * self.lanes,
                };
                let (m0, m1) = (part * tall, ((part + 1) * tall).min(plan.m));
                // SAFETY: the operands and the result are those of the kernel that this product
                // is; every part of the result is written by one item.
                unsafe { (code)((&raw mut call).cast(), m0 as u64, m1 as u64) };
            }
        });
        match status {
            0 => Ok(()),
            code => Err(LaunchError::Check((code - 1) as u32)),
        }
    }
}

/// Weights of windows as the code for them wants them: for each vector of channels all taps.
fn pack_window(right: &Layout, from: *const f32, lanes: i64) -> Buffer {
    let (channels, taps) = (offsets(&right.outer), offsets(&right.inner));
    let vectors = channels.len().div_ceil(lanes as usize);
    let mut out = Buffer::floats(vectors * taps.len() * lanes as usize);
    let to = out.f32s_mut();
    for (c, channel) in channels.iter().enumerate() {
        let (vector, lane) = (c / lanes as usize, c % lanes as usize);
        for (t, tap) in taps.iter().enumerate() {
            // SAFETY: the layout is within the operand, as the kernel that it is from is within
            // its buffers.
            let x = unsafe { from.offset((right.base + channel + tap) as isize).read_unaligned() };
            to[(vector * taps.len() + t) * lanes as usize + lane] = x;
        }
    }
    out
}
