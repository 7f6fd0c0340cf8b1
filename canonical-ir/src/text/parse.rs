//! Text as a module.

mod function;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::lex::{Cursor, Parsed, fail};
use super::number::encode;
use super::{ErrorKind, ParseOptions, VERSION, source_default};
use crate::array::StrBytes;
use crate::attr::{Attr, Float};
use crate::dim::{Dim, DimParseError, parse_dim};
use crate::dtype::DType;
use crate::entity::{EntityId, FuncId, NodeId, OriginId, RegionId, SymbolId, TensorId, ValueId};
use crate::module::{Entity, Module, Origin};
use crate::tensor::{Storage, Tensor};
use crate::types::{TensorType, Type};

pub(super) fn module(text: &str, options: &ParseOptions<'_>) -> Parsed<Module> {
    let mut p = Parser {
        c: Cursor::new(text, &options.limits)?,
        options,
        depth: 0,
        entities: 0,
        state: function::State::default(),
        dtypes: DType::ALL.iter().map(|d| (d.name(), *d)).collect(),
    };
    p.module()
}

struct Parser<'a> {
    c: Cursor<'a>,
    options: &'a ParseOptions<'a>,
    /// Nesting of regions, attributes and types.
    depth: u32,
    /// Nodes, values and regions so far.
    entities: usize,
    /// The function that is being read.
    state: function::State,
    dtypes: FxHashMap<&'static str, DType>,
}

impl<'a> Parser<'a> {
    fn nested<T>(&mut self, f: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= self.options.limits.nesting {
            let at = self.c.here();
            return fail(ErrorKind::Limit, at, "this is nested too deeply");
        }
        self.depth += 1;
        let out = f(self);
        self.depth -= 1;
        out
    }

    /// Items up to a closing bracket, which is past afterwards, with commas between and
    /// perhaps one at the end.
    fn list<T>(
        &mut self,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut out = Vec::new();
        while !self.c.eat(close) {
            out.push(item(self)?);
            if !self.c.eat(b',') && self.c.peek() != Some(close) {
                return self.c.expected(format_args!("`,` or `{}`", char::from(close)));
            }
        }
        Ok(out)
    }

    fn module(&mut self) -> Parsed<Module> {
        if !self.c.word("airconv") {
            return self
                .c
                .expected(format_args!("`airconv {VERSION}`, the first words of the text form"));
        }
        let at = self.c.here();
        let version = self.c.until_space();
        if version != VERSION {
            let message = format!("this is version {version} of the text form; {VERSION} is read");
            return fail(ErrorKind::Structure, at, message);
        }
        let mut m = Module::default();
        while self.c.peek().is_some() {
            let at = self.c.here();
            if let Some(id) = self.c.named_id("loc") {
                self.in_order(at, OriginId(id), m.origins.len())?;
                self.c.expect(b'=')?;
                let origin = self.origin()?;
                m.origins.push(origin);
                continue;
            }
            match self.c.name("an item of a module")? {
                "opset" => {
                    let at = self.c.here();
                    let domain = self.c.string()?;
                    self.c.expect(b'=')?;
                    let version = self.c.integer()?;
                    if m.opsets.insert(domain, version).is_some() {
                        return fail(ErrorKind::Structure, at, "this operator set is given twice");
                    }
                }
                "entry" => m.entry = FuncId(self.c.id(b'@')?),
                "func" => {
                    let at = self.c.here();
                    let id = FuncId(self.c.id(b'@')?);
                    self.in_order(at, id, m.functions.len())?;
                    let function = self.function()?;
                    m.functions.push(function);
                }
                "note" => self.note(&mut m)?,
                "tensor" => {
                    let at = self.c.here();
                    let id = TensorId(self.c.id(b'#')?);
                    self.in_order(at, id, m.tensors.len())?;
                    let tensor = self.tensor()?;
                    m.tensors.push(tensor);
                }
                other => {
                    let message = format!(
                        "expected `func`, `tensor`, `locN`, `note`, `opset` or `entry`, not `{other}`"
                    );
                    return fail(ErrorKind::Syntax, at, message);
                }
            }
        }
        Ok(m)
    }

