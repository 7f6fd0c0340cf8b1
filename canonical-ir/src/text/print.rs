//! A module as text.

use std::fmt::{self, Write as _};
use std::io;

use super::lex::{id_number, is_name};
use super::number::{decode, float, hex, quote};
use super::{PrintOptions, VERSION, source_default};
use crate::attr::Attr;
use crate::dim::{Dim, Range};
use crate::entity::{EntityId, FuncId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{
    ArgKindRole, Def, Entity, Function, InputRole, Module, Node, Origin, OutputRole,
};
use crate::op::Op;
use crate::tensor::{Storage, Tensor};
use crate::types::{TensorType, Type};

/// Most elements of a tensor that are written as numbers.
const NUMBERS: u64 = 64;
/// Most elements of a constant that are shown beside its node.
const SHOWN: u64 = 6;
/// Nesting beyond which a region is written on its own, not within its node. Well below
/// the limit when reading.
const DEEP: u32 = 48;
/// Most parameters on one line.
const PARAMS: usize = 4;
/// Longest text of a size with the names of its symbols; above it they stand by id.
const LONG_DIM: usize = 1 << 15;
/// Bytes that are kept before they go to the writer.
const CHUNK: usize = 1 << 16;

/// Where the text goes: to memory, or through memory to a writer.
#[derive(Default)]
struct Out<'a> {
    text: String,
    sink: Option<&'a mut dyn io::Write>,
    error: Option<io::Error>,
}

impl Out<'_> {
    fn flush(&mut self) -> fmt::Result {
        if let Some(sink) = &mut self.sink {
            if let Err(e) = sink.write_all(self.text.as_bytes()) {
                self.error = Some(e);
                return Err(fmt::Error);
            }
            self.text.clear();
        }
        Ok(())
    }
}

impl fmt::Write for Out<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.text.push_str(s);
        if self.text.len() > CHUNK { self.flush() } else { Ok(()) }
    }
}

pub(super) fn to_string(module: &Module, options: &PrintOptions) -> String {
    let mut p = Printer { module, options, out: Out::default() };
    // Writing to memory does not fail.
    let _ = p.module();
    p.out.text
}

pub(super) fn to_writer(
    module: &Module,
    options: &PrintOptions,
    sink: &mut dyn io::Write,
) -> io::Result<()> {
    let out = Out { sink: Some(sink), ..Out::default() };
    let mut p = Printer { module, options, out };
    match p.module().and_then(|()| p.out.flush()) {
        Ok(()) => Ok(()),
        Err(fmt::Error) => Err(p.out.error.unwrap_or_else(|| io::ErrorKind::Other.into())),
    }
}

pub(super) fn node_to_string(module: &Module, func: FuncId, node: NodeId) -> String {
    let options = PrintOptions { origins: false, ..PrintOptions::default() };
    let mut p = Printer { module, options: &options, out: Out::default() };
    let Some(f) = module.functions.get(func) else { return node.to_string() };
    let Some(n) = f.nodes.get(node) else { return node.to_string() };
    let mut st = State::new(f);
    st.one_line = true;
    st.next_node = node.0;
    let _ = p.node(&mut st, node, n, 0);
    p.out.text
}

pub(super) fn type_to_string(function: &Function, ty: &Type) -> String {
    let mut out = String::new();
    // Writing to memory does not fail.
    let _ = write_type(&mut out, function, ty);
    out
}

struct Printer<'a> {
    module: &'a Module,
    options: &'a PrintOptions,
    out: Out<'a>,
}

/// How far the text of a function has come.
struct State<'a> {
    f: &'a Function,
    regions: Vec<bool>,
    nodes: Vec<bool>,
    values: Vec<bool>,
    /// The id that the next node has when the text does not say.
    next_node: u32,
    /// The nesting that the reader will be at.
    depth: u32,
    /// Whether regions are only named and operands have their types.
    one_line: bool,
}

