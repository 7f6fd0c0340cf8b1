//! The text form of a module, `.irt`.
//!
//! [`print`] writes it, [`parse`] reads it, and `parse(print(m)) == m` for every module,
//! also for one that the verifier refuses: ids, names, notes and origins come back, and so
//! do nodes that no region lists, values that nothing makes and references to what is not
//! there. Whether a program means something is for the verifier to say.
//!
//! ```text
//! airconv 0.1
//! opset "onnx" = 17
//!
//! func @0 "main" {
//!   symbol $0 "batch": 0..
//!   in "x": user
//!   out "y": user
//!   body ^0(%0 "x": f32[batch, 3, 8, 8]) {
//!     %1: f32[4, 3, 1, 1] = constant {tensor = #0}
//!     %2 "y": f32[batch, 4, 8, 8] = conv(%0, %1) {strides = [1, 1]} loc1
//!     return %2
//!   }
//! }
//!
//! loc0 = unknown
//! loc1 = source("onnx", "graph", "conv1", "Conv")
//! tensor #0: f32[4, 3, 1, 1] = splat(0.5)
//! ```
//!
//! # Grammar
//!
//! White space and comments (`//` to the end of the line) may stand between any two
//! tokens; line ends mean nothing. `{ x }` is any number of `x`, `[ x ]` none or one,
//! `x ,*` any number with commas between and perhaps one after.
//!
//! ```text
//! module   = "airconv" "0.1" { opset | entry | func | note | loc | tensor }
//! opset    = "opset" string "=" int
//! entry    = "entry" "@N"                                      (@0 when there is none)
//! func     = "func" "@N" string "{" { item } "}"               (@0, @1 ... in order)
//! item     = "symbol" "$N" string ":" [int] ".." ["=" int] ["why" string]   ($0, $1 ... in order)
//!          | "in" string ":" ( "user" [kind] ["default" "#N"] | "param" ["#N"] | "state" ["#N"] )
//!          | "out" string ":" ( "user" [kind] | "state" string | "input" int )
//!          | "body" region                                     (^0 when there is none)
//!          | "region" region                                   (one that no node carries)
//!          | "node" node                                       (one that no region lists)
//!          | "value" value "=" ( "param" "^N" int | "result" "nN" int )   (one that neither has)
//! kind     = "tensor" | "int" | "float" | "bool" | "constant"
//!
//! region   = "^N" [ [ "(" def ,* ")" ] "{" { node | "node" "nN" } [ "return" [ "%N" ,* ] ] "}" ]
//! node     = ["nN" ":"] [ ( def | "_" ) ,* "=" ] op [ "(" ( "%N" | "_" ) ,* ")" ] [fields] ["locN"]
//! def      = value | "%N"                                      (the latter: defined elsewhere)
//! value    = "%N" [string] ":" type
//! op       = the name of an op
//! fields   = "{" ( key "=" field ) ,* "}"
//! key      = name | string
//!
//! type     = dtype "[" dim ,* "]" | dtype "[" "*" "]" | "unknown"
//!          | "sequence" "(" type ")" | "optional" "(" type ")" | "map" "(" dtype "," type ")"
//! dtype    = "f32" | "i64" ...
//! dim      = what `dim::parse_dim` reads; a symbol that no name finds is "$N" in quotes
//!
//! field    = by the kind of the field in the op table: dim, "[" dim ,* "]", dtype, type,
//!            name | string for an enumerated choice, "[" ... "]" for ints, floats and
//!            strings, and attr for every other kind; of a source op `domain`, `overload`,
//!            `version` and `attributes` may be left out
//! attr     = "true" | "false" | int | float | string | hex | "#N" | "@N" | region
//!          | "dim" dim | "dtype" dtype | "type" type | "{" ( key "=" attr ) ,* "}"
//!          | "[" one or more ints, floats or strings "]"
//!          | "ints" "[" int ,* "]" | "floats" "[" float ,* "]" | "strings" "[" string ,* "]"
//!          | "dims" "[" dim ,* "]" | "list" "[" attr ,* "]"
//!
//! note     = "note" [ "@N" ["nN" | "%N" | "^N"] | "#N" ] [string "=" string]
//! loc      = "locN" "=" ( "unknown" | "source" "(" string "," string "," string "," string ")"
//!          | "derived" "(" string { "," "locN" } ")" )         (loc0, loc1 ... in order)
//! tensor   = "tensor" "#N" ":" dtype "[" int ,* "]" "=" data   (#0, #1 ... in order)
//! data     = hex | "[" number ,* "]" | "splat" "(" ( hex | number ) ")"
//!          | "strings" "[" ( string | hex ) ,* "]"
//!          | "external" "(" string "," int "," int ")"         (path, offset, length)
//!          | "blake3" '"' 64 hex digits '"'
//!
//! int      = ["-"] digits
//! float    = ["-"] digits [ "." digits ] [ "e" ["+" | "-"] digits ] | ["-"] "inf"
//!          | "nan" [ '"' the bits, 16 hex digits '"' ]
//! number   = int | float | "true" | "false"
//! hex      = "hex" '"' { two hex digits } '"'
//! string   = '"' characters and escapes \" \\ \n \r \t \u{hex digits} '"'
//! name     = [A-Za-z_] { [A-Za-z0-9_.] }
//! ```
//!
//! A node without an `nN:` has the id after that of the node whose text begins before it,
//! the first one `n0`. A float as an attribute has a `.` or an `e`, so that it is no
//! integer.

