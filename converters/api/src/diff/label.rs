//! What a node says, without the names of values and the numbers of things.

use airconv_ir::attr::Attr;
use airconv_ir::dim::Dim;
use airconv_ir::entity::{FuncId, NodeId, RegionId, TensorId, ValueId};
use airconv_ir::module::{Function, Module};
use airconv_ir::op::Op;
use airconv_ir::tensor::{Storage, Tensor};
use rustc_hash::FxHashMap;

/// A digest.
pub(super) type Hash = [u8; 16];

/// The deepest nesting of regions and attributes that is looked into.
pub(super) const DEEPEST: u32 = 64;

/// The digest of some parts.
pub(super) fn hash(parts: &[&[u8]]) -> Hash {
    let mut h = blake3::Hasher::new();
    for part in parts {
        h.update(&(part.len() as u64).to_le_bytes());
        h.update(part);
    }
    let mut out = Hash::default();
    out.copy_from_slice(&h.finalize().as_bytes()[..16]);
    out
}

/// One function of one of the two programs.
pub(super) struct Side<'m> {
    pub module: &'m Module,
    pub func: FuncId,
    pub f: &'m Function,
    tensors: FxHashMap<TensorId, Hash>,
}

impl<'m> Side<'m> {
    pub(super) fn new(module: &'m Module, func: FuncId) -> Self {
        Self { module, func, f: &module.functions[func], tensors: FxHashMap::default() }
    }

    /// The op and its fields as text, regions left out.
    pub(super) fn fields(&mut self, node: NodeId) -> Vec<(&'static str, String)> {
        let f = self.f;
        let Some(n) = f.nodes.get(node) else { return Vec::new() };
        // Why a node is opaque is a message, not a meaning.
        let opaque = matches!(n.op, Op::Opaque(_));
        let attrs = n.op.attrs();
        attrs
            .iter()
            .filter(|(name, _)| !(opaque && *name == "reason"))
            .map(|(name, attr)| (*name, self.attr(attr, 0)))
            .collect()
    }

    /// The digest of the op and its fields, regions left out.
    pub(super) fn label(&mut self, node: NodeId) -> Hash {
        let Some(n) = self.f.nodes.get(node) else { return Hash::default() };
        let mut text = n.op.name().to_owned();
        for (name, value) in self.fields(node) {
            text.push_str(&format!("\u{1}{name}={value}"));
        }
        text.push_str(&format!("\u{1}{}", n.results.len()));
        hash(&[text.as_bytes()])
    }

    /// A symbol by its name if it is the size of an input axis, else by its reason: such names
    /// are made up when a program is read.
    fn symbols(&self, dim: &Dim) -> String {
        dim.display(&|s| match self.f.symbols.get(s) {
            Some(x) => match &x.why {
                None => x.name.clone(),
                Some(why) => format!("<{why}>"),
            },
            None => s.to_string(),
        })
        .to_string()
    }

    fn attr(&mut self, attr: &Attr, depth: u32) -> String {
        if depth > DEEPEST {
            return "...".to_owned();
        }
        match attr {
            Attr::Bool(v) => v.to_string(),
            Attr::Int(v) => v.to_string(),
            Attr::Float(v) => format!("{:?}", v.0),
            Attr::Str(v) => format!("{v:?}"),
            Attr::Bytes(v) => format!("bytes {}", hex(&hash(&[v]))),
            Attr::DType(v) => v.to_string(),
            Attr::Dim(v) => self.symbols(v),
            Attr::Dims(v) => {
                let texts: Vec<String> = v.iter().map(|d| self.symbols(d)).collect();
                format!("[{}]", texts.join(", "))
            }
            Attr::Type(v) => airconv_ir::text::print_type(self.f, v),
            Attr::Tensor(v) => self.tensor(*v),
            Attr::Region(_) => "region".to_owned(),
            Attr::Func(v) => {
                self.module.functions.get(*v).map_or_else(|| v.to_string(), |f| f.name.clone())
            }
            Attr::Ints(v) => format!("{v:?}"),
            Attr::Floats(v) => format!("{:?}", v.iter().map(|x| x.0).collect::<Vec<_>>()),
            Attr::Strs(v) => format!("{v:?}"),
            Attr::List(v) => {
                let texts: Vec<String> = v.iter().map(|a| self.attr(a, depth + 1)).collect();
                format!("[{}]", texts.join(", "))
            }
            Attr::Map(v) => {
                let texts: Vec<String> =
                    v.iter().map(|(k, a)| format!("{k}: {}", self.attr(a, depth + 1))).collect();
                format!("{{{}}}", texts.join(", "))
            }
        }
    }

