//! The records of the program section.
//!
//! Keys are short, stable and never used again for something else; a key that came after
//! 0.1 says so with its `since` and has the old meaning as its default.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeSeq, Serializer};

use crate::record::{Bin, Catalog, Digest, Named, Wire, member, records};

records! {
    /// The whole program.
    record Program "program" {
        /// The functions; a function is referred to by its position.
        "f" functions: Vec<Function> = default since 1;
        /// The position of the function that is the program.
        "e" entry: u32 = default since 1;
        /// The names of the ops that nodes refer to by position.
        "o" ops: Vec<String> = default since 1;
        /// The texts that names of values and origins refer to by position.
        "s" strings: Vec<String> = default since 1;
        /// The pieces of the tensor section, in the order of the file.
        "b" blobs: Vec<Blob> = default since 1;
        /// The tensors; a tensor is referred to by its position.
        "t" tensors: Vec<Tensor> = default since 1;
        /// Where nodes came from; an origin is referred to by its position.
        "l" origins: Vec<Origin> = default since 1;
        /// Names, documentation and metadata.
        "n" notes: Vec<Note> = default since 1;
        /// The operator sets of the source, by format-qualified domain.
        "v" opsets: Named<i64> = default since 1;
    }

    /// A function. Symbols, regions, nodes, values and types are referred to by position.
    record Function "function" {
        /// The name, unique in the program.
        "n" name: String = required since 1;
        /// Symbolic sizes.
        "y" symbols: Vec<Symbol> = default since 1;
        /// One per parameter of the body.
        "i" inputs: Vec<Input> = default since 1;
        /// One per result of the body.
        "o" outputs: Vec<Output> = default since 1;
        /// The position of the region that is the body.
        "b" body: u32 = default since 1;
        /// Regions.
        "r" regions: Vec<Region> = default since 1;
        /// The distinct types of the values.
        "t" types: Vec<Type> = default since 1;
        /// Nodes; their order of execution is in the regions.
        "x" nodes: Vec<Node> = default since 1;
        /// Values.
        "v" values: Vec<Value> = default since 1;
    }

    /// A symbolic size.
    record Symbol "symbol" {
        /// The name, unique in the function.
        "n" name: String = required since 1;
        /// The least value, if there is a bound.
        "min" min: Option<i64> = default since 1;
        /// The greatest value, if there is a bound.
        "max" max: Option<i64> = default since 1;
        /// Where it comes from, when it is not the size of an input axis.
        "why" why: Option<String> = default since 1;
    }

    /// An input of a function.
    record Input "input" {
        /// The name, unique among the inputs.
        "n" name: String = required since 1;
        /// What it is to the program.
        "r" role: InputRole = required since 1;
    }

    /// What an input is to the program.
    union InputRole "input_role" {
        unit {}
        with {
            /// Given by the caller at each run.
            "user" User(UserInput) since 1;
            /// A trained parameter: a tensor, or nil when the numbers are not supplied.
            "param" Param(Option<u32>) since 1;
            /// State carried from run to run: the first value, or nil.
            "state" State(Option<u32>) since 1;
        }
    }

    /// How the caller gives an input.
    record UserInput "user_input" {
        /// The tensor that stands in when the caller gives nothing.
        "d" default: Option<u32> = default since 1;
        /// How the calling convention passes it.
        "k" kind: ArgKind = required since 1;
    }

    /// How a calling convention passes an argument or a result.
    union ArgKind "arg_kind" {
        unit {
            /// A tensor or a container.
            "tensor" Tensor since 1;
            /// A host integer.
            "int" Int since 1;
            /// A host float.
            "float" Float since 1;
            /// A host truth value.
            "bool" Bool since 1;
            /// A constant of the signature.
            "constant" Constant since 1;
        }
        with {}
    }

    /// An output of a function.
    record Output "output" {
        /// The name, unique among the outputs.
        "n" name: String = required since 1;
        /// What it is to the program.
        "r" role: OutputRole = required since 1;
    }

    /// What an output is to the program.
    union OutputRole "output_role" {
        unit {}
        with {
            /// Returned to the caller.
            "user" User(ArgKind) since 1;
            /// The next value of the state of that name.
            "state" StateUpdate(String) since 1;
            /// The new contents of the input at that position.
            "input" InputUpdate(u32) since 1;
        }
    }

    /// A body of nodes.
    record Region "region" {
        /// Parameters: values.
        "p" params: Vec<u32> = default since 1;
        /// Nodes in order of execution.
        "x" nodes: Vec<u32> = default since 1;
        /// Results: values.
        "r" results: Vec<u32> = default since 1;
    }

    /// An application of an op.
    record Node "node" {
        /// The op: a position in `ops` of the program.
        "o" op: u32 = required since 1;
        /// The fields of the op by name, without those that equal their default.
        "a" attrs: Named<Attr> = default since 1;
        /// Operands by slot: values, or nil for an absent one.
        "i" operands: Vec<Option<u32>> = default since 1;
        /// Results by slot: values, or nil for an absent one.
        "r" results: Vec<Option<u32>> = default since 1;
        /// Where it came from: a position in `origins` of the program.
        "l" origin: u32 = default since 1;
    }

    /// A value.
    record Value "value" {
        /// The type: a position in `types` of the function.
        "t" ty: u32 = required since 1;
        /// The name in the source: a position in `strings` of the program.
        "n" name: Option<u32> = default since 1;
        /// What makes it. Absent: the first region parameter that it is, else the first
        /// node result.
        "d" def: Option<Def> = default since 1;
    }

    /// What makes a value.
    union Def "def" {
        unit {}
        with {
            /// A parameter of a region: region and position.
            "p" Param((u32, u32)) since 1;
            /// A result of a node: node and slot.
            "r" Result((u32, u32)) since 1;
        }
    }

    /// The type of a value.
    union Type "type" {
        unit {
            /// Nothing is known.
            "?" Unknown since 1;
        }
        with {
            /// A ranked tensor.
            "t" Tensor(TensorType) since 1;
            /// A tensor of this dtype and unknown rank.
            "u" Unranked(String) since 1;
            /// A list.
            "seq" Sequence(Box<Type>) since 1;
            /// A value that may be absent.
            "opt" Optional(Box<Type>) since 1;
            /// A map.
            "map" Map(MapType) since 1;
        }
    }

    /// The type of a ranked tensor.
    record TensorType "tensor_type" {
        /// The element type.
        "d" dtype: String = required since 1;
        /// The size of each axis, outermost first.
        "s" shape: Vec<Dim> = default since 1;
    }

    /// The type of a map.
    record MapType "map_type" {
        /// The dtype of the keys.
        "k" key: String = required since 1;
        /// The type of the values.
        "v" value: Box<Type> = required since 1;
    }

    /// A field of an op. The tag keeps kinds apart, also those of empty lists.
    union Attr "attr" {
        unit {}
        with {
            /// A truth value.
            "b" Bool(bool) since 1;
            /// An integer.
            "i" Int(i64) since 1;
            /// A float.
            "f" Float(f64) since 1;
            /// Text, also the spelling of a choice.
            "s" Str(String) since 1;
            /// Bytes.
            "y" Bytes(Bin) since 1;
            /// An element type.
            "d" DType(String) since 1;
            /// A size.
            "n" Dim(Dim) since 1;
            /// A type.
            "t" Type(Type) since 1;
            /// A tensor.
            "w" Tensor(u32) since 1;
            /// A region of the same function.
            "r" Region(u32) since 1;
            /// A function.
            "c" Func(u32) since 1;
            /// Integers.
            "is" Ints(Vec<i64>) since 1;
            /// Floats.
            "fs" Floats(Vec<f64>) since 1;
            /// Texts.
            "ss" Strs(Vec<String>) since 1;
            /// Sizes.
            "ns" Dims(Vec<Dim>) since 1;
            /// Any other list.
            "l" List(Vec<Attr>) since 1;
            /// Named attributes.
            "m" Map(Named<Attr>) since 1;
        }
    }

    /// A function inside a size, applied to sizes.
    union Atom "atom" {
        unit {}
        with {
            /// A symbol of the function.
            "y" Symbol(u32) since 1;
            /// The quotient rounded towards negative infinity.
            "fd" FloorDiv((Dim, Dim)) since 1;
            /// The quotient rounded towards positive infinity.
            "cd" CeilDiv((Dim, Dim)) since 1;
            /// What `fd` leaves.
            "mod" Mod((Dim, Dim)) since 1;
            /// The smallest.
            "min" Min(Vec<Dim>) since 1;
            /// The greatest.
            "max" Max(Vec<Dim>) since 1;
            /// The size that all those other than 1 have.
            "bc" Broadcast(Vec<Dim>) since 1;
        }
    }

    /// A summand of a size.
    record Term "term" {
        /// The integer factor.
        "k" coeff: i64 = required since 1;
        /// The other factors.
        "a" atoms: Vec<Atom> = default since 1;
    }

    /// A piece of the tensor section.
    record Blob "blob" {
        /// The first byte, counted from the start of the file.
        "o" offset: u64 = required since 1;
        /// The number of bytes.
        "n" length: u64 = required since 1;
        /// The BLAKE3 digest of the bytes.
        "h" digest: Digest = required since 1;
    }

    /// A constant array.
    record Tensor "tensor" {
        /// The element type.
        "d" dtype: String = required since 1;
        /// The size of each axis.
        "s" shape: Vec<u64> = default since 1;
        /// Where the elements are.
        "k" storage: Storage = required since 1;
    }

    /// Where the elements of a tensor are.
    union Storage "storage" {
        unit {}
        with {
            /// All elements are the bytes of a blob, given by its position.
            "b" Blob(u32) since 1;
            /// Every element equals the one whose bytes these are.
            "one" Splat(Bin) since 1;
            /// Byte strings, one per element.
            "str" Strings(Vec<Bin>) since 1;
            /// The elements are in another file.
            "ext" External(External) since 1;
        }
    }

    /// A place in another file.
    record External "external" {
        /// The file, relative to the folder of this one, with `/` between its parts.
        "p" path: String = required since 1;
        /// The first byte.
        "o" offset: u64 = default since 1;
        /// The number of bytes.
        "n" length: u64 = required since 1;
    }

    /// Where something came from.
    union Origin "origin" {
        unit {
            /// Nowhere in particular.
            "?" Unknown since 1;
        }
        with {
            /// A place in a source file.
            "s" Source(Source) since 1;
            /// Made from others.
            "d" Derived(Derived) since 1;
        }
    }

    /// A place in a source file. All are positions in `strings` of the program.
    record Source "source" {
        /// The format.
        "f" format: u32 = required since 1;
        /// The path down to the node.
        "p" path: u32 = required since 1;
        /// The name of the node.
        "n" name: u32 = required since 1;
        /// The op as the source calls it.
        "o" op: u32 = required since 1;
    }

    /// Something made from others.
    record Derived "derived" {
        /// The pass or step: a position in `strings` of the program.
        "b" by: u32 = required since 1;
        /// Origins.
        "f" from: Vec<u32> = default since 1;
    }

    /// What a source format says about an entity.
    record Note "note" {
        /// The entity.
        "a" about: About = required since 1;
        /// Texts by key.
        "m" texts: Named<String> = default since 1;
    }

    /// What a note is about.
    union About "about" {
        unit {
            /// The program.
            "program" Program since 1;
        }
        with {
            /// A function.
            "func" Func(u32) since 1;
            /// A node: function and node.
            "node" Node((u32, u32)) since 1;
            /// A value: function and value.
            "value" Value((u32, u32)) since 1;
            /// A region: function and region.
            "region" Region((u32, u32)) since 1;
            /// A tensor.
            "tensor" Tensor(u32) since 1;
        }
    }
}

