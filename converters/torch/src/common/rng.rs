//! Damage for tests: the same every time.

/// A generator of reproducible numbers (xorshift).
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
    /// The bytes with a few of them changed, left out, doubled or moved.
    pub(crate) fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            let at = self.below(out.len());
            match self.below(5) {
                0 => out.truncate(at),
                1 if !out.is_empty() => drop(out.remove(at)),
                2 if !out.is_empty() => out.insert(at, out[at]),
                3 if !out.is_empty() => {
                    let other = self.below(out.len());
                    out.swap(at, other);
                }
                _ if !out.is_empty() => out[at] = self.below(256) as u8,
                _ => {}
            }
        }
        out
    }
}
