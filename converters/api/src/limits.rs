//! Bounds on untrusted input.

/// Bounds that every reader keeps. Each has a flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most nodes, subgraphs and functions counted.
    pub nodes: u64,
    /// The deepest nesting of subgraphs, types and attributes.
    pub depth: u32,
    /// The highest rank of a tensor.
    pub rank: usize,
    /// The most bytes that decoding may take beyond the file's own.
    pub decoded_bytes: u64,
    /// The most bytes of tensors that are not in the file as they are (made dense, unpacked).
    pub expanded_bytes: u64,
    /// The most functions that specialisation may make.
    pub functions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            nodes: 20_000_000,
            depth: 32,
            rank: 64,
            decoded_bytes: 16 << 30,
            expanded_bytes: 1 << 30,
            functions: 10_000,
        }
    }
}
