//! Bytes to ONNX messages, without copying payloads and without trusting the file.
//!
//! Decoding has two steps. A scan walks the encoded message with the field numbers of the
//! format, allocates nothing, and adds up what the decoded form will take; a file that nests too
//! deeply, has too many messages or would grow too much in memory is refused there. Only then
//! does prost build the messages, whose `bytes` fields are views of the input.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;
use prost::Message;

use crate::proto;

/// Deepest nesting that the protobuf decoder follows, whatever [`Limits`] say.
const HARD_DEPTH: u32 = 100;

/// Bytes added to every heap block for the allocator's own use.
const BLOCK_OVERHEAD: u64 = 16;

/// How much an untrusted file may ask for. Tensor payloads that stay views of the file do not
/// count towards memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Levels of messages within messages; at most 100 has an effect.
    pub max_depth: u32,
    /// Number of messages within the outermost one.
    pub max_messages: u64,
    /// Decoded bytes allowed for each byte of the file.
    pub expansion_factor: u64,
    /// Decoded bytes allowed on top, so that small files are not refused.
    pub expansion_base: u64,
    /// Decoded bytes allowed for any file.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_depth: HARD_DEPTH,
            max_messages: 1 << 25,
            expansion_factor: 32,
            expansion_base: 128 << 20,
            max_decoded_bytes: 16 << 30,
        }
    }
}

impl Limits {
    /// Decoded bytes allowed for a file of this many bytes.
    pub fn memory_for(&self, file_bytes: u64) -> u64 {
        file_bytes
            .saturating_mul(self.expansion_factor)
            .saturating_add(self.expansion_base)
            .min(self.max_decoded_bytes)
    }
}

/// Why bytes are not an acceptable message. Offsets count from the start of the input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Messages within messages, too many levels.
    #[error(
        "messages nest more than {limit} levels deep at byte {offset} (in {message}): flatten \
         the subgraphs, or raise the nesting limit (100 is the most that ONNX readers follow)"
    )]
    TooDeep {
        /// The limit in force.
        limit: u32,
        /// Where the level too many begins.
        offset: u64,
        /// The message that it lies in.
        message: &'static str,
    },
    /// Too many messages in all.
    #[error("the file holds more than {limit} messages: raise the message limit if you trust it")]
    TooManyMessages {
        /// The limit in force.
        limit: u64,
    },
    /// The decoded form would be too large.
    #[error(
        "a file of {file_bytes} bytes would take more than {limit} bytes of memory when decoded \
         (at byte {offset}, in {message}): raise the expansion limit if you trust it"
    )]
    TooMuchMemory {
        /// Size of the input.
        file_bytes: u64,
        /// The limit in force.
        limit: u64,
        /// Where the limit was passed.
        offset: u64,
        /// The message in which it was passed.
        message: &'static str,
    },
    /// The bytes end inside a field, or a field is longer than the message around it.
    #[error(
        "the bytes end too early at byte {offset} (in {message}): the file is cut short, damaged \
         or not an ONNX model"
    )]
    Truncated {
        /// Where the incomplete field begins.
        offset: u64,
        /// The message that it lies in.
        message: &'static str,
    },
    /// What stands where a field begins is no field.
    #[error(
        "no protobuf field at byte {offset} (in {message}): the file is damaged or not an ONNX \
         model"
    )]
    BadField {
        /// Where the field would begin.
        offset: u64,
        /// The message that it lies in.
        message: &'static str,
    },
    /// A field is encoded as another kind of value than the format gives it.
    #[error(
        "{message}.{field} at byte {offset} is encoded as the wrong kind of value: the file is \
         damaged or not an ONNX model"
    )]
    WrongKind {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Where the field begins.
        offset: u64,
    },
    /// A text field is not UTF-8.
    #[error(
        "{message}.{field} at byte {offset} is not valid UTF-8: write the model again with a \
         valid name"
    )]
    InvalidUtf8 {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
        /// Where the text begins.
        offset: u64,
    },
    /// The decoder refused what the scan let pass.
    #[error("not a valid ONNX message: {0}")]
    Malformed(#[from] prost::DecodeError),
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Messages within the outermost one.
    pub messages: u64,
    /// Estimate of the memory that the decoded form takes, without payloads that stay views.
    pub decoded_bytes: u64,
    /// Deepest nesting.
    pub depth: u32,
    /// Fields that IR version 14 does not have. Decoding drops them.
    pub unknown_fields: u64,
    /// Message and field number of the first of them.
    pub first_unknown: Option<(&'static str, u32)>,
}

/// Decodes a model. `bytes` fields of the result, initialiser payloads among them, are views of
/// the input and keep it alive.
pub fn decode_model(bytes: Bytes, limits: &Limits) -> Result<proto::ModelProto, DecodeError> {
    decode(Kind::Model, bytes, limits)
}

/// Decodes a tensor on its own, as test data files hold it.
pub fn decode_tensor(bytes: Bytes, limits: &Limits) -> Result<proto::TensorProto, DecodeError> {
    decode(Kind::Tensor, bytes, limits)
}

/// Decodes a list value on its own, as test data files hold it.
pub fn decode_sequence(bytes: Bytes, limits: &Limits) -> Result<proto::SequenceProto, DecodeError> {
    decode(Kind::SequenceValue, bytes, limits)
}

/// Decodes a possibly missing value on its own, as test data files hold it.
pub fn decode_optional(bytes: Bytes, limits: &Limits) -> Result<proto::OptionalProto, DecodeError> {
    decode(Kind::OptionalValue, bytes, limits)
}

/// Checks an encoded model against the limits without decoding it.
pub fn scan_model(bytes: &[u8], limits: &Limits) -> Result<Scan, DecodeError> {
    scan(Kind::Model, bytes, limits)
}

/// Opens a file as bytes: mapped where `use_mmap` is set, else read. An empty file gives empty
/// bytes; anything but a regular file is refused.
///
/// A mapped file must not be changed or cut short while the bytes are in use.
pub fn map_file(path: &Path, use_mmap: bool) -> io::Result<Bytes> {
    // Opening a pipe would block, so the kind is checked first; and again on what was opened.
    refuse_irregular(path, &fs::metadata(path)?)?;
    let file = File::open(path)?;
    refuse_irregular(path, &file.metadata()?)?;
    map_open_file(file, use_mmap)
}

/// Bytes of an open regular file.
pub(crate) fn map_open_file(mut file: File, use_mmap: bool) -> io::Result<Bytes> {
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(Bytes::new());
    }
    let size = usize::try_from(length).map_err(|_| {
        io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("the file has {length} bytes, more than this machine can address"),
        )
    })?;
    if use_mmap {
        // SAFETY: the map is read-only and lives as long as the bytes made of it. That nobody
        // changes the file meanwhile is what the documentation of `map_file` asks for.
        let map = unsafe { memmap2::MmapOptions::new().len(size).map(&file)? };
        return Ok(Bytes::from_owner(map));
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(size).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.by_ref().take(length).read_to_end(&mut buffer)?;
    Ok(Bytes::from(buffer))
}

