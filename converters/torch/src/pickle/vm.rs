//! The interpreter: opcodes in, table of values out.

use std::sync::Arc;

use airconv_api::Limits;
use bytes::Bytes;
use rustc_hash::FxHashMap;

use super::globals::Global;
use super::rebuild::rebuild;
use super::value::{Id, Pickle, Value};
use crate::error::FileError;

/// Reads a pickle and nothing after it.
pub fn load(bytes: &Bytes, limits: &Limits) -> Result<Pickle, FileError> {
    let (pickle, used) = load_prefix(bytes, limits)?;
    match used == bytes.len() {
        true => Ok(pickle),
        false => Err(FileError::malformed("", format!("{} bytes after it", bytes.len() - used))),
    }
}

/// Reads the pickle that some bytes begin with; also how many bytes it has.
pub fn load_prefix(bytes: &Bytes, limits: &Limits) -> Result<(Pickle, usize), FileError> {
    let mut vm = Vm {
        bytes,
        at: 0,
        op: 0,
        out: Pickle::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: FxHashMap::default(),
        left: limits.nodes,
        rank: limits.rank,
    };
    let root = vm.run()?;
    vm.out.root = root;
    Ok((vm.out, vm.at))
}

/// The opcodes that PyTorch writes and those that protocols 2 to 5 may use in their place.
mod op {
    pub const MARK: u8 = b'(';
    pub const STOP: u8 = b'.';
    pub const POP: u8 = b'0';
    pub const POP_MARK: u8 = b'1';
    pub const DUP: u8 = b'2';
    pub const BINFLOAT: u8 = b'G';
    pub const BININT: u8 = b'J';
    pub const BININT1: u8 = b'K';
    pub const BININT2: u8 = b'M';
    pub const NONE: u8 = b'N';
    pub const BINPERSID: u8 = b'Q';
    pub const REDUCE: u8 = b'R';
    pub const BINSTRING: u8 = b'T';
    pub const SHORT_BINSTRING: u8 = b'U';
    pub const BINUNICODE: u8 = b'X';
    pub const EMPTY_LIST: u8 = b']';
    pub const APPEND: u8 = b'a';
    pub const BUILD: u8 = b'b';
    pub const GLOBAL: u8 = b'c';
    pub const DICT: u8 = b'd';
    pub const EMPTY_DICT: u8 = b'}';
    pub const APPENDS: u8 = b'e';
    pub const BINGET: u8 = b'h';
    pub const LONG_BINGET: u8 = b'j';
    pub const LIST: u8 = b'l';
    pub const BINPUT: u8 = b'q';
    pub const LONG_BINPUT: u8 = b'r';
    pub const SETITEM: u8 = b's';
    pub const TUPLE: u8 = b't';
    pub const EMPTY_TUPLE: u8 = b')';
    pub const SETITEMS: u8 = b'u';
    pub const BINBYTES: u8 = b'B';
    pub const SHORT_BINBYTES: u8 = b'C';
    pub const PROTO: u8 = 0x80;
    pub const NEWOBJ: u8 = 0x81;
    pub const TUPLE1: u8 = 0x85;
    pub const TUPLE2: u8 = 0x86;
    pub const TUPLE3: u8 = 0x87;
    pub const NEWTRUE: u8 = 0x88;
    pub const NEWFALSE: u8 = 0x89;
    pub const LONG1: u8 = 0x8a;
    pub const LONG4: u8 = 0x8b;
    pub const SHORT_BINUNICODE: u8 = 0x8c;
    pub const BINUNICODE8: u8 = 0x8d;
    pub const BINBYTES8: u8 = 0x8e;
    pub const EMPTY_SET: u8 = 0x8f;
    pub const ADDITEMS: u8 = 0x90;
    pub const FROZENSET: u8 = 0x91;
    pub const STACK_GLOBAL: u8 = 0x93;
    pub const MEMOIZE: u8 = 0x94;
    pub const FRAME: u8 = 0x95;
    pub const BYTEARRAY8: u8 = 0x96;
}

