//! The messages of the format: their fields by number, and how each is encoded and decoded.

use crate::proto;

/// Wire types of protobuf, as numbered by the format.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Delimited,
    StartGroup,
    Fixed32,
}

/// Where the decoded form puts a nested message.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Within the message around it.
    Inline,
    /// In a heap block of its own.
    Boxed,
    /// In a vector.
    List,
}

/// How a field is encoded and decoded.
#[derive(Clone, Copy)]
pub(super) enum Field {
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
        pub(super) enum Kind { $($kind),* }

        impl Kind {
            /// Size of the decoded message, without what it points to.
            pub(super) fn size(self) -> u64 {
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
    pub(super) fn name(self) -> &'static str {
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
    pub(super) fn field(self, tag: u32) -> Option<(&'static str, Field)> {
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