fn refuse_irregular(path: &Path, found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let what = if found.is_dir() { "is a folder" } else { "is not a regular file" };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("{} {what}: name a file on disk", path.display()),
    ))
}

fn decode<M: Message + Default>(
    kind: Kind,
    bytes: Bytes,
    limits: &Limits,
) -> Result<M, DecodeError> {
    scan(kind, &bytes, limits)?;
    Ok(M::decode(bytes)?)
}

fn scan(kind: Kind, bytes: &[u8], limits: &Limits) -> Result<Scan, DecodeError> {
    let file_bytes = bytes.len() as u64;
    let mut scanner = Scanner {
        data: bytes,
        at: 0,
        max_depth: limits.max_depth.min(HARD_DEPTH),
        max_messages: limits.max_messages,
        max_bytes: limits.memory_for(file_bytes),
        found: Scan { decoded_bytes: kind.size(), ..Scan::default() },
    };
    scanner.message(kind, bytes.len(), 0)?;
    Ok(scanner.found)
}

/// Wire types of protobuf, as numbered by the format.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Fixed64,
    Delimited,
    StartGroup,
    Fixed32,
}

/// Where the decoded form puts a nested message.
#[derive(Clone, Copy)]
enum Place {
    /// Within the message around it.
    Inline,
    /// In a heap block of its own.
    Boxed,
    /// In a vector.
    List,
}

/// How a field is encoded and decoded.
#[derive(Clone, Copy)]
enum Field {
    /// One number.
    Number(Wire),
    /// A vector of numbers of this decoded size, packed or not.
    Numbers(Wire, u64),
    /// Text, copied.
    Text,
    /// A vector of texts, copied.
    Texts,
    /// Bytes, a view.
    Blob,
    /// A vector of views.
    Blobs,
    /// A nested message.
    Nested(Kind, Place),
}

macro_rules! kinds {
    ($($kind:ident $message:path;)*) => {
        /// The messages of the format.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Kind { $($kind),* }

        impl Kind {
            /// Size of the decoded message, without what it points to.
            fn size(self) -> u64 {
                match self { $(Self::$kind => size_of::<$message>() as u64),* }
            }
        }
    };
}

kinds! {
    Annotation proto::TensorAnnotation;
    Attribute proto::AttributeProto;
    DeviceConfiguration proto::DeviceConfigurationProto;
    Dimension proto::tensor_shape_proto::Dimension;
    Entry proto::StringStringEntryProto;
    Function proto::FunctionProto;
    Graph proto::GraphProto;
    IntListEntry proto::IntIntListEntryProto;
    MapType proto::type_proto::Map;
    MapValue proto::MapProto;
    Model proto::ModelProto;
    Node proto::NodeProto;
    NodeDevice proto::NodeDeviceConfigurationProto;
    OpaqueType proto::type_proto::Opaque;
    OperatorSet proto::OperatorSetIdProto;
    OptionalType proto::type_proto::Optional;
    OptionalValue proto::OptionalProto;
    Segment proto::tensor_proto::Segment;
    SequenceType proto::type_proto::Sequence;
    SequenceValue proto::SequenceProto;
    Shape proto::TensorShapeProto;
    ShardedDim proto::ShardedDimProto;
    Sharding proto::ShardingSpecProto;
    SimpleSharding proto::SimpleShardedDimProto;
    SparseTensor proto::SparseTensorProto;
    SparseType proto::type_proto::SparseTensor;
    Tensor proto::TensorProto;
    TensorType proto::type_proto::Tensor;
    Training proto::TrainingInfoProto;
    Type proto::TypeProto;
    ValueInfo proto::ValueInfoProto;
}