pub(super) struct Vm<'a> {
    bytes: &'a Bytes,
    at: usize,
    /// The opcode that runs.
    op: u8,
    out: Pickle,
    stack: Vec<Id>,
    /// The height of the stack at each mark.
    marks: Vec<usize>,
    memo: FxHashMap<u32, Id>,
    /// How many values, and elements that are copied, are still allowed.
    left: u64,
    /// The highest rank of a tensor.
    pub(super) rank: usize,
}

type Step<T = ()> = Result<T, FileError>;

impl Vm<'_> {
    fn run(&mut self) -> Step<Id> {
        loop {
            self.op = self.byte()?;
            if self.op == op::STOP {
                return self.pop();
            }
            self.step()?;
        }
    }

    fn step(&mut self) -> Step {
        match self.op {
            op::PROTO => self.protocol(),
            op::FRAME => self.take(8).map(drop),
            op::MARK => {
                self.charge(1)?;
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.marked().map(drop),
            op::DUP => self.top().and_then(|id| self.push_id(id)),
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::BININT | op::BININT1 | op::BININT2 | op::LONG1 | op::LONG4 => self.integer(),
            op::BINFLOAT => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))
            }
            op::BINUNICODE | op::SHORT_BINUNICODE | op::BINUNICODE8 => self.text(),
            op::BINSTRING | op::SHORT_BINSTRING => self.old_string(),
            op::BINBYTES | op::SHORT_BINBYTES | op::BINBYTES8 | op::BYTEARRAY8 => {
                let slice = self.counted()?;
                self.push(Value::Bytes(slice))
            }
            op::EMPTY_TUPLE => self.push(Value::Tuple(Vec::new())),
            op::EMPTY_LIST | op::EMPTY_SET => self.push(Value::List(Vec::new())),
            op::EMPTY_DICT => self.push(Value::Dict(Vec::new())),
            op::TUPLE1 => self.tuple(1),
            op::TUPLE2 => self.tuple(2),
            op::TUPLE3 => self.tuple(3),
            op::TUPLE => {
                let items = self.marked()?;
                self.push(Value::Tuple(items))
            }
            op::LIST | op::FROZENSET => {
                let items = self.marked()?;
                self.push(Value::List(items))
            }
            op::DICT => {
                let items = self.marked()?;
                let pairs = self.paired(items)?;
                self.push(Value::Dict(pairs))
            }
            op::APPEND => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            op::APPENDS | op::ADDITEMS => {
                let items = self.marked()?;
                self.append(items)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.insert(vec![(key, value)])
            }
            op::SETITEMS => {
                let items = self.marked()?;
                let pairs = self.paired(items)?;
                self.insert(pairs)
            }
            op::BINPUT | op::LONG_BINPUT | op::MEMOIZE => self.put(),
            op::BINGET | op::LONG_BINGET => self.get_memo(),
            op::GLOBAL | op::STACK_GLOBAL => self.global(),
            op::BINPERSID => self.persistent(),
            op::REDUCE => self.reduce(),
            op::NEWOBJ => self.new_object(),
            op::BUILD => self.build(),
            other => self.bad(format!("opcode 0x{other:02x} is not one that PyTorch writes")),
        }
    }

    // The bytes.

    fn take(&mut self, count: usize) -> Step<&[u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return self.bad("it ends too early") };
        let start = std::mem::replace(&mut self.at, end);
        Ok(self.bytes.get(start..end).unwrap_or_default())
    }
    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }
    fn byte(&mut self) -> Step<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }
    /// Bytes after their number, the width of which depends on the opcode.
    fn counted(&mut self) -> Step<Bytes> {
        let count = match self.op {
            op::SHORT_BINUNICODE | op::SHORT_BINBYTES | op::SHORT_BINSTRING | op::LONG1 => {
                self.byte()?.into()
            }
            op::BINUNICODE8 | op::BINBYTES8 | op::BYTEARRAY8 => u64::from_le_bytes(self.array()?),
            _ => u32::from_le_bytes(self.array()?).into(),
        };
        let Ok(count) = usize::try_from(count) else { return self.bad("it ends too early") };
        self.take(count)?;
        Ok(self.bytes.slice(self.at - count..self.at))
    }
    fn line(&mut self) -> Step<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(length) = rest.iter().position(|&b| b == b'\n') else {
            return self.bad("it ends too early");
        };
        let text = std::str::from_utf8(self.take(length)?).map(str::to_owned);
        self.take(1)?;
        text.or_else(|_| self.bad("a name is not UTF-8 text"))
    }
    fn protocol(&mut self) -> Step {
        match self.byte()? {
            2..=5 => Ok(()),
            other => self.bad(format!("protocol {other} is none of 2 to 5")),
        }
    }

    // The stack.

    pub(super) fn bad<T>(&self, message: impl Into<String>) -> Step<T> {
        Err(FileError::malformed(format!("pickle, byte {}", self.at), message))
    }
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Step<T> {
        Err(FileError::unsupported(format!("pickle, byte {}", self.at), message))
    }
    /// Counts values that are made and elements that are copied.
    pub(super) fn charge(&mut self, count: usize) -> Step {
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(FileError::limit("pickle", "it has more values than the limit allows")),
        }
    }
    /// Adds a value to the table.
    fn add(&mut self, value: Value) -> Step<Id> {
        self.charge(1)?;
        let Ok(id) = u32::try_from(self.out.values.len()) else {
            return Err(FileError::limit("pickle", "it has more values than can be numbered"));
        };
        self.out.values.push(value);
        Ok(Id(id))
    }
    fn push(&mut self, value: Value) -> Step {
        let id = self.add(value)?;
        self.push_id(id)
    }
    fn push_id(&mut self, id: Id) -> Step {
        self.charge(1)?;
        self.stack.push(id);
        Ok(())
    }
    fn pop(&mut self) -> Step<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().map_or_else(|| self.bad("the stack is empty"), Ok),
            false => self.bad("the stack is empty"),
        }
    }
    fn top(&self) -> Step<Id> {
        self.stack.last().copied().map_or_else(|| self.bad("the stack is empty"), Ok)
    }
    /// What is above the last mark.
    fn marked(&mut self) -> Step<Vec<Id>> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => self.bad("there is no mark on the stack"),
        }
    }
    pub(super) fn value(&self, id: Id) -> &Value {
        self.out.get(id)
    }

    // Values.

    fn integer(&mut self) -> Step {
        let value = match self.op {
            op::BININT1 => Value::Int(self.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.array()?).into()),
            op::BININT => Value::Int(i32::from_le_bytes(self.array()?).into()),
            _ => {
                let bytes = self.counted()?;
                match long(&bytes) {
                    Some(n) => i64::try_from(n).map_or(Value::Long(n), Value::Int),
                    None => return self.bad("an integer has more than 128 bits"),
                }
            }
        };
        self.push(value)
    }
    fn text(&mut self) -> Step {
        let bytes = self.counted()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.push(Value::Str(text.into())),
            Err(_) => self.bad("a text is not UTF-8"),
        }
    }
    /// A string of Python 2: text where it is UTF-8.
    fn old_string(&mut self) -> Step {
        let bytes = self.counted()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => self.push(Value::Str(text.into())),
            Err(_) => self.push(Value::Bytes(bytes)),
        }
    }
    fn tuple(&mut self, count: usize) -> Step {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }
    fn paired(&self, items: Vec<Id>) -> Step<Vec<(Id, Id)>> {
        let pairs = items.chunks(2).map(|pair| match pair {
            [key, value] => Ok((*key, *value)),
            _ => self.bad("a dictionary has a key without a value"),
        });
        pairs.collect()
    }
    fn append(&mut self, mut items: Vec<Id>) -> Step {
        let list = self.top()?;
        match self.out.values.get_mut(list.0 as usize) {
            Some(Value::List(old)) => {
                old.append(&mut items);
                Ok(())
            }
            _ => self.bad("elements are added to something that is no list"),
        }
    }
    fn insert(&mut self, mut pairs: Vec<(Id, Id)>) -> Step {
        let dict = self.top()?;
        match self.out.values.get_mut(dict.0 as usize) {
            Some(Value::Dict(old)) => {
                old.append(&mut pairs);
                Ok(())
            }
            _ => self.bad("entries are added to something that is no dictionary"),
        }
    }
    fn put(&mut self) -> Step {
        let slot = match self.op {
            op::BINPUT => self.byte()?.into(),
            op::LONG_BINPUT => u32::from_le_bytes(self.array()?),
            _ => self.memo.len() as u32,
        };
        let id = self.top()?;
        self.charge(1)?;
        self.memo.insert(slot, id);
        Ok(())
    }
    fn get_memo(&mut self) -> Step {
        let slot = match self.op {
            op::BINGET => self.byte()?.into(),
            _ => u32::from_le_bytes(self.array()?),
        };
        match self.memo.get(&slot) {
            Some(&id) => self.push_id(id),
            None => self.bad(format!("slot {slot} of the memo is empty")),
        }
    }
    fn global(&mut self) -> Step {
        let (module, name) = if self.op == op::GLOBAL {
            (self.line()?, self.line()?)
        } else {
            let (name, module) = (self.pop()?, self.pop()?);
            match (self.out.str(module), self.out.str(name)) {
                (Some(module), Some(name)) => (module.to_owned(), name.to_owned()),
                _ => return self.bad("a global has no name"),
            }
        };
        match Global::find(&module, &name) {
            Some(global) => self.push(Value::Global(global)),
            None => self.refuse(format!(
                "it uses `{module}.{name}`, which is not among the names that a file of weights \
                 or a TorchScript program needs"
            )),
        }
    }
    fn persistent(&mut self) -> Step {
        let id = self.pop()?;
        let storage = self.storage(id)?;
        self.push(Value::Storage(storage))
    }
    fn reduce(&mut self) -> Step {
        let (args, function) = (self.pop()?, self.pop()?);
        let value = rebuild(self, function, args)?;
        match value {
            Rebuilt::New(value) => self.push(value),
            Rebuilt::Old(id) => self.push_id(id),
        }
    }
    fn new_object(&mut self) -> Step {
        let (_, class) = (self.pop()?, self.pop()?);
        match self.value(class) {
            Value::Global(Global::Script(name)) => {
                let class = name.clone();
                self.push(Value::Object { class, state: None })
            }
            Value::Global(Global::Known(_, make)) if *make == super::globals::Make::Dict => {
                self.push(Value::Dict(Vec::new()))
            }
            other => {
                let kind = other.kind();
                self.refuse(format!("it makes an object of {kind}"))
            }
        }
    }
    /// Gives the top of the stack its state. Attributes of dictionaries (`_metadata`) and of
    /// tensors have no meaning here.
    fn build(&mut self) -> Step {
        let given = self.pop()?;
        let object = self.top()?;
        match self.out.values.get_mut(object.0 as usize) {
            Some(Value::Object { state, .. }) => {
                *state = Some(given);
                Ok(())
            }
            Some(Value::Dict(_) | Value::Tensor(_)) => Ok(()),
            _ => self.bad("state is given to something that is no object"),
        }
    }
}

/// What a call gives.
pub(super) enum Rebuilt {
    New(Value),
    Old(Id),
}

/// A little-endian integer in two's complement.
fn long(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [fill; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

/// A name as it stands in a tensor's storage: texts and numbers both occur.
pub(super) fn key_text(value: &Value) -> Option<Arc<str>> {
    match value {
        Value::Str(s) => Some(s.clone()),
        Value::Int(n) => Some(n.to_string().into()),
        _ => None,
    }
}