    /// A tensor by type and contents.
    fn tensor(&mut self, id: TensorId) -> String {
        let Some(t) = self.module.tensors.get(id) else { return id.to_string() };
        let digest = *self.tensors.entry(id).or_insert_with(|| contents(t));
        format!("{}{:?} {}", t.dtype, t.dims, hex(&digest))
    }

    /// The digest of a region: what it computes from its parameters.
    pub(super) fn region(&mut self, region: RegionId, depth: u32) -> Hash {
        let f = self.f;
        let Some(r) = f.regions.get(region) else { return Hash::default() };
        let params = r.params.iter().zip(0u64..);
        let params = params.map(|(&p, i)| (p, hash(&[b"param", &i.to_le_bytes()]))).collect();
        let values = self.forward(region, params, depth);
        let results: Vec<&[u8]> =
            r.results.iter().filter_map(|v| values.get(v)).map(|h| &h[..]).collect();
        hash(&results)
    }

    /// The digests of all values of a region: what each is computed from.
    pub(super) fn forward(
        &mut self,
        region: RegionId,
        mut values: FxHashMap<ValueId, Hash>,
        depth: u32,
    ) -> FxHashMap<ValueId, Hash> {
        let f = self.f;
        let Some(r) = f.regions.get(region) else { return values };
        for &node in &r.nodes {
            let Some(n) = f.nodes.get(node) else { continue };
            let made = self.node(node, &values, depth);
            for (i, result) in n.results.iter().enumerate() {
                if let Some(v) = result {
                    values.insert(*v, hash(&[&made, &(i as u64).to_le_bytes()]));
                }
            }
        }
        values
    }

    /// The digest of a node with its regions, on operands of these digests.
    pub(super) fn node(
        &mut self,
        node: NodeId,
        values: &FxHashMap<ValueId, Hash>,
        depth: u32,
    ) -> Hash {
        let f = self.f;
        let Some(n) = f.nodes.get(node) else { return Hash::default() };
        let mut parts: Vec<Hash> = vec![self.label(node)];
        for operand in &n.operands {
            parts.push(operand.and_then(|v| values.get(&v).copied()).unwrap_or_default());
        }
        if depth < DEEPEST {
            for inner in n.regions() {
                parts.push(self.region(inner, depth + 1));
            }
        }
        let parts: Vec<&[u8]> = parts.iter().map(|h| &h[..]).collect();
        hash(&parts)
    }
}

fn hex(hash: &Hash) -> String {
    hash.iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// The digest of the elements, however they are stored.
fn contents(t: &Tensor) -> Hash {
    match &t.storage {
        Storage::Splat(one) => hash(&[b"splat", one]),
        Storage::Bytes(bytes) => {
            let width = usize::try_from(t.dtype.bits()).unwrap_or(0) / 8;
            let one = bytes.get(..width).filter(|one| {
                width > 0 && bytes.len() > width && bytes.chunks_exact(width).all(|c| c == *one)
            });
            match one {
                Some(one) => hash(&[b"splat", one]),
                None if bytes.len() == width && width > 0 => hash(&[b"splat", bytes]),
                None => hash(&[b"bytes", bytes]),
            }
        }
        Storage::Strings(all) => {
            let parts: Vec<&[u8]> = all.iter().map(|s| &s[..]).collect();
            hash(&parts)
        }
        Storage::External { path, offset, length } => {
            hash(&[b"external", path.as_bytes(), &offset.to_le_bytes(), &length.to_le_bytes()])
        }
    }
}