impl<'a> State<'a> {
    fn new(f: &'a Function) -> Self {
        Self {
            f,
            regions: vec![false; f.regions.len()],
            nodes: vec![false; f.nodes.len()],
            values: vec![false; f.values.len()],
            next_node: 0,
            depth: 0,
            one_line: false,
        }
    }
}

/// Marks an entity; whether it is there and was not marked.
fn first_time<K: EntityId>(seen: &mut [bool], id: K) -> bool {
    seen.get_mut(id.index()).is_some_and(|s| !std::mem::replace(s, true))
}

fn symbol_text(f: &Function, id: SymbolId) -> String {
    match f.symbols.get(id) {
        Some(s) if id_number(&s.name, "$").is_none() && f.symbols.named(&s.name) == Some(id) => {
            s.name.clone()
        }
        _ => id.to_string(),
    }
}

fn write_dim(out: &mut dyn fmt::Write, f: &Function, dim: &Dim) -> fmt::Result {
    if let Dim::Known(k) = dim {
        return write!(out, "{k}");
    }
    let text = dim.display(&|s| symbol_text(f, s)).to_string();
    match text.len() > LONG_DIM {
        true => write!(out, "{}", dim.display(&|s| s.to_string())),
        false => out.write_str(&text),
    }
}

fn write_dims(out: &mut dyn fmt::Write, f: &Function, dims: &[Dim]) -> fmt::Result {
    out.write_char('[')?;
    for (i, dim) in dims.iter().enumerate() {
        out.write_str(if i > 0 { ", " } else { "" })?;
        write_dim(out, f, dim)?;
    }
    out.write_char(']')
}

fn write_type(out: &mut dyn fmt::Write, f: &Function, ty: &Type) -> fmt::Result {
    match ty {
        Type::Tensor(TensorType { dtype, shape }) => {
            write!(out, "{dtype}")?;
            return write_dims(out, f, shape);
        }
        Type::Unranked(dtype) => return write!(out, "{dtype}[*]"),
        Type::Unknown => return out.write_str("unknown"),
        Type::Sequence(_) => out.write_str("sequence(")?,
        Type::Optional(_) => out.write_str("optional(")?,
        Type::Map(key, _) => write!(out, "map({key}, ")?,
    }
    if let Type::Sequence(t) | Type::Optional(t) | Type::Map(_, t) = ty {
        write_type(out, f, t)?;
    }
    out.write_char(')')
}

fn kind_text(kind: ArgKindRole) -> &'static str {
    match kind {
        ArgKindRole::Tensor => "",
        ArgKindRole::Int => " int",
        ArgKindRole::Float => " float",
        ArgKindRole::Bool => " bool",
        ArgKindRole::Constant => " constant",
    }
}

/// The elements as numbers, when there are few.
fn few_numbers(tensor: &Tensor, most: u64) -> Option<String> {
    let Storage::Bytes(bytes) = &tensor.storage else { return None };
    let count = tensor.numel().filter(|&n| n <= most)?;
    if tensor.dtype.byte_len(count) != Some(bytes.len() as u64) {
        return None;
    }
    decode(tensor.dtype, usize::try_from(count).ok()?, bytes)
}

