//! Writing pickles of protocol 2, the one that `torch.load` and the TorchScript loader take.

use airconv_ir::dtype::DType;

use crate::common::dtype;

/// A pickle being written. Values are written one after the other, each container between its
/// opening and its closing call; nothing is shared, as nothing needs to be.
#[derive(Clone, Debug)]
pub struct PickleWriter {
    out: Vec<u8>,
}

/// What a tensor in a pickle consists of.
#[derive(Clone, Copy, Debug)]
pub struct TensorParts<'a> {
    /// The name of the storage, `0` for `data/0`.
    pub key: &'a str,
    /// The element type.
    pub dtype: DType,
    /// The number of elements of the storage.
    pub numel: u64,
    /// The first element.
    pub offset: u64,
    /// The size of each axis.
    pub sizes: &'a [u64],
    /// The distance of neighbours on each axis.
    pub strides: &'a [i64],
    /// Whether it is trained.
    pub requires_grad: bool,
}

impl Default for PickleWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl PickleWriter {
    /// Begins a pickle.
    pub fn new() -> Self {
        Self { out: vec![0x80, 2] }
    }
    /// Ends it.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(b'.');
        self.out
    }
    fn op(&mut self, op: u8) -> &mut Self {
        self.out.push(op);
        self
    }

    /// `None`.
    pub fn none(&mut self) -> &mut Self {
        self.op(b'N')
    }
    /// A truth value.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.op(if value { 0x88 } else { 0x89 })
    }
    /// An integer, in the shortest form.
    pub fn int(&mut self, value: i64) -> &mut Self {
        if let Ok(n) = u8::try_from(value) {
            self.out.extend([b'K', n]);
        } else if let Ok(n) = u16::try_from(value) {
            self.op(b'M').out.extend(n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(value) {
            self.op(b'J').out.extend(n.to_le_bytes());
        } else {
            self.out.extend([0x8a, 8]);
            self.out.extend(value.to_le_bytes());
        }
        self
    }
    /// A float.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.op(b'G').out.extend(value.to_be_bytes());
        self
    }
    /// A text of less than 4 GiB; what is beyond that is cut off.
    pub fn str(&mut self, text: &str) -> &mut Self {
        let mut end = text.len().min(u32::MAX as usize);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.op(b'X').out.extend((end as u32).to_le_bytes());
        self.out.extend(&text.as_bytes()[..end]);
        self
    }
    /// A name in a module. Neither may have a line break.
    pub fn global(&mut self, module: &str, name: &str) -> &mut Self {
        self.op(b'c');
        for part in [module, name] {
            self.out.extend(part.bytes().filter(|&b| b != b'\n'));
            self.out.push(b'\n');
        }
        self
    }
    /// Begins a tuple, a list, or the entries of a dictionary.
    pub fn mark(&mut self) -> &mut Self {
        self.op(b'(')
    }
    /// Ends a tuple that [`mark`](Self::mark) began.
    pub fn tuple(&mut self) -> &mut Self {
        self.op(b't')
    }
    /// The empty tuple.
    pub fn empty_tuple(&mut self) -> &mut Self {
        self.op(b')')
    }
    /// Begins a list; its elements follow.
    pub fn list(&mut self) -> &mut Self {
        self.op(b']').op(b'(')
    }
    /// Ends a list.
    pub fn end_list(&mut self) -> &mut Self {
        self.op(b'e')
    }
    /// Begins a dictionary; keys and values follow in turn.
    pub fn dict(&mut self) -> &mut Self {
        self.op(b'}').op(b'(')
    }
    /// Ends a dictionary.
    pub fn end_dict(&mut self) -> &mut Self {
        self.op(b'u')
    }
    /// Calls the name below with the tuple on top.
    pub fn reduce(&mut self) -> &mut Self {
        self.op(b'R')
    }
    /// Begins an object of a class of the program; a dictionary of its attributes follows.
    pub fn object(&mut self, module: &str, class: &str) -> &mut Self {
        self.global(module, class).op(b')').op(0x81)
    }
    /// Ends an object.
    pub fn end_object(&mut self) -> &mut Self {
        self.op(b'b')
    }
    /// A tuple of integers.
    pub fn ints(&mut self, values: impl IntoIterator<Item = i64>) -> &mut Self {
        self.mark();
        for value in values {
            self.int(value);
        }
        self.tuple()
    }
    /// A tensor over a storage of the archive. Fails for a dtype that PyTorch does not have.
    pub fn tensor(&mut self, parts: &TensorParts<'_>) -> Option<&mut Self> {
        let class = dtype::to_storage(parts.dtype)?;
        let signed = |n: u64| i64::try_from(n).ok();
        let sizes = parts.sizes.iter().map(|&n| signed(n)).collect::<Option<Vec<_>>>()?;
        let (numel, offset) = (signed(parts.numel)?, signed(parts.offset)?);
        self.global("torch._utils", "_rebuild_tensor_v2").mark();
        self.mark().str("storage").global("torch", &class).str(parts.key).str("cpu").int(numel);
        self.tuple().op(b'Q').int(offset);
        self.ints(sizes).ints(parts.strides.iter().copied()).bool(parts.requires_grad);
        self.global("collections", "OrderedDict").empty_tuple().reduce();
        Some(self.tuple().reduce())
    }
}