    fn in_order<K: EntityId>(&self, at: usize, id: K, count: usize) -> Parsed<()> {
        match id.index() == count {
            true => Ok(()),
            false => {
                let next = K::from_index(count);
                fail(ErrorKind::Structure, at, format!("expected {next}, the next in order"))
            }
        }
    }

    fn note(&mut self, m: &mut Module) -> Parsed<()> {
        let about = match self.c.peek() {
            Some(b'#') => Entity::Tensor(TensorId(self.c.id(b'#')?)),
            Some(b'@') => {
                let func = FuncId(self.c.id(b'@')?);
                match self.c.peek() {
                    Some(b'%') => Entity::Value(func, ValueId(self.c.id(b'%')?)),
                    Some(b'^') => Entity::Region(func, RegionId(self.c.id(b'^')?)),
                    _ => match self.c.named_id("n") {
                        Some(n) => Entity::Node(func, NodeId(n)),
                        None => Entity::Func(func),
                    },
                }
            }
            _ => Entity::Module,
        };
        let texts = m.notes.entry(about).or_default();
        if self.c.peek() == Some(b'"') {
            let at = self.c.here();
            let key = self.c.string()?;
            self.c.expect(b'=')?;
            if texts.insert(key, self.c.string()?).is_some() {
                return fail(ErrorKind::Structure, at, "this note is given twice");
            }
        }
        Ok(())
    }

    fn arc(&mut self) -> Parsed<Arc<str>> {
        Ok(self.c.string()?.into())
    }

    fn origin(&mut self) -> Parsed<Origin> {
        if self.c.word("unknown") {
            return Ok(Origin::Unknown);
        }
        if self.c.word("source") {
            self.c.expect(b'(')?;
            let format = self.arc()?;
            self.c.expect(b',')?;
            let path = self.arc()?;
            self.c.expect(b',')?;
            let name = self.arc()?;
            self.c.expect(b',')?;
            let op = self.arc()?;
            self.c.expect(b')')?;
            return Ok(Origin::Source { format, path, name, op });
        }
        if !self.c.word("derived") {
            return self.c.expected("`unknown`, `source` or `derived`");
        }
        self.c.expect(b'(')?;
        let by = self.arc()?;
        let mut from = Vec::new();
        while self.c.eat(b',') {
            match self.c.named_id("loc") {
                Some(id) => from.push(OriginId(id)),
                None => return self.c.expected("a `locN`"),
            }
        }
        self.c.expect(b')')?;
        Ok(Origin::Derived { by, from })
    }

    fn tensor(&mut self) -> Parsed<Tensor> {
        self.c.expect(b':')?;
        let dtype = self.dtype()?;
        self.c.expect(b'[')?;
        let dims: Vec<u64> = self.list(b']', |p| p.c.integer())?;
        self.c.expect(b'=')?;
        let at = self.c.here();
        let storage = if self.c.eat(b'[') {
            let numbers = self.list(b']', |p| p.c.number())?;
            let bytes = encode(dtype, at, &numbers)?;
            let count = dims.iter().try_fold(1u64, |n, &d| n.checked_mul(d));
            if count != Some(numbers.len() as u64) {
                let message = format!("{} elements for a tensor {dtype}{dims:?}", numbers.len());
                return fail(ErrorKind::Structure, at, message);
            }
            Storage::Bytes(bytes.into())
        } else if self.c.peek() == Some(b'"') {
            return self.c.expected("`hex` before the quotes");
        } else {
            match self.c.name("the elements")? {
                "hex" => Storage::Bytes(self.c.hex()?.into()),
                "splat" => {
                    self.c.expect(b'(')?;
                    let bytes = match self.c.word("hex") {
                        true => self.c.hex()?,
                        false => encode(dtype, at, &[self.c.number()?])?,
                    };
                    self.c.expect(b')')?;
                    Storage::Splat(bytes.into())
                }
                "strings" => {
                    self.c.expect(b'[')?;
                    let list = self.list(b']', |p| {
                        Ok(match p.c.word("hex") {
                            true => StrBytes::from(p.c.hex()?),
                            false => StrBytes::from(p.c.string()?.into_bytes()),
                        })
                    })?;
                    Storage::Strings(list.into())
                }
                "external" => {
                    self.c.expect(b'(')?;
                    let path = self.arc()?;
                    self.c.expect(b',')?;
                    let offset = self.c.integer()?;
                    self.c.expect(b',')?;
                    let length = self.c.integer()?;
                    self.c.expect(b')')?;
                    Storage::External { path, offset, length }
                }
                "blake3" => Storage::Bytes(self.weights()?),
                _ => {
                    let message = "expected `[`, `hex`, `splat`, `strings`, `external` or `blake3`";
                    return fail(ErrorKind::Syntax, at, message);
                }
            }
        };
        Ok(Tensor { dtype, dims, storage })
    }