impl Printer<'_> {
    fn text(&mut self, s: &str) -> fmt::Result {
        self.out.write_str(s)
    }
    fn quoted(&mut self, s: &str) -> fmt::Result {
        quote(&mut self.out, s)
    }
    fn line(&mut self, indent: usize) -> fmt::Result {
        write!(self.out, "\n{:1$}", "", indent * 2)
    }
    /// A list with commas between.
    fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T) -> fmt::Result,
    ) -> fmt::Result {
        for (i, item) in items.into_iter().enumerate() {
            self.text(if i > 0 { ", " } else { "" })?;
            each(self, item)?;
        }
        Ok(())
    }

    fn module(&mut self) -> fmt::Result {
        let m = self.module;
        writeln!(self.out, "airconv {VERSION}")?;
        for (domain, version) in &m.opsets {
            self.text("opset ")?;
            self.quoted(domain)?;
            writeln!(self.out, " = {version}")?;
        }
        if m.entry != FuncId(0) {
            writeln!(self.out, "entry {}", m.entry)?;
        }
        for (id, f) in m.functions.iter() {
            self.function(id, f)?;
        }
        if self.options.notes && !m.notes.is_empty() {
            self.text("\n")?;
            self.notes()?;
        }
        if self.options.origins && !m.origins.is_empty() {
            self.text("\n")?;
            for (id, origin) in m.origins.iter() {
                self.origin(id, origin)?;
            }
        }
        if !m.tensors.is_empty() {
            self.text("\n")?;
        }
        for (id, tensor) in m.tensors.iter() {
            self.tensor(id, tensor)?;
        }
        Ok(())
    }

    fn notes(&mut self) -> fmt::Result {
        for (about, texts) in &self.module.notes {
            let about = match about {
                Entity::Module => String::new(),
                Entity::Func(f) => format!(" {f}"),
                Entity::Node(f, n) => format!(" {f} {n}"),
                Entity::Value(f, v) => format!(" {f} {v}"),
                Entity::Region(f, r) => format!(" {f} {r}"),
                Entity::Tensor(t) => format!(" {t}"),
            };
            if texts.is_empty() {
                writeln!(self.out, "note{about}")?;
            }
            for (key, text) in texts {
                write!(self.out, "note{about} ")?;
                self.quoted(key)?;
                self.text(" = ")?;
                self.quoted(text)?;
                self.text("\n")?;
            }
        }
        Ok(())
    }

    fn origin(&mut self, id: OriginId, origin: &Origin) -> fmt::Result {
        write!(self.out, "{id} = ")?;
        match origin {
            Origin::Unknown => self.text("unknown")?,
            Origin::Source { format, path, name, op } => {
                self.text("source(")?;
                self.list([format, path, name, op], |p, s| p.quoted(s))?;
                self.text(")")?;
            }
            Origin::Derived { by, from } => {
                self.text("derived(")?;
                self.quoted(by)?;
                for id in from {
                    write!(self.out, ", {id}")?;
                }
                self.text(")")?;
            }
        }
        self.text("\n")
    }

    fn tensor(&mut self, id: TensorId, tensor: &Tensor) -> fmt::Result {
        write!(self.out, "tensor {id}: {}[", tensor.dtype)?;
        self.list(&tensor.dims, |p, d| write!(p.out, "{d}"))?;
        self.text("] = ")?;
        match &tensor.storage {
            Storage::Bytes(bytes) if bytes.len() as u64 > self.options.inline_up_to => {
                write!(self.out, "blake3\"{}\"", blake3::hash(bytes).to_hex())?;
            }
            Storage::Bytes(bytes) => match few_numbers(tensor, NUMBERS) {
                Some(numbers) => write!(self.out, "[{numbers}]")?,
                None => self.hex(bytes)?,
            },
            Storage::Splat(bytes) => {
                self.text("splat(")?;
                match decode(tensor.dtype, 1, bytes) {
                    Some(number) => self.text(&number)?,
                    None => self.hex(bytes)?,
                }
                self.text(")")?;
            }
            Storage::Strings(list) => {
                self.text("strings [")?;
                self.list(list.iter(), |p, s| match std::str::from_utf8(s) {
                    Ok(s) => p.quoted(s),
                    Err(_) => p.hex(s),
                })?;
                self.text("]")?;
            }
            Storage::External { path, offset, length } => {
                self.text("external(")?;
                self.quoted(path)?;
                write!(self.out, ", {offset}, {length})")?;
            }
        }
        self.text("\n")
    }

    fn hex(&mut self, bytes: &[u8]) -> fmt::Result {
        self.text("hex\"")?;
        for part in bytes.chunks(CHUNK / 4) {
            self.text(&hex(part))?;
        }
        self.text("\"")
    }

    fn function(&mut self, id: FuncId, f: &Function) -> fmt::Result {
        let mut st = State::new(f);
        write!(self.out, "\nfunc {id} ")?;
        self.quoted(&f.name)?;
        self.text(" {")?;
        for (id, symbol) in f.symbols.iter() {
            self.line(1)?;
            write!(self.out, "symbol {id} ")?;
            self.quoted(&symbol.name)?;
            let Range { min, max } = symbol.range;
            let min = min.map_or_else(String::new, |v| v.to_string());
            let max = max.map_or_else(String::new, |v| format!("={v}"));
            write!(self.out, ": {min}..{max}")?;
            if let Some(why) = &symbol.why {
                self.text(" why ")?;
                self.quoted(why)?;
            }
        }
        self.roles(f)?;
        self.line(1)?;
        self.text("body ")?;
        self.region(&mut st, f.body, 1)?;
        self.rest(&mut st)?;
        self.text("\n}\n")
    }

    fn roles(&mut self, f: &Function) -> fmt::Result {
        let id = |id: &Option<TensorId>| id.map_or_else(String::new, |id| format!(" {id}"));
        for input in &f.inputs {
            self.line(1)?;
            self.text("in ")?;
            self.quoted(&input.name)?;
            match &input.role {
                InputRole::User { default, kind } => {
                    write!(self.out, ": user{}", kind_text(*kind))?;
                    if let Some(id) = default {
                        write!(self.out, " default {id}")?;
                    }
                }
                InputRole::Param(tensor) => write!(self.out, ": param{}", id(tensor))?,
                InputRole::State(tensor) => write!(self.out, ": state{}", id(tensor))?,
            }
        }
        for output in &f.outputs {
            self.line(1)?;
            self.text("out ")?;
            self.quoted(&output.name)?;
            match &output.role {
                OutputRole::User(kind) => write!(self.out, ": user{}", kind_text(*kind))?,
                OutputRole::StateUpdate(name) => {
                    self.text(": state ")?;
                    self.quoted(name)?;
                }
                OutputRole::InputUpdate(index) => write!(self.out, ": input {index}")?,
            }
        }
        Ok(())
    }

    /// What the body does not reach.
    fn rest(&mut self, st: &mut State<'_>) -> fmt::Result {
        let f = st.f;
        let mut listed = vec![false; f.nodes.len()];
        for &node in f.regions.values().flat_map(|r| &r.nodes) {
            first_time(&mut listed, node);
        }
        for (id, node) in f.nodes.iter() {
            if !listed[id.index()] {
                self.loose_node(st, id, node)?;
            }
        }
        for id in f.regions.ids() {
            if !st.regions[id.index()] {
                self.line(1)?;
                self.text("region ")?;
                self.region(st, id, 1)?;
            }
        }
        for (id, value) in f.values.iter() {
            if st.values[id.index()] {
                continue;
            }
            self.line(1)?;
            self.text("value ")?;
            self.value(st, id, value.def)?;
            match value.def {
                Def::Param { region, index } => write!(self.out, " = param {region} {index}")?,
                Def::Result { node, index } => write!(self.out, " = result {node} {index}")?,
            }
        }
        Ok(())
    }

    fn loose_node(&mut self, st: &mut State<'_>, id: NodeId, node: &Node) -> fmt::Result {
        if first_time(&mut st.nodes, id) {
            self.line(1)?;
            self.text("node ")?;
            self.node(st, id, node, 1)?;
        }
        Ok(())
    }

    /// A value where it may be defined: in full if this place makes it.
    fn value(&mut self, st: &mut State<'_>, id: ValueId, def: Def) -> fmt::Result {
        write!(self.out, "{id}")?;
        let Some(value) = st.f.values.get(id).filter(|v| v.def == def) else { return Ok(()) };
        if !first_time(&mut st.values, id) {
            return Ok(());
        }
        if let Some(name) = &value.name {
            self.text(" ")?;
            self.quoted(name)?;
        }
        self.text(": ")?;
        write_type(&mut self.out, st.f, &value.ty)
    }

    fn region(&mut self, st: &mut State<'_>, id: RegionId, indent: usize) -> fmt::Result {
        write!(self.out, "{id}")?;
        let Some(region) = st.f.regions.get(id) else { return Ok(()) };
        if st.one_line || st.depth > DEEP || !first_time(&mut st.regions, id) {
            return Ok(());
        }
        st.depth += 1;
        let wide = region.params.len() > PARAMS;
        if !region.params.is_empty() {
            self.text("(")?;
        }
        for (index, &param) in region.params.iter().enumerate() {
            match wide {
                true => self.line(indent + 1)?,
                false => self.text(if index > 0 { ", " } else { "" })?,
            }
            self.value(st, param, Def::Param { region: id, index: index as u32 })?;
            self.text(if wide { "," } else { "" })?;
        }
        if wide {
            self.line(indent)?;
        }
        self.text(if region.params.is_empty() { " {" } else { ") {" })?;
        for &node in &region.nodes {
            self.line(indent + 1)?;
            match st.f.nodes.get(node) {
                Some(n) if first_time(&mut st.nodes, node) => {
                    self.node(st, node, n, indent + 1)?;
                }
                _ => write!(self.out, "node {node}")?,
            }
        }
        self.line(indent + 1)?;
        self.text(if region.results.is_empty() { "return" } else { "return " })?;
        self.list(&region.results, |p, v| write!(p.out, "{v}"))?;
        self.line(indent)?;
        self.text("}")?;
        st.depth -= 1;
        Ok(())
    }

    fn node(&mut self, st: &mut State<'_>, id: NodeId, node: &Node, indent: usize) -> fmt::Result {
        if st.one_line || id.0 != st.next_node {
            write!(self.out, "{id}: ")?;
        }
        st.next_node = id.0.wrapping_add(1);
        for (index, &result) in node.results.iter().enumerate() {
            self.text(if index > 0 { ", " } else { "" })?;
            match result {
                Some(value) => {
                    self.value(st, value, Def::Result { node: id, index: index as u32 })?;
                }
                None => self.text("_")?,
            }
        }
        self.text(if node.results.is_empty() { "" } else { " = " })?;
        self.text(node.op.name())?;
        if !node.operands.is_empty() {
            self.text("(")?;
            self.list(&node.operands, |p, o| match o {
                Some(value) => p.operand(st, *value),
                None => p.text("_"),
            })?;
            self.text(")")?;
        }
        self.fields(st, &node.op, indent)?;
        if self.options.origins && node.origin != OriginId(0) {
            write!(self.out, " {}", node.origin)?;
        }
        self.comment(&node.op)
    }

    /// An operand; with its type where the text is one line by itself.
    fn operand(&mut self, st: &State<'_>, id: ValueId) -> fmt::Result {
        write!(self.out, "{id}")?;
        match st.f.values.get(id).filter(|_| st.one_line) {
            Some(value) => {
                self.text(": ")?;
                write_type(&mut self.out, st.f, &value.ty)
            }
            None => Ok(()),
        }
    }

    /// The elements of a small constant.
    fn comment(&mut self, op: &Op) -> fmt::Result {
        let Op::Constant(c) = op else { return Ok(()) };
        match self.module.tensors.get(c.tensor).and_then(|t| few_numbers(t, SHOWN)) {
            Some(numbers) => write!(self.out, "  // {numbers}"),
            None => Ok(()),
        }
    }

    fn fields(&mut self, st: &mut State<'_>, op: &Op, indent: usize) -> fmt::Result {
        let info = op.info();
        if info.fields.is_empty() {
            return Ok(());
        }
        let attrs = op.attrs();
        if attrs.is_empty() {
            return Ok(());
        }
        self.text(" {")?;
        for (i, (name, attr)) in attrs.iter().enumerate() {
            write!(self.out, "{}{name} = ", if i > 0 { ", " } else { "" })?;
            let kind = info.fields.iter().find(|f| f.name == *name).map_or("", |f| f.kind);
            self.field(st, kind, attr, indent)?;
        }
        self.text("}")
    }

    /// A field whose kind the reader knows.
    fn field(&mut self, st: &mut State<'_>, kind: &str, attr: &Attr, indent: usize) -> fmt::Result {
        match attr {
            Attr::Dim(dim) => write_dim(&mut self.out, st.f, dim),
            Attr::Dims(dims) => write_dims(&mut self.out, st.f, dims),
            Attr::DType(dtype) => write!(self.out, "{dtype}"),
            Attr::Type(ty) => write_type(&mut self.out, st.f, ty),
            Attr::Ints(_) | Attr::Floats(_) | Attr::Strs(_) => self.plain_list(attr),
            Attr::Str(choice) if kind.starts_with("enum") && is_name(choice) => self.text(choice),
            Attr::Map(map) if kind == "source_op" => {
                let said = |(k, a): &(&String, &Attr)| source_default(k).as_ref() != Some(a);
                let (last, first): (Vec<_>, Vec<_>) =
                    map.iter().filter(said).partition(|(k, _)| *k == "attributes");
                self.map(st, first.into_iter().chain(last), indent)
            }
            _ => self.attr(st, attr, indent),
        }
    }

    fn map<'b>(
        &mut self,
        st: &mut State<'_>,
        entries: impl IntoIterator<Item = (&'b String, &'b Attr)>,
        indent: usize,
    ) -> fmt::Result {
        st.depth += 1;
        self.text("{")?;
        self.list(entries, |p, (key, a)| {
            match is_name(key) {
                true => p.text(key)?,
                false => p.quoted(key)?,
            }
            p.text(" = ")?;
            p.attr(st, a, indent)
        })?;
        st.depth -= 1;
        self.text("}")
    }

    /// A list of integers, floats or strings.
    fn plain_list(&mut self, attr: &Attr) -> fmt::Result {
        self.text("[")?;
        match attr {
            Attr::Ints(list) => self.list(list, |p, v| write!(p.out, "{v}"))?,
            Attr::Floats(list) => self.list(list, |p, v| p.text(&float(v.0)))?,
            Attr::Strs(list) => self.list(list, |p, v| p.quoted(v))?,
            _ => {}
        }
        self.text("]")
    }

    fn attr(&mut self, st: &mut State<'_>, attr: &Attr, indent: usize) -> fmt::Result {
        match attr {
            Attr::Bool(v) => write!(self.out, "{v}"),
            Attr::Int(v) => write!(self.out, "{v}"),
            Attr::Float(v) => self.text(&float(v.0)),
            Attr::Str(v) => self.quoted(v),
            Attr::Bytes(v) => self.hex(v),
            Attr::DType(v) => write!(self.out, "dtype {v}"),
            Attr::Dim(v) => {
                self.text("dim ")?;
                write_dim(&mut self.out, st.f, v)
            }
            Attr::Type(v) => {
                self.text("type ")?;
                write_type(&mut self.out, st.f, v)
            }
            Attr::Tensor(v) => write!(self.out, "{v}"),
            Attr::Region(v) => self.region(st, *v, indent),
            Attr::Func(v) => write!(self.out, "{v}"),
            Attr::Ints(_) | Attr::Floats(_) | Attr::Strs(_) => {
                self.text(match attr {
                    Attr::Ints(v) if v.is_empty() => "ints",
                    Attr::Floats(v) if v.is_empty() => "floats",
                    Attr::Strs(v) if v.is_empty() => "strings",
                    _ => "",
                })?;
                self.plain_list(attr)
            }
            Attr::Dims(v) => {
                self.text("dims")?;
                write_dims(&mut self.out, st.f, v)
            }
            Attr::List(v) => {
                st.depth += 1;
                self.text("list[")?;
                self.list(v, |p, a| p.attr(st, a, indent))?;
                st.depth -= 1;
                self.text("]")
            }
            Attr::Map(v) => self.map(st, v, indent),
        }
    }
}