impl Kind {
    /// Name of the message in the format.
    fn name(self) -> &'static str {
        match self {
            Self::Annotation => "TensorAnnotation",
            Self::Attribute => "AttributeProto",
            Self::DeviceConfiguration => "DeviceConfigurationProto",
            Self::Dimension => "TensorShapeProto.Dimension",
            Self::Entry => "StringStringEntryProto",
            Self::Function => "FunctionProto",
            Self::Graph => "GraphProto",
            Self::IntListEntry => "IntIntListEntryProto",
            Self::MapType => "TypeProto.Map",
            Self::MapValue => "MapProto",
            Self::Model => "ModelProto",
            Self::Node => "NodeProto",
            Self::NodeDevice => "NodeDeviceConfigurationProto",
            Self::OpaqueType => "TypeProto.Opaque",
            Self::OperatorSet => "OperatorSetIdProto",
            Self::OptionalType => "TypeProto.Optional",
            Self::OptionalValue => "OptionalProto",
            Self::Segment => "TensorProto.Segment",
            Self::SequenceType => "TypeProto.Sequence",
            Self::SequenceValue => "SequenceProto",
            Self::Shape => "TensorShapeProto",
            Self::ShardedDim => "ShardedDimProto",
            Self::Sharding => "ShardingSpecProto",
            Self::SimpleSharding => "SimpleShardedDimProto",
            Self::SparseTensor => "SparseTensorProto",
            Self::SparseType => "TypeProto.SparseTensor",
            Self::Tensor => "TensorProto",
            Self::TensorType => "TypeProto.Tensor",
            Self::Training => "TrainingInfoProto",
            Self::Type => "TypeProto",
            Self::ValueInfo => "ValueInfoProto",
        }
    }

    /// Name and nature of a field, by number.
    fn field(self, tag: u32) -> Option<(&'static str, Field)> {
        use Field::{Blob, Blobs, Nested, Text, Texts};
        const INT: Field = Field::Number(Wire::Varint);
        const INTS: Field = Field::Numbers(Wire::Varint, 8);
        const fn boxed(kind: Kind) -> Field {
            Nested(kind, Place::Boxed)
        }
        const fn inline(kind: Kind) -> Field {
            Nested(kind, Place::Inline)
        }
        const fn list(kind: Kind) -> Field {
            Nested(kind, Place::List)
        }
        Some(match (self, tag) {
            (Self::Annotation, 1) => ("tensor_name", Text),
            (Self::Annotation, 2) => ("quant_parameter_tensor_names", list(Self::Entry)),

            (Self::Attribute, 1) => ("name", Text),
            (Self::Attribute, 2) => ("f", Field::Number(Wire::Fixed32)),
            (Self::Attribute, 3) => ("i", INT),
            (Self::Attribute, 4) => ("s", Blob),
            (Self::Attribute, 5) => ("t", boxed(Self::Tensor)),
            (Self::Attribute, 6) => ("g", boxed(Self::Graph)),
            (Self::Attribute, 7) => ("floats", Field::Numbers(Wire::Fixed32, 4)),
            (Self::Attribute, 8) => ("ints", INTS),
            (Self::Attribute, 9) => ("strings", Blobs),
            (Self::Attribute, 10) => ("tensors", list(Self::Tensor)),
            (Self::Attribute, 11) => ("graphs", list(Self::Graph)),
            (Self::Attribute, 13) => ("doc_string", Text),
            (Self::Attribute, 14) => ("tp", boxed(Self::Type)),
            (Self::Attribute, 15) => ("type_protos", list(Self::Type)),
            (Self::Attribute, 20) => ("type", INT),
            (Self::Attribute, 21) => ("ref_attr_name", Text),
            (Self::Attribute, 22) => ("sparse_tensor", boxed(Self::SparseTensor)),
            (Self::Attribute, 23) => ("sparse_tensors", list(Self::SparseTensor)),

            (Self::DeviceConfiguration, 1) => ("name", Text),
            (Self::DeviceConfiguration, 2) => ("num_devices", INT),
            (Self::DeviceConfiguration, 3) => ("device", Texts),

            (Self::Dimension, 1) => ("dim_value", INT),
            (Self::Dimension, 2) => ("dim_param", Text),
            (Self::Dimension, 3) => ("denotation", Text),

            (Self::Entry, 1) => ("key", Text),
            (Self::Entry, 2) => ("value", Text),

            (Self::Function, 1) => ("name", Text),
            (Self::Function, 4) => ("input", Texts),
            (Self::Function, 5) => ("output", Texts),
            (Self::Function, 6) => ("attribute", Texts),
            (Self::Function, 7) => ("node", list(Self::Node)),
            (Self::Function, 8) => ("doc_string", Text),
            (Self::Function, 9) => ("opset_import", list(Self::OperatorSet)),
            (Self::Function, 10) => ("domain", Text),
            (Self::Function, 11) => ("attribute_proto", list(Self::Attribute)),
            (Self::Function, 12) => ("value_info", list(Self::ValueInfo)),
            (Self::Function, 13) => ("overload", Text),
            (Self::Function, 14) => ("metadata_props", list(Self::Entry)),

            (Self::Graph, 1) => ("node", list(Self::Node)),
            (Self::Graph, 2) => ("name", Text),
            (Self::Graph, 5) => ("initializer", list(Self::Tensor)),
            (Self::Graph, 10) => ("doc_string", Text),
            (Self::Graph, 11) => ("input", list(Self::ValueInfo)),
            (Self::Graph, 12) => ("output", list(Self::ValueInfo)),
            (Self::Graph, 13) => ("value_info", list(Self::ValueInfo)),
            (Self::Graph, 14) => ("quantization_annotation", list(Self::Annotation)),
            (Self::Graph, 15) => ("sparse_initializer", list(Self::SparseTensor)),
            (Self::Graph, 16) => ("metadata_props", list(Self::Entry)),

            (Self::IntListEntry, 1) => ("key", INT),
            (Self::IntListEntry, 2) => ("value", INTS),

            (Self::MapType, 1) => ("key_type", INT),
            (Self::MapType, 2) => ("value_type", boxed(Self::Type)),

            (Self::MapValue, 1) => ("name", Text),
            (Self::MapValue, 2) => ("key_type", INT),
            (Self::MapValue, 3) => ("keys", INTS),
            (Self::MapValue, 4) => ("string_keys", Blobs),
            (Self::MapValue, 5) => ("values", inline(Self::SequenceValue)),

            (Self::Model, 1) => ("ir_version", INT),
            (Self::Model, 2) => ("producer_name", Text),
            (Self::Model, 3) => ("producer_version", Text),
            (Self::Model, 4) => ("domain", Text),
            (Self::Model, 5) => ("model_version", INT),
            (Self::Model, 6) => ("doc_string", Text),
            (Self::Model, 7) => ("graph", inline(Self::Graph)),
            (Self::Model, 8) => ("opset_import", list(Self::OperatorSet)),
            (Self::Model, 14) => ("metadata_props", list(Self::Entry)),
            (Self::Model, 20) => ("training_info", list(Self::Training)),
            (Self::Model, 25) => ("functions", list(Self::Function)),
            (Self::Model, 26) => ("configuration", list(Self::DeviceConfiguration)),

            (Self::Node, 1) => ("input", Texts),
            (Self::Node, 2) => ("output", Texts),
            (Self::Node, 3) => ("name", Text),
            (Self::Node, 4) => ("op_type", Text),
            (Self::Node, 5) => ("attribute", list(Self::Attribute)),
            (Self::Node, 6) => ("doc_string", Text),
            (Self::Node, 7) => ("domain", Text),
            (Self::Node, 8) => ("overload", Text),
            (Self::Node, 9) => ("metadata_props", list(Self::Entry)),
            (Self::Node, 10) => ("device_configurations", list(Self::NodeDevice)),

            (Self::NodeDevice, 1) => ("configuration_id", Text),
            (Self::NodeDevice, 2) => ("sharding_spec", list(Self::Sharding)),
            (Self::NodeDevice, 3) => ("pipeline_stage", INT),

            (Self::OpaqueType, 1) => ("domain", Text),
            (Self::OpaqueType, 2) => ("name", Text),

            (Self::OperatorSet, 1) => ("domain", Text),
            (Self::OperatorSet, 2) => ("version", INT),

            (Self::OptionalType | Self::SequenceType, 1) => ("elem_type", boxed(Self::Type)),

            (Self::OptionalValue, 1) => ("name", Text),
            (Self::OptionalValue, 2) => ("elem_type", INT),
            (Self::OptionalValue, 3) => ("tensor_value", boxed(Self::Tensor)),
            (Self::OptionalValue, 4) => ("sparse_tensor_value", boxed(Self::SparseTensor)),
            (Self::OptionalValue, 5) => ("sequence_value", boxed(Self::SequenceValue)),
            (Self::OptionalValue, 6) => ("map_value", boxed(Self::MapValue)),
            (Self::OptionalValue, 7) => ("optional_value", boxed(Self::OptionalValue)),

            (Self::Segment, 1) => ("begin", INT),
            (Self::Segment, 2) => ("end", INT),

            (Self::SequenceValue, 1) => ("name", Text),
            (Self::SequenceValue, 2) => ("elem_type", INT),
            (Self::SequenceValue, 3) => ("tensor_values", list(Self::Tensor)),
            (Self::SequenceValue, 4) => ("sparse_tensor_values", list(Self::SparseTensor)),
            (Self::SequenceValue, 5) => ("sequence_values", list(Self::SequenceValue)),
            (Self::SequenceValue, 6) => ("map_values", list(Self::MapValue)),
            (Self::SequenceValue, 7) => ("optional_values", list(Self::OptionalValue)),

            (Self::Shape, 1) => ("dim", list(Self::Dimension)),

            (Self::ShardedDim, 1) => ("axis", INT),
            (Self::ShardedDim, 2) => ("simple_sharding", list(Self::SimpleSharding)),

            (Self::Sharding, 1) => ("tensor_name", Text),
            (Self::Sharding, 2) => ("device", INTS),
            (Self::Sharding, 3) => ("index_to_device_group_map", list(Self::IntListEntry)),
            (Self::Sharding, 4) => ("sharded_dim", list(Self::ShardedDim)),

            (Self::SimpleSharding, 1) => ("dim_value", INT),
            (Self::SimpleSharding, 2) => ("dim_param", Text),
            (Self::SimpleSharding, 3) => ("num_shards", INT),

            (Self::SparseTensor, 1) => ("values", inline(Self::Tensor)),
            (Self::SparseTensor, 2) => ("indices", inline(Self::Tensor)),
            (Self::SparseTensor, 3) => ("dims", INTS),

            (Self::SparseType | Self::TensorType, 1) => ("elem_type", INT),
            (Self::SparseType | Self::TensorType, 2) => ("shape", inline(Self::Shape)),

            (Self::Tensor, 1) => ("dims", INTS),
            (Self::Tensor, 2) => ("data_type", INT),
            (Self::Tensor, 3) => ("segment", inline(Self::Segment)),
            (Self::Tensor, 4) => ("float_data", Field::Numbers(Wire::Fixed32, 4)),
            (Self::Tensor, 5) => ("int32_data", Field::Numbers(Wire::Varint, 4)),
            (Self::Tensor, 6) => ("string_data", Blobs),
            (Self::Tensor, 7) => ("int64_data", INTS),
            (Self::Tensor, 8) => ("name", Text),
            (Self::Tensor, 9) => ("raw_data", Blob),
            (Self::Tensor, 10) => ("double_data", Field::Numbers(Wire::Fixed64, 8)),
            (Self::Tensor, 11) => ("uint64_data", INTS),
            (Self::Tensor, 12) => ("doc_string", Text),
            (Self::Tensor, 13) => ("external_data", list(Self::Entry)),
            (Self::Tensor, 14) => ("data_location", INT),
            (Self::Tensor, 16) => ("metadata_props", list(Self::Entry)),

            (Self::Training, 1) => ("initialization", inline(Self::Graph)),
            (Self::Training, 2) => ("algorithm", inline(Self::Graph)),
            (Self::Training, 3) => ("initialization_binding", list(Self::Entry)),
            (Self::Training, 4) => ("update_binding", list(Self::Entry)),

            (Self::Type, 1) => ("tensor_type", inline(Self::TensorType)),
            (Self::Type, 4) => ("sequence_type", inline(Self::SequenceType)),
            (Self::Type, 5) => ("map_type", inline(Self::MapType)),
            (Self::Type, 6) => ("denotation", Text),
            (Self::Type, 7) => ("opaque_type", inline(Self::OpaqueType)),
            (Self::Type, 8) => ("sparse_tensor_type", inline(Self::SparseType)),
            (Self::Type, 9) => ("optional_type", inline(Self::OptionalType)),

            (Self::ValueInfo, 1) => ("name", Text),
            (Self::ValueInfo, 2) => ("type", inline(Self::Type)),
            (Self::ValueInfo, 3) => ("doc_string", Text),
            (Self::ValueInfo, 4) => ("metadata_props", list(Self::Entry)),
            _ => return None,
        })
    }
}