// The struct comes from a macro that knows no other attributes.
#[allow(clippy::derivable_impls)]
impl Default for Program {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            entry: 0,
            ops: Vec::new(),
            strings: Vec::new(),
            blobs: Vec::new(),
            tensors: Vec::new(),
            origins: Vec::new(),
            notes: Vec::new(),
            opsets: Named::default(),
        }
    }
}

/// A size: an integer, nil for one that is not known, or a list of terms that add up.
#[derive(Clone, Debug, PartialEq)]
pub enum Dim {
    /// A known integer.
    Known(i64),
    /// A sum.
    Sum(Vec<Term>),
    /// Not known.
    Any,
}

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Known(k) => s.serialize_i64(*k),
            Self::Any => s.serialize_unit(),
            Self::Sum(terms) => {
                let mut seq = s.serialize_seq(Some(terms.len()))?;
                for term in terms {
                    seq.serialize_element(term)?;
                }
                seq.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Dim;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size: an integer, nil or a list of terms")
            }
            fn visit_i64<E>(self, v: i64) -> Result<Dim, E> {
                Ok(Dim::Known(v))
            }
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Dim, E> {
                i64::try_from(v)
                    .map(Dim::Known)
                    .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(v), &self))
            }
            fn visit_unit<E>(self) -> Result<Dim, E> {
                Ok(Dim::Any)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dim, A::Error> {
                let mut terms = Vec::new();
                while let Some(term) = seq.next_element()? {
                    terms.push(term);
                }
                Ok(Dim::Sum(terms))
            }
        }
        d.deserialize_any(V)
    }
}