    fn weights(&mut self) -> Parsed<Bytes> {
        let at = self.c.here();
        let Ok(digest) = <[u8; 32]>::try_from(self.c.hex()?) else {
            return fail(ErrorKind::Syntax, at, "a digest has 64 hexadecimal digits");
        };
        match self.options.weights {
            Some(weights) => match weights(&digest) {
                Some(bytes) => Ok(bytes),
                None => fail(ErrorKind::Weights, at, "the weights hold no tensor of this digest"),
            },
            None => {
                let message = "the text names a tensor by digest, and no weights are given with it";
                fail(ErrorKind::Weights, at, message)
            }
        }
    }

    fn dtype(&mut self) -> Parsed<DType> {
        let at = self.c.here();
        let name = self.c.name("a dtype")?;
        match self.dtypes.get(name) {
            Some(dtype) => Ok(*dtype),
            None => fail(ErrorKind::Structure, at, format!("`{name}` is not a dtype")),
        }
    }

    fn dim(&mut self) -> Parsed<Dim> {
        let (at, text) = self.c.dim()?;
        if text.len() < 19 && text.bytes().all(|b| b.is_ascii_digit()) {
            return match text.parse() {
                Ok(known) => Ok(Dim::Known(known)),
                Err(_) => fail(ErrorKind::Structure, at, "a size is out of range"),
            };
        }
        if text == "?" {
            return Ok(Dim::Any);
        }
        let symbols = &self.state.symbols;
        let mut lookup = |name: &str| match super::lex::id_number(name, "$") {
            Some(id) => Some(SymbolId(id)),
            None => symbols.named(name),
        };
        match parse_dim(text, &mut lookup) {
            Ok(Dim::Any) => {
                fail(ErrorKind::Limit, at, "a size is too large an expression or has no value")
            }
            Ok(dim) => Ok(dim),
            Err(e) => dim_error(at, &e),
        }
    }

    fn dims(&mut self) -> Parsed<Vec<Dim>> {
        self.c.expect(b'[')?;
        self.list(b']', Self::dim)
    }

    fn ty(&mut self) -> Parsed<Type> {
        for (word, make) in [
            ("sequence", Type::Sequence as fn(Box<Type>) -> Type),
            ("optional", Type::Optional as fn(Box<Type>) -> Type),
        ] {
            if self.c.word(word) {
                self.c.expect(b'(')?;
                let inner = self.nested(Self::ty)?;
                self.c.expect(b')')?;
                return Ok(make(Box::new(inner)));
            }
        }
        if self.c.word("map") {
            self.c.expect(b'(')?;
            let key = self.dtype()?;
            self.c.expect(b',')?;
            let inner = self.nested(Self::ty)?;
            self.c.expect(b')')?;
            return Ok(Type::Map(key, Box::new(inner)));
        }
        if self.c.word("unknown") {
            return Ok(Type::Unknown);
        }
        let dtype = self.dtype()?;
        self.c.expect(b'[')?;
        if self.c.eat(b'*') {
            self.c.expect(b']')?;
            return Ok(Type::Unranked(dtype));
        }
        let mut shape = crate::dim::Shape::new();
        while !self.c.eat(b']') {
            shape.push(self.dim()?);
            if !self.c.eat(b',') && self.c.peek() != Some(b']') {
                return self.c.expected("`,` or `]`");
            }
        }
        Ok(Type::Tensor(TensorType { dtype, shape }))
    }