/// One more than the highest field number of the format.
const TAGS: usize = 27;

/// Length of each vector of the message being scanned, by field number.
type Lengths = [u64; TAGS];

struct Scanner<'a> {
    data: &'a [u8],
    at: usize,
    max_depth: u32,
    max_messages: u64,
    max_bytes: u64,
    found: Scan,
}

impl Scanner<'_> {
    /// Walks the fields of one message that ends at `end`.
    fn message(&mut self, kind: Kind, end: usize, depth: u32) -> Result<(), DecodeError> {
        let mut lengths: Lengths = [0; TAGS];
        self.found.depth = self.found.depth.max(depth);
        while self.at < end {
            let start = self.at;
            let (tag, wire) = self.key(kind, end)?.ok_or_else(|| bad_field(kind, start))?;
            match kind.field(tag) {
                Some((name, field)) => {
                    let here = Here { kind, name, tag, start, end, depth };
                    self.field(&here, field, wire, &mut lengths)?;
                }
                None => {
                    self.found.unknown_fields += 1;
                    self.found.first_unknown.get_or_insert((kind.name(), tag));
                    self.skip(kind, tag, wire, start, end, depth)?;
                }
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        here: &Here,
        field: Field,
        wire: Wire,
        lengths: &mut Lengths,
    ) -> Result<(), DecodeError> {
        let expected = match field {
            Field::Numbers(..) if wire == Wire::Delimited => Wire::Delimited,
            Field::Number(number) | Field::Numbers(number, _) => number,
            _ => Wire::Delimited,
        };
        if wire != expected {
            return Err(DecodeError::WrongKind {
                message: here.kind.name(),
                field: here.name,
                offset: here.start as u64,
            });
        }
        match field {
            Field::Number(_) => {
                self.value(here.kind, wire, here.start, here.end)?;
            }
            Field::Numbers(number, size) => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                let count = match (wire, number) {
                    (Wire::Delimited, Wire::Varint) => self.packed_varints(here, from, to)?,
                    (Wire::Delimited, _) => {
                        let width = if number == Wire::Fixed32 { 4 } else { 8 };
                        if (to - from) % width != 0 {
                            return Err(truncated(here.kind, here.start));
                        }
                        ((to - from) / width) as u64
                    }
                    _ => 1,
                };
                self.extend(here, count, size, lengths)?;
            }
            Field::Text | Field::Texts => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                if std::str::from_utf8(&self.data[from..to]).is_err() {
                    return Err(DecodeError::InvalidUtf8 {
                        message: here.kind.name(),
                        field: here.name,
                        offset: from as u64,
                    });
                }
                if to > from {
                    self.charge(here, ((to - from) as u64).max(8) + BLOCK_OVERHEAD)?;
                }
                if matches!(field, Field::Texts) {
                    self.extend(here, 1, size_of::<String>() as u64, lengths)?;
                }
            }
            Field::Blob => {
                self.value(here.kind, wire, here.start, here.end)?;
            }
            Field::Blobs => {
                self.value(here.kind, wire, here.start, here.end)?;
                self.extend(here, 1, size_of::<Bytes>() as u64, lengths)?;
            }
            Field::Nested(inner, place) => {
                let (from, to) = self.value(here.kind, wire, here.start, here.end)?;
                if here.depth >= self.max_depth {
                    return Err(self.too_deep(here.kind, here.start));
                }
                self.found.messages += 1;
                if self.found.messages > self.max_messages {
                    return Err(DecodeError::TooManyMessages { limit: self.max_messages });
                }
                match place {
                    Place::Inline => {}
                    Place::Boxed => self.charge(here, inner.size() + BLOCK_OVERHEAD)?,
                    Place::List => self.extend(here, 1, inner.size(), lengths)?,
                }
                self.at = from;
                self.message(inner, to, here.depth + 1)?;
            }
        }
        Ok(())
    }

    /// Reads past a value and returns where its content lies; a group is not a value.
    fn value(
        &mut self,
        kind: Kind,
        wire: Wire,
        start: usize,
        end: usize,
    ) -> Result<(usize, usize), DecodeError> {
        let length = match wire {
            Wire::Varint => {
                let from = self.at;
                self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))?;
                return Ok((from, self.at));
            }
            Wire::Fixed32 => 4,
            Wire::Fixed64 => 8,
            Wire::Delimited => self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))?,
            Wire::StartGroup => return Err(bad_field(kind, start)),
        };
        let from = self.at;
        let stop = usize::try_from(length).ok().and_then(|length| from.checked_add(length));
        match stop {
            Some(stop) if stop <= end => {
                self.at = stop;
                Ok((from, stop))
            }
            _ => Err(truncated(kind, start)),
        }
    }

    /// Reads past a field that the format does not have.
    fn skip(
        &mut self,
        kind: Kind,
        tag: u32,
        wire: Wire,
        start: usize,
        end: usize,
        depth: u32,
    ) -> Result<(), DecodeError> {
        if depth >= HARD_DEPTH {
            return Err(self.too_deep(kind, start));
        }
        if wire != Wire::StartGroup {
            return self.value(kind, wire, start, end).map(|_| ());
        }
        if depth >= self.max_depth {
            return Err(self.too_deep(kind, start));
        }
        loop {
            let inner = self.at;
            if inner >= end {
                return Err(truncated(kind, start));
            }
            let key = self.raw_key(kind, end)?;
            if key == (u64::from(tag) << 3 | 4) {
                return Ok(());
            }
            let (tag, wire) = split_key(key).ok_or_else(|| bad_field(kind, inner))?;
            self.skip(kind, tag, wire, inner, end, depth + 1)?;
        }
    }

    /// Field number and wire type; none where there is no valid key.
    fn key(&mut self, kind: Kind, end: usize) -> Result<Option<(u32, Wire)>, DecodeError> {
        Ok(split_key(self.raw_key(kind, end)?))
    }

    fn raw_key(&mut self, kind: Kind, end: usize) -> Result<u64, DecodeError> {
        let start = self.at;
        self.varint(kind, end)?.ok_or_else(|| bad_field(kind, start))
    }

    /// A variable-length number; none where it does not fit 64 bits.
    fn varint(&mut self, kind: Kind, end: usize) -> Result<Option<u64>, DecodeError> {
        let start = self.at;
        let mut number = 0u64;
        for (index, byte) in self.data[start..end].iter().take(10).enumerate() {
            if index == 9 && *byte > 1 {
                return Ok(None);
            }
            number |= u64::from(*byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.at = start + index + 1;
                return Ok(Some(number));
            }
        }
        Err(truncated(kind, start))
    }

    /// Number of variable-length numbers in a packed list.
    fn packed_varints(&self, here: &Here, from: usize, to: usize) -> Result<u64, DecodeError> {
        let (mut count, mut width) = (0u64, 0u32);
        for byte in &self.data[from..to] {
            width += 1;
            if width > 10 || (width == 10 && *byte > 1) {
                return Err(bad_field(here.kind, here.start));
            }
            if *byte < 0x80 {
                count += 1;
                width = 0;
            }
        }
        if width != 0 {
            return Err(truncated(here.kind, here.start));
        }
        Ok(count)
    }

    /// Accounts for `count` more items in a vector, whose capacity doubles as it grows.
    fn extend(
        &mut self,
        here: &Here,
        count: u64,
        size: u64,
        lengths: &mut Lengths,
    ) -> Result<(), DecodeError> {
        if count == 0 {
            return Ok(());
        }
        let length = &mut lengths[here.tag as usize];
        let before = capacity(*length, size);
        *length = length.saturating_add(count);
        let after = capacity(*length, size);
        let block = if before == 0 { BLOCK_OVERHEAD } else { 0 };
        self.charge(here, (after - before).saturating_mul(size).saturating_add(block))
    }

    fn charge(&mut self, here: &Here, bytes: u64) -> Result<(), DecodeError> {
        self.found.decoded_bytes = self.found.decoded_bytes.saturating_add(bytes);
        if self.found.decoded_bytes > self.max_bytes {
            return Err(DecodeError::TooMuchMemory {
                file_bytes: self.data.len() as u64,
                limit: self.max_bytes,
                offset: here.start as u64,
                message: here.kind.name(),
            });
        }
        Ok(())
    }

    fn too_deep(&self, kind: Kind, start: usize) -> DecodeError {
        DecodeError::TooDeep { limit: self.max_depth, offset: start as u64, message: kind.name() }
    }
}