impl Wire for Dim {
    fn type_name() -> String {
        "dim".to_owned()
    }
    fn describe(catalog: &mut Catalog) {
        let doc = ["A size. Not tagged: the MessagePack type tells the variants apart."];
        let members = vec![
            member("int", "Known", Some("i64".to_owned()), None, 1, &["A known integer."]),
            member("nil", "Any", None, None, 1, &["Not known."]),
            member("array", "Sum", Some("[term]".to_owned()), None, 1, &["A sum of terms."]),
        ];
        if catalog.enter("dim", "untagged", &doc, members) {
            Term::describe(catalog);
        }
    }
    fn needs(&self, f: &mut dyn FnMut(u16, &'static str)) {
        if let Self::Sum(terms) = self {
            terms.needs(f);
        }
    }
}

impl Program {
    /// The MessagePack form.
    pub fn encode(&self) -> Result<Vec<u8>, crate::WriteError> {
        let mut out = Vec::new();
        self.serialize(&mut rmp_serde::Serializer::new(&mut out))
            .map_err(|e| crate::WriteError::Encode(e.to_string()))?;
        Ok(out)
    }

    /// Reads the MessagePack form. Checks limits, nesting and lengths before it builds
    /// anything (C-200 to C-204).
    pub fn decode(bytes: &[u8], limits: &crate::Limits) -> Result<Self, crate::ReadError> {
        crate::scan::scan(bytes, limits)?;
        let mut de = rmp_serde::Deserializer::from_read_ref(bytes);
        // The scan has bounded the nesting already.
        de.set_max_depth(limits.depth as usize + 8);
        Self::deserialize(&mut de).map_err(|e| crate::ReadError::Records(e.to_string()))
    }
}