    fn key(&mut self) -> Parsed<String> {
        match self.c.peek() {
            Some(b'"') => self.c.string(),
            _ => Ok(self.c.name("a name")?.to_owned()),
        }
    }

    /// A field of an op, by its kind in the op table.
    fn field(&mut self, kind: &str) -> Parsed<Attr> {
        Ok(match kind {
            "dim" => Attr::Dim(self.dim()?),
            "dims" => Attr::Dims(self.dims()?),
            "dtype" => Attr::DType(self.dtype()?),
            "type" => Attr::Type(self.ty()?),
            "float" => Attr::Float(self.float()?),
            "ints" | "floats" | "strings" if self.c.peek() == Some(b'[') => {
                self.typed_list(kind)?
            }
            "source_op" => {
                let mut attr = self.attr()?;
                if let Attr::Map(map) = &mut attr {
                    for key in ["domain", "overload", "version", "attributes"] {
                        if let (false, Some(v)) = (map.contains_key(key), source_default(key)) {
                            map.insert(key.to_owned(), v);
                        }
                    }
                }
                attr
            }
            _ if kind.starts_with("enum") => Attr::Str(self.key()?),
            _ => self.attr()?,
        })
    }

    fn float(&mut self) -> Parsed<Float> {
        let number = self.c.number()?;
        if number.text == "nan" && self.c.peek() == Some(b'"') {
            let Ok(bits) = <[u8; 8]>::try_from(self.c.hex()?) else {
                return fail(ErrorKind::Syntax, number.at, "a NaN has 16 hexadecimal digits");
            };
            return Ok(Float(f64::from_bits(u64::from_be_bytes(bits))));
        }
        match number.text.parse() {
            Ok(v) => Ok(Float(v)),
            Err(_) => fail(ErrorKind::Syntax, number.at, "expected a float"),
        }
    }

    /// A list in brackets of a kind that is known.
    fn typed_list(&mut self, kind: &str) -> Parsed<Attr> {
        self.c.expect(b'[')?;
        Ok(match kind {
            "ints" => Attr::Ints(self.list(b']', |p| p.c.integer())?),
            "floats" => Attr::Floats(self.list(b']', Self::float)?),
            "strings" => Attr::Strs(self.list(b']', |p| p.c.string())?),
            "dims" => Attr::Dims(self.list(b']', Self::dim)?),
            _ => Attr::List(self.nested(|p| p.list(b']', Self::attr))?),
        })
    }

    /// An attribute that says its own kind.
    fn attr(&mut self) -> Parsed<Attr> {
        let Some(first) = self.c.peek() else { return self.c.expected("an attribute") };
        Ok(match first {
            b'"' => Attr::Str(self.c.string()?),
            b'#' => Attr::Tensor(TensorId(self.c.id(b'#')?)),
            b'@' => Attr::Func(FuncId(self.c.id(b'@')?)),
            b'^' => Attr::Region(self.region()?),
            b'{' => self.map()?,
            b'[' => self.open_list()?,
            b'-' | b'0'..=b'9' => self.number()?,
            _ => return self.named_attr(),
        })
    }

    fn number(&mut self) -> Parsed<Attr> {
        let number = self.c.number()?;
        let attr = match number.integer {
            true => number.text.parse().ok().map(Attr::Int),
            false => number.text.parse().ok().map(|v| Attr::Float(Float(v))),
        };
        match attr {
            Some(attr) => Ok(attr),
            None => fail(ErrorKind::Structure, number.at, "the number is out of range"),
        }
    }