/// A field and where it stands.
struct Here {
    kind: Kind,
    name: &'static str,
    tag: u32,
    start: usize,
    end: usize,
    depth: u32,
}

/// Items that a vector grown one by one to this length has room for.
fn capacity(length: u64, size: u64) -> u64 {
    match length {
        0 => 0,
        _ => {
            let least = if size <= 1024 { 4 } else { 1 };
            length.checked_next_power_of_two().unwrap_or(u64::MAX).max(least)
        }
    }
}

fn split_key(key: u64) -> Option<(u32, Wire)> {
    let key = u32::try_from(key).ok()?;
    let wire = match key & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Delimited,
        3 => Wire::StartGroup,
        5 => Wire::Fixed32,
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, wire))
}

fn bad_field(kind: Kind, start: usize) -> DecodeError {
    DecodeError::BadField { offset: start as u64, message: kind.name() }
}

fn truncated(kind: Kind, start: usize) -> DecodeError {
    DecodeError::Truncated { offset: start as u64, message: kind.name() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::*;

    fn entry() -> Vec<StringStringEntryProto> {
        vec![StringStringEntryProto { key: Some("k".into()), value: Some("v".into()) }]
    }

    fn text(word: &str) -> Option<String> {
        Some(word.into())
    }

    fn tensor() -> TensorProto {
        TensorProto {
            dims: vec![1, -2],
            data_type: Some(1),
            segment: Some(tensor_proto::Segment { begin: Some(0), end: Some(1) }),
            float_data: vec![1.5, 2.5],
            int32_data: vec![-3, 300],
            string_data: vec![Bytes::from_static(b"\xff")],
            int64_data: vec![i64::MIN, 7],
            name: text("t"),
            raw_data: Some(Bytes::from_static(b"\x00\x01\xfe\xff")),
            double_data: vec![0.25],
            uint64_data: vec![u64::MAX],
            doc_string: text("d"),
            external_data: entry(),
            data_location: Some(1),
            metadata_props: entry(),
        }
    }

    fn sparse() -> SparseTensorProto {
        SparseTensorProto { values: Some(tensor()), indices: Some(tensor()), dims: vec![4, 4] }
    }

    fn types() -> Vec<TypeProto> {
        use tensor_shape_proto::{Dimension, dimension};
        use type_proto::Value;
        let wrap = |value| TypeProto { value: Some(value), denotation: text("IMAGE") };
        let shape = TensorShapeProto {
            dim: vec![
                Dimension { value: Some(dimension::Value::DimValue(3)), denotation: text("C") },
                Dimension {
                    value: Some(dimension::Value::DimParam("n".into())),
                    ..Default::default()
                },
                Dimension::default(),
            ],
        };
        let dense = type_proto::Tensor { elem_type: Some(1), shape: Some(shape.clone()) };
        let dense = wrap(Value::TensorType(dense));
        let boxed = Some(Box::new(dense.clone()));
        let sparse = type_proto::SparseTensor { elem_type: Some(1), shape: Some(shape) };
        let map = type_proto::Map { key_type: Some(8), value_type: boxed.clone() };
        let opaque = type_proto::Opaque { domain: text("d"), name: text("n") };
        vec![
            dense,
            wrap(Value::SequenceType(type_proto::Sequence { elem_type: boxed.clone() })),
            wrap(Value::MapType(map)),
            wrap(Value::OptionalType(type_proto::Optional { elem_type: boxed })),
            wrap(Value::SparseTensorType(sparse)),
            wrap(Value::OpaqueType(opaque)),
        ]
    }

    fn values() -> Vec<ValueInfoProto> {
        let value = |of: TypeProto| ValueInfoProto {
            name: text("v"),
            r#type: Some(of),
            doc_string: text("d"),
            metadata_props: entry(),
        };
        types().into_iter().map(value).collect()
    }

    fn attribute(inner: Option<GraphProto>) -> AttributeProto {
        AttributeProto {
            name: text("a"),
            f: Some(0.5),
            i: Some(-1),
            s: Some(Bytes::from_static(b"\xff")),
            t: Some(Box::new(tensor())),
            g: inner.clone().map(Box::new),
            floats: vec![1.0, 2.0],
            ints: vec![1, -1],
            strings: vec![Bytes::from_static(b"s")],
            tensors: vec![tensor()],
            graphs: inner.into_iter().collect(),
            doc_string: text("d"),
            tp: types().pop().map(Box::new),
            type_protos: types(),
            r#type: Some(2),
            ref_attr_name: text("r"),
            sparse_tensor: Some(Box::new(sparse())),
            sparse_tensors: vec![sparse()],
        }
    }

    fn node(inner: Option<GraphProto>) -> NodeProto {
        use simple_sharded_dim_proto::Dim;
        let split = |dim| SimpleShardedDimProto { dim: Some(dim), num_shards: Some(2) };
        let spec = ShardingSpecProto {
            tensor_name: text("t"),
            device: vec![0, -1],
            index_to_device_group_map: vec![IntIntListEntryProto {
                key: Some(-1),
                value: vec![1, 2],
            }],
            sharded_dim: vec![ShardedDimProto {
                axis: Some(-1),
                simple_sharding: vec![split(Dim::DimValue(8)), split(Dim::DimParam("n".into()))],
            }],
        };
        NodeProto {
            input: vec!["x".into(), String::new()],
            output: vec!["y".into()],
            name: text("n"),
            op_type: text("If"),
            attribute: vec![attribute(inner)],
            doc_string: text("d"),
            domain: text("ai.onnx"),
            overload: text("o"),
            metadata_props: entry(),
            device_configurations: vec![NodeDeviceConfigurationProto {
                configuration_id: text("c"),
                sharding_spec: vec![spec],
                pipeline_stage: Some(3),
            }],
        }
    }

    fn graph(inner: Option<GraphProto>) -> GraphProto {
        GraphProto {
            node: vec![node(inner)],
            name: text("g"),
            initializer: vec![tensor()],
            doc_string: text("d"),
            input: values(),
            output: values(),
            value_info: values(),
            quantization_annotation: vec![TensorAnnotation {
                tensor_name: text("t"),
                quant_parameter_tensor_names: entry(),
            }],
            sparse_initializer: vec![sparse()],
            metadata_props: entry(),
        }
    }

    /// A model in which every field of every message is set.
    fn full_model() -> ModelProto {
        let opset = vec![OperatorSetIdProto { domain: text(""), version: Some(26) }];
        ModelProto {
            ir_version: Some(Version::V14 as i64),
            producer_name: text("p"),
            producer_version: text("1"),
            domain: text("d"),
            model_version: Some(2),
            doc_string: text("d"),
            graph: Some(graph(Some(graph(None)))),
            opset_import: opset.clone(),
            metadata_props: entry(),
            training_info: vec![TrainingInfoProto {
                initialization: Some(graph(None)),
                algorithm: Some(graph(None)),
                initialization_binding: entry(),
                update_binding: entry(),
            }],
            functions: vec![FunctionProto {
                name: text("f"),
                input: vec!["x".into()],
                output: vec!["y".into()],
                attribute: vec!["a".into()],
                node: vec![node(None)],
                doc_string: text("d"),
                opset_import: opset,
                domain: text("d"),
                attribute_proto: vec![attribute(None)],
                value_info: values(),
                overload: text("o"),
                metadata_props: entry(),
            }],
            configuration: vec![DeviceConfigurationProto {
                name: text("c"),
                num_devices: Some(2),
                device: vec!["cpu".into()],
            }],
        }
    }

    fn wrapped(tag: u32, content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        prost::encoding::encode_key(tag, prost::encoding::WireType::LengthDelimited, &mut out);
        prost::encoding::encode_varint(content.len() as u64, &mut out);
        out.extend_from_slice(content);
        out
    }

    #[test]
    fn every_field_is_known_to_the_scan_and_survives() {
        let model = full_model();
        let bytes = model.encode_to_vec();
        let found = scan_model(&bytes, &Limits::default()).expect("valid");
        assert_eq!(found.first_unknown, None);
        assert!(found.decoded_bytes > bytes.len() as u64);
        let back = decode_model(Bytes::from(bytes), &Limits::default()).expect("valid");
        assert_eq!(back, model);

        let sequence = SequenceProto {
            name: text("s"),
            elem_type: Some(ElementKind::Tensor as i32),
            tensor_values: vec![tensor()],
            sparse_tensor_values: vec![sparse()],
            ..Default::default()
        };
        let map = MapProto {
            name: text("m"),
            key_type: Some(7),
            keys: vec![1, -1],
            string_keys: vec![Bytes::from_static(b"k")],
            values: Some(sequence.clone()),
        };
        let optional = OptionalProto {
            name: text("o"),
            elem_type: Some(1),
            tensor_value: Some(Box::new(tensor())),
            sparse_tensor_value: Some(Box::new(sparse())),
            sequence_value: Some(Box::new(sequence.clone())),
            map_value: Some(Box::new(map.clone())),
            optional_value: Some(Box::default()),
        };
        let all = SequenceProto {
            sequence_values: vec![sequence],
            map_values: vec![map],
            optional_values: vec![optional],
            ..Default::default()
        };
        let bytes = Bytes::from(all.encode_to_vec());
        let found = scan(Kind::SequenceValue, &bytes, &Limits::default()).expect("valid");
        assert_eq!(found.first_unknown, None);
        assert_eq!(decode_sequence(bytes, &Limits::default()).expect("valid"), all);
    }

    #[test]
    fn payloads_are_views_of_the_input() {
        let payload = vec![7u8; 4096];
        let initializer =
            TensorProto { raw_data: Some(Bytes::from(payload.clone())), ..Default::default() };
        let graph = GraphProto { initializer: vec![initializer], ..Default::default() };
        let model = ModelProto { graph: Some(graph), ..Default::default() };
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("m.onnx");
        fs::write(&path, model.encode_to_vec()).expect("written");
        for use_mmap in [true, false] {
            let input = map_file(&path, use_mmap).expect("opened");
            let range = input.as_ptr() as usize..input.as_ptr() as usize + input.len();
            let model = decode_model(input, &Limits::default()).expect("valid");
            let tensor = &model.graph.as_ref().expect("graph").initializer[0];
            let raw = tensor.raw_data.as_ref().expect("payload");
            assert_eq!(raw[..], payload[..]);
            assert!(range.contains(&(raw.as_ptr() as usize)));
        }
    }

    #[test]
    fn map_file_takes_regular_files_only() {
        let folder = tempfile::tempdir().expect("folder");
        assert!(map_file(folder.path(), true).is_err());
        let path = folder.path().join("empty");
        fs::write(&path, b"").expect("written");
        assert!(map_file(&path, true).expect("empty is fine").is_empty());
        #[cfg(target_os = "linux")]
        assert!(map_file(Path::new("/dev/zero"), false).is_err());
    }

    /// Attribute, graph and node, one within the other, `levels` messages deep under the model.
    fn nested(levels: u32) -> Vec<u8> {
        let tags = [7, 1, 5, 6];
        let mut bytes = Vec::new();
        for level in (0..levels).rev() {
            let tag = if level == 0 { tags[0] } else { tags[1 + (level as usize - 1) % 3] };
            bytes = wrapped(tag, &bytes);
        }
        bytes
    }

    #[test]
    fn depth_is_bounded() {
        let limits = Limits::default();
        let found = scan_model(&nested(100), &limits).expect("100 levels are allowed");
        assert_eq!(found.depth, 100);
        assert!(decode_model(nested(100).into(), &limits).is_ok());
        for levels in [101, 5000] {
            let refused = decode_model(nested(levels).into(), &limits);
            assert!(matches!(refused, Err(DecodeError::TooDeep { limit: 100, .. })));
        }
        let tight = Limits { max_depth: 4, ..Limits::default() };
        assert!(decode_model(nested(4).into(), &tight).is_ok());
        assert!(matches!(
            decode_model(nested(5).into(), &tight),
            Err(DecodeError::TooDeep { limit: 4, .. })
        ));
        // Groups, which the format does not use, nest by another road.
        let groups = vec![0x4b; 200_000];
        assert!(matches!(
            decode_model(groups.into(), &limits),
            Err(DecodeError::TooDeep { limit: 100, .. })
        ));
    }

    #[test]
    fn counts_and_memory_are_bounded() {
        // Empty nodes take two bytes each and some hundreds when decoded.
        let bomb = wrapped(7, &[0x0a, 0x00].repeat(2 << 20));
        assert!(matches!(
            decode_model(bomb.clone().into(), &Limits::default()),
            Err(DecodeError::TooMuchMemory { .. })
        ));
        let few = Limits { max_messages: 1000, ..Limits::default() };
        assert!(matches!(
            decode_model(bomb.into(), &few),
            Err(DecodeError::TooManyMessages { limit: 1000 })
        ));
        // The same by names, by views and by packed numbers.
        let small = Limits { expansion_base: 0, expansion_factor: 6, ..Limits::default() };
        for (tag, content) in [(1, vec![0x0a, 0x00]), (5, vec![0x32, 0x00])] {
            let bomb = wrapped(7, &wrapped(tag, &content.repeat(1 << 16)));
            let refused = decode_model(bomb.into(), &small);
            assert!(matches!(refused, Err(DecodeError::TooMuchMemory { .. })));
        }
        let bomb = wrapped(7, &wrapped(5, &wrapped(7, &vec![0; 1 << 16])));
        assert!(matches!(
            decode_model(bomb.into(), &small),
            Err(DecodeError::TooMuchMemory { .. })
        ));
    }

    #[test]
    fn damage_is_reported_with_its_kind() {
        let limits = Limits::default();
        let try_it = |bytes: &[u8]| decode_model(Bytes::copy_from_slice(bytes), &limits);
        assert!(try_it(b"").is_ok());
        assert!(matches!(
            try_it(&[0x12, 2, 0xff, 0xfe]),
            Err(DecodeError::InvalidUtf8 { field: "producer_name", offset: 2, .. })
        ));
        assert!(matches!(
            try_it(&[0x10, 1]),
            Err(DecodeError::WrongKind { field: "producer_name", .. })
        ));
        assert!(matches!(try_it(&[0x12, 9, b'x']), Err(DecodeError::Truncated { .. })));
        assert!(matches!(try_it(&[0x08, 0x80]), Err(DecodeError::Truncated { .. })));
        assert!(matches!(try_it(&[0x00, 0x00]), Err(DecodeError::BadField { .. })));
        assert!(matches!(try_it(&[0x0f]), Err(DecodeError::BadField { .. })));
        assert!(matches!(try_it(&[0x08; 1]), Err(DecodeError::Truncated { .. })));
        let huge = [0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert!(matches!(try_it(&huge), Err(DecodeError::Truncated { .. })));
        // A field of another IR version: counted, then dropped.
        let found = scan_model(&[0xf8, 0x01, 5], &limits).expect("valid");
        assert_eq!((found.unknown_fields, found.first_unknown), (1, Some(("ModelProto", 31))));
    }

    #[test]
    fn mutations_never_panic() {
        let original = full_model().encode_to_vec();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % below as u64) as usize
        };
        for _ in 0..2000 {
            let mut bytes = original.clone();
            for _ in 0..1 + next(4) {
                let place = next(bytes.len());
                bytes[place] = next(256) as u8;
            }
            bytes.truncate(1 + next(original.len()) * 2);
            let raw = Bytes::from(bytes);
            // What the scan lets pass, the decoder takes.
            let result = decode_model(raw, &Limits::default());
            assert!(
                !matches!(result, Err(DecodeError::Malformed(_))),
                "the scan missed \
            {result:?}"
            );
        }
    }
}