mod lex;
mod number;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use bytes::Bytes;

use crate::attr::Attr;
use crate::diag::Diagnostic;
use crate::entity::{FuncId, NodeId};
use crate::module::{Function, Module};

/// The version of the text form.
pub const VERSION: &str = "0.1";

/// What the text holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintOptions {
    /// Tensors of more bytes than this stand in the text by the BLAKE3 digest of their
    /// bytes, to be found again with [`ParseOptions::weights`].
    pub inline_up_to: u64,
    /// Whether the origins of nodes and the table of them are written. Without them the
    /// text is easier to read, and no longer the whole module.
    pub origins: bool,
    /// Whether notes are written. Without them the text is no longer the whole module.
    pub notes: bool,
}

impl Default for PrintOptions {
    /// All of the module, in the text alone.
    fn default() -> Self {
        Self { inline_up_to: u64::MAX, origins: true, notes: true }
    }
}

impl PrintOptions {
    /// For people: without origins and notes, large tensors by digest.
    pub fn brief() -> Self {
        Self { inline_up_to: 64, origins: false, notes: false }
    }
}

/// What a text may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLimits {
    /// Longest text, in bytes.
    pub bytes: usize,
    /// Deepest nesting of regions, attributes and types.
    pub nesting: u32,
    /// Longest name, string or number, in bytes. Hexadecimal data is not counted.
    pub token: usize,
    /// Most nodes, values and regions, together.
    pub entities: usize,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self { bytes: 1 << 30, nesting: 128, token: 1 << 24, entities: 1 << 25 }
    }
}

/// Finds the bytes of a tensor by their BLAKE3 digest.
pub type Weights<'a> = &'a dyn Fn(&[u8; 32]) -> Option<Bytes>;

/// How a text is read.
#[derive(Clone, Default)]
pub struct ParseOptions<'a> {
    /// What it may ask for.
    pub limits: TextLimits,
    /// Finds tensors that the text names by digest. It is trusted to find the right ones.
    pub weights: Option<Weights<'a>>,
}

/// Which kind of thing is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// It does not follow the grammar.
    Syntax,
    /// What it says makes no module: an id twice, an unknown op or field.
    Structure,
    /// It is over a limit.
    Limit,
    /// It names a tensor by a digest for which there are no bytes.
    Weights,
}

/// Why a text is not a module, and where. Displayed with the line and a mark under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The kind.
    pub kind: ErrorKind,
    /// The byte at which it was found.
    pub offset: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The line of the text, or the part of a long one that is around the column.
    pub excerpt: String,
    /// The number of characters of the excerpt before the column.
    pub mark: usize,
}

impl ParseError {
    /// The short stable code of the kind.
    pub fn code(&self) -> &'static str {
        match self.kind {
            ErrorKind::Syntax => "text-syntax",
            ErrorKind::Structure => "text-structure",
            ErrorKind::Limit => "text-limit",
            ErrorKind::Weights => "text-weights",
        }
    }

    fn new(text: &str, fail: lex::Fail) -> Self {
        /// Characters of the line that are shown before and after the place.
        const AROUND: usize = 60;
        let lex::Fail { kind, message, at } = fail;
        let mut at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        let (before, after) = text.split_at(at);
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let (head, tail) = (&before[start..], after.lines().next().unwrap_or(""));
        let column = head.chars().count();
        let shown = column.min(AROUND);
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let excerpt =
            head.chars().skip(column - shown).chain(tail.chars().take(AROUND)).map(printable);
        Self {
            kind,
            offset: at,
            line: before.bytes().filter(|&b| b == b'\n').count() + 1,
            column: column + 1,
            message,
            excerpt: excerpt.collect::<String>().trim_end().to_owned(),
            mark: shown,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}: {}", self.line, self.column, self.message)?;
        writeln!(f, "  | {}", self.excerpt)?;
        write!(f, "  | {:1$}^", "", self.mark)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Diagnostic {
    fn from(e: ParseError) -> Self {
        let at = format!("line {}, column {}", e.line, e.column);
        Diagnostic::error(e.code(), e.message).at(at).line(e.excerpt)
    }
}

/// What an entry of a source op is when the text does not say.
fn source_default(key: &str) -> Option<Attr> {
    match key {
        "domain" | "overload" => Some(Attr::Str(String::new())),
        "version" => Some(Attr::Int(0)),
        "attributes" => Some(Attr::Map(BTreeMap::new())),
        _ => None,
    }
}

/// The text of a module.
///
/// It reads back as the same module if its attributes and types are nested less deeply
/// than the limits allow, no name is over them, and the options leave nothing out.
pub fn print(module: &Module, options: &PrintOptions) -> String {
    print::to_string(module, options)
}

/// Writes the text of a module piece by piece, without all of it in memory at once.
pub fn write(module: &Module, options: &PrintOptions, out: &mut dyn io::Write) -> io::Result<()> {
    print::to_writer(module, options, out)
}

/// The text of a node on one line, for messages: with the types of operands, without the
/// origin; regions are named only.
pub fn print_node(module: &Module, func: FuncId, node: NodeId) -> String {
    print::node_to_string(module, func, node)
}

/// The text of a type, with the names of the function's symbols.
pub fn print_type(function: &Function, ty: &crate::types::Type) -> String {
    print::type_to_string(function, ty)
}

/// Reads the text of a module.
pub fn parse(text: &str, options: &ParseOptions<'_>) -> Result<Module, ParseError> {
    parse::module(text, options).map_err(|fail| ParseError::new(text, *fail))
}