    fn map(&mut self) -> Parsed<Attr> {
        self.c.expect(b'{')?;
        let mut map = BTreeMap::new();
        self.nested(|p| {
            p.list(b'}', |p| {
                let at = p.c.here();
                let key = p.key()?;
                p.c.expect(b'=')?;
                let attr = p.attr()?;
                match map.insert(key, attr) {
                    None => Ok(()),
                    Some(_) => fail(ErrorKind::Structure, at, "this key is given twice"),
                }
            })
        })?;
        Ok(Attr::Map(map))
    }

    /// A list in brackets whose kind its first item tells.
    fn open_list(&mut self) -> Parsed<Attr> {
        let at = self.c.here();
        self.c.expect(b'[')?;
        let wrong = "a list of floats, integers or strings says its kind by its first item; \
                     write `ints[]`, `floats[]`, `strings[]`, `dims[...]` or `list[...]`";
        Ok(match self.c.peek() {
            Some(b'"') => Attr::Strs(self.list(b']', |p| p.c.string())?),
            Some(b'-' | b'0'..=b'9') => {
                let numbers = self.list(b']', |p| {
                    let at = p.c.here();
                    match p.c.peek() {
                        Some(b'-' | b'0'..=b'9') => Ok((at, p.number()?)),
                        _ => Ok((at, Attr::Float(p.float()?))),
                    }
                })?;
                same_kind(numbers)?
            }
            Some(b'i' | b'n') => Attr::Floats(self.list(b']', Self::float)?),
            _ => return fail(ErrorKind::Syntax, at, wrong),
        })
    }

    fn named_attr(&mut self) -> Parsed<Attr> {
        let at = self.c.here();
        match self.c.peek_name() {
            Some("inf" | "nan") => return Ok(Attr::Float(self.float()?)),
            Some(_) => {}
            None => return self.c.expected("an attribute"),
        }
        Ok(match self.c.name("an attribute")? {
            "true" => Attr::Bool(true),
            "false" => Attr::Bool(false),
            "hex" => Attr::Bytes(self.c.hex()?.into()),
            "dim" => Attr::Dim(self.dim()?),
            "dtype" => Attr::DType(self.dtype()?),
            "type" => Attr::Type(self.ty()?),
            kind @ ("ints" | "floats" | "strings" | "dims" | "list") => self.typed_list(kind)?,
            other => {
                let message = format!("`{other}` is no attribute; text stands in quotes");
                return fail(ErrorKind::Syntax, at, message);
            }
        })
    }
}

/// Integers, or floats.
fn same_kind(numbers: Vec<(usize, Attr)>) -> Parsed<Attr> {
    let ints = matches!(numbers.first(), Some((_, Attr::Int(_))));
    let (mut all_ints, mut all_floats) = (Vec::new(), Vec::new());
    for (at, number) in numbers {
        match number {
            Attr::Int(v) if ints => all_ints.push(v),
            Attr::Float(v) if !ints => all_floats.push(v),
            _ => {
                let message = "integers and floats are mixed; a float has a `.` or an `e`";
                return fail(ErrorKind::Syntax, at, message);
            }
        }
    }
    Ok(if ints { Attr::Ints(all_ints) } else { Attr::Floats(all_floats) })
}

fn dim_error<T>(start: usize, error: &DimParseError) -> Parsed<T> {
    use DimParseError as E;
    let (kind, at, message) = match error {
        E::Expected { at, expected } => (ErrorKind::Syntax, *at, format!("expected {expected}")),
        E::UnknownSymbol { at, name } => {
            (ErrorKind::Structure, *at, format!("the function has no symbol {name:?}"))
        }
        E::UnknownFunction { at, name } => {
            (ErrorKind::Structure, *at, format!("sizes have no function `{name}`"))
        }
        E::Arguments { at, name, count } => {
            (ErrorKind::Structure, *at, format!("`{name}` does not take {count} argument(s)"))
        }
        E::IntegerRange { at } => {
            (ErrorKind::Structure, *at, "the size is out of range".to_owned())
        }
        E::TooDeep { at } => (ErrorKind::Limit, *at, "the size is nested too deeply".to_owned()),
        E::TooLong { .. } => (ErrorKind::Limit, 0, "the size is too long".to_owned()),
    };
    fail(kind, start.saturating_add(at), message)
}
