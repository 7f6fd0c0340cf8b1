//! Limits on what a file may ask of its reader.

/// How much a file may hold. A file over a limit is refused before memory is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file.
    pub file_bytes: u64,
    /// Bytes of the program section.
    pub program_bytes: u64,
    /// MessagePack values in the program section: numbers, texts, lists, maps and keys.
    pub items: u64,
    /// Nesting of lists and maps in the program section. The format itself allows
    /// [`Limits::FORMAT_DEPTH`].
    pub depth: u32,
    /// Bytes of one text or byte string in the program section.
    pub string_bytes: u64,
}

impl Limits {
    /// The deepest nesting that a file may have (C-203).
    pub const FORMAT_DEPTH: u32 = 192;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 1 << 44,
            program_bytes: 1 << 30,
            items: 1 << 26,
            depth: Self::FORMAT_DEPTH,
            string_bytes: 1 << 28,
        }
    }
}
