//! The ONNX messages of IR version 14, declared field by field.
//!
//! Every `bytes` field is a [`Bytes`], so that tensor payloads are views of the decoded file.
//! Scalars keep the presence that proto2 gives them (`Option`): an absent field is written back
//! as absent. Repeated numbers are packed only where the format says so. Enumerated fields are
//! `i32` on the wire and here; the typed value comes from the accessor or from `TryFrom<i32>`,
//! and a number that no variant has survives a round trip.
//!
//! Large singular messages inside attributes and optionals are boxed, because most attributes
//! hold a single number.

use bytes::Bytes;

/// Revisions of the ONNX intermediate representation, as stored in [`ModelProto::ir_version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Version {
    /// No version; never stored by a valid model.
    Start = 0,
    /// Version 1: the first published form.
    V1 = 1,
    /// Version 2: attributes carry their kind.
    V2 = 2,
    /// Version 3: operator set imports and node domains.
    V3 = 3,
    /// Version 4: initialisers need not be graph inputs; bfloat16.
    V4 = 4,
    /// Version 5: quantisation annotations.
    V5 = 5,
    /// Version 6: sparse tensors.
    V6 = 6,
    /// Version 7: training information; operator sets per function.
    V7 = 7,
    /// Version 8: functions inside a model; optional and sparse types.
    V8 = 8,
    /// Version 9: function attributes with defaults; 8-bit floats.
    V9 = 9,
    /// Version 10: 4-bit integers, function overloads, metadata on most messages.
    V10 = 10,
    /// Version 11: 4-bit float; placement on several devices.
    V11 = 11,
    /// Version 12: the exponent-only 8-bit float.
    V12 = 12,
    /// Version 13: 2-bit integers.
    V13 = 13,
    /// Version 14: 6-bit floats; opaque types in every build.
    V14 = 14,
}

/// Maturity of an operator or function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum OperatorStatus {
    /// May still change.
    Experimental = 0,
    /// Will keep its meaning.
    Stable = 1,
}

/// A named argument of a node: exactly one of the value fields is meant to be in use.
#[derive(Clone, PartialEq, prost::Message)]
pub struct AttributeProto {
    /// Name of the attribute within its node.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// A 32-bit float.
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// A 64-bit integer.
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// A string, by convention UTF-8.
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub s: Option<Bytes>,
    /// A tensor.
    #[prost(message, optional, boxed, tag = "5")]
    pub t: Option<Box<TensorProto>>,
    /// A nested graph, such as a branch or a loop body.
    #[prost(message, optional, boxed, tag = "6")]
    pub g: Option<Box<GraphProto>>,
    /// A list of floats.
    #[prost(float, repeated, packed = "false", tag = "7")]
    pub floats: Vec<f32>,
    /// A list of integers.
    #[prost(int64, repeated, packed = "false", tag = "8")]
    pub ints: Vec<i64>,
    /// A list of strings, by convention UTF-8.
    #[prost(bytes = "bytes", repeated, tag = "9")]
    pub strings: Vec<Bytes>,
    /// A list of tensors.
    #[prost(message, repeated, tag = "10")]
    pub tensors: Vec<TensorProto>,
    /// A list of nested graphs.
    #[prost(message, repeated, tag = "11")]
    pub graphs: Vec<GraphProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "13")]
    pub doc_string: Option<String>,
    /// A type.
    #[prost(message, optional, boxed, tag = "14")]
    pub tp: Option<Box<TypeProto>>,
    /// A list of types.
    #[prost(message, repeated, tag = "15")]
    pub type_protos: Vec<TypeProto>,
    /// Says which value field is in use.
    #[prost(enumeration = "attribute_proto::AttributeType", optional, tag = "20")]
    pub r#type: Option<i32>,
    /// Inside a function body: the attribute of the function whose value this one takes.
    #[prost(string, optional, tag = "21")]
    pub ref_attr_name: Option<String>,
    /// A sparse tensor.
    #[prost(message, optional, boxed, tag = "22")]
    pub sparse_tensor: Option<Box<SparseTensorProto>>,
    /// A list of sparse tensors.
    #[prost(message, repeated, tag = "23")]
    pub sparse_tensors: Vec<SparseTensorProto>,
}

/// What is nested in [`AttributeProto`].
pub mod attribute_proto {
    /// Kind of value that an attribute holds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum AttributeType {
        /// Not said (IR version 1 only).
        Undefined = 0,
        /// Field `f`.
        Float = 1,
        /// Field `i`.
        Int = 2,
        /// Field `s`.
        String = 3,
        /// Field `t`.
        Tensor = 4,
        /// Field `g`.
        Graph = 5,
        /// Field `floats`.
        Floats = 6,
        /// Field `ints`.
        Ints = 7,
        /// Field `strings`.
        Strings = 8,
        /// Field `tensors`.
        Tensors = 9,
        /// Field `graphs`.
        Graphs = 10,
        /// Field `sparse_tensor`.
        SparseTensor = 11,
        /// Field `sparse_tensors`.
        SparseTensors = 12,
        /// Field `tp`.
        TypeProto = 13,
        /// Field `type_protos`.
        TypeProtos = 14,
    }
}

/// Name and type of a value: a graph input, a graph output or an intermediate.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ValueInfoProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Its type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "3")]
    pub doc_string: Option<String>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "4")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// One use of an operator or function.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeProto {
    /// Names of the operands; an empty name is an absent optional operand.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names given to the results; an empty name is an unused optional result.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node itself.
    #[prost(string, optional, tag = "3")]
    pub name: Option<String>,
    /// Name of the operator or function.
    #[prost(string, optional, tag = "4")]
    pub op_type: Option<String>,
    /// The arguments that are not values.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// Operator set that `op_type` belongs to; empty is the standard one.
    #[prost(string, optional, tag = "7")]
    pub domain: Option<String>,
    /// Picks one of several functions of the model that share name and domain.
    #[prost(string, optional, tag = "8")]
    pub overload: Option<String>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "9")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Placement of the node, one entry per device configuration.
    #[prost(message, repeated, tag = "10")]
    pub device_configurations: Vec<NodeDeviceConfigurationProto>,
}

/// One entry of a map from integers to lists of integers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct IntIntListEntryProto {
    /// The key.
    #[prost(int64, optional, tag = "1")]
    pub key: Option<i64>,
    /// The numbers stored under it.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub value: Vec<i64>,
}

/// How one node is placed under one device configuration.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NodeDeviceConfigurationProto {
    /// Name of the [`DeviceConfigurationProto`] meant.
    #[prost(string, optional, tag = "1")]
    pub configuration_id: Option<String>,
    /// How operands and results are split.
    #[prost(message, repeated, tag = "2")]
    pub sharding_spec: Vec<ShardingSpecProto>,
    /// Pipeline stage that the node runs in.
    #[prost(int32, optional, tag = "3")]
    pub pipeline_stage: Option<i32>,
}

/// How one operand or result of a node is split or copied over devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardingSpecProto {
    /// Name of the operand or result.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// Devices, or keys of device groups.
    #[prost(int64, repeated, packed = "false", tag = "2")]
    pub device: Vec<i64>,
    /// Device groups: an entry of `device` that is a key here stands for that group.
    #[prost(message, repeated, tag = "3")]
    pub index_to_device_group_map: Vec<IntIntListEntryProto>,
    /// The split of each axis.
    #[prost(message, repeated, tag = "4")]
    pub sharded_dim: Vec<ShardedDimProto>,
}

/// How one axis of a tensor is split.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ShardedDimProto {
    /// The axis; negative numbers count from the last one.
    #[prost(int64, optional, tag = "1")]
    pub axis: Option<i64>,
    /// The splits; more than one where the axis is several axes fused into one.
    #[prost(message, repeated, tag = "2")]
    pub simple_sharding: Vec<SimpleShardedDimProto>,
}

/// A size divided into a number of shards.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SimpleShardedDimProto {
    /// The size that is divided.
    #[prost(oneof = "simple_sharded_dim_proto::Dim", tags = "1, 2")]
    pub dim: Option<simple_sharded_dim_proto::Dim>,
    /// Number of shards.
    #[prost(int64, optional, tag = "3")]
    pub num_shards: Option<i64>,
}

/// What is nested in [`SimpleShardedDimProto`].
pub mod simple_sharded_dim_proto {
    /// The size that is divided.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Dim {
        /// A known size.
        #[prost(int64, tag = "1")]
        DimValue(i64),
        /// A named size.
        #[prost(string, tag = "2")]
        DimParam(String),
    }
}

/// One step of a training procedure that goes with the model.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TrainingInfoProto {
    /// Graph without inputs that computes the starting values.
    #[prost(message, optional, tag = "1")]
    pub initialization: Option<GraphProto>,
    /// Graph of one training step.
    #[prost(message, optional, tag = "2")]
    pub algorithm: Option<GraphProto>,
    /// Which initialiser (key) takes which output of `initialization` (value).
    #[prost(message, repeated, tag = "3")]
    pub initialization_binding: Vec<StringStringEntryProto>,
    /// Which initialiser (key) takes which output of `algorithm` (value) after a step.
    #[prost(message, repeated, tag = "4")]
    pub update_binding: Vec<StringStringEntryProto>,
}

/// A whole model: what an `.onnx` file holds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ModelProto {
    /// Version of the representation; see [`Version`].
    #[prost(int64, optional, tag = "1")]
    pub ir_version: Option<i64>,
    /// Name of the tool that wrote the model.
    #[prost(string, optional, tag = "2")]
    pub producer_name: Option<String>,
    /// Version of that tool.
    #[prost(string, optional, tag = "3")]
    pub producer_version: Option<String>,
    /// Namespace of the model.
    #[prost(string, optional, tag = "4")]
    pub domain: Option<String>,
    /// Version of the model itself.
    #[prost(int64, optional, tag = "5")]
    pub model_version: Option<i64>,
    /// Free text for people.
    #[prost(string, optional, tag = "6")]
    pub doc_string: Option<String>,
    /// The graph that is evaluated.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Operator sets in use, with their versions.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Training steps, in order.
    #[prost(message, repeated, tag = "20")]
    pub training_info: Vec<TrainingInfoProto>,
    /// Functions that nodes of this model may call.
    #[prost(message, repeated, tag = "25")]
    pub functions: Vec<FunctionProto>,
    /// Device configurations that nodes may refer to.
    #[prost(message, repeated, tag = "26")]
    pub configuration: Vec<DeviceConfigurationProto>,
}

/// A named set of devices.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeviceConfigurationProto {
    /// Name of the configuration.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Number of devices.
    #[prost(int32, optional, tag = "2")]
    pub num_devices: Option<i32>,
    /// Names of the devices, when given.
    #[prost(string, repeated, tag = "3")]
    pub device: Vec<String>,
}

/// One entry of a map from strings to strings.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StringStringEntryProto {
    /// The key.
    #[prost(string, optional, tag = "1")]
    pub key: Option<String>,
    /// The string stored under it.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
}

/// Names the tensors that quantise a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorAnnotation {
    /// The value that is annotated.
    #[prost(string, optional, tag = "1")]
    pub tensor_name: Option<String>,
    /// Role (such as `SCALE_TENSOR`) to name of the tensor in that role.
    #[prost(message, repeated, tag = "2")]
    pub quant_parameter_tensor_names: Vec<StringStringEntryProto>,
}

/// Nodes in topological order, with inputs, outputs and constants.
#[derive(Clone, PartialEq, prost::Message)]
pub struct GraphProto {
    /// The nodes, each after those that it reads from.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Constants, or defaults of the inputs of the same name.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "10")]
    pub doc_string: Option<String>,
    /// Inputs, in order.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs, in order.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of some intermediates.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Which tensors quantise which values.
    #[prost(message, repeated, tag = "14")]
    pub quantization_annotation: Vec<TensorAnnotation>,
    /// Sparse constants.
    #[prost(message, repeated, tag = "15")]
    pub sparse_initializer: Vec<SparseTensorProto>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// A tensor with its elements, or with a reference to a file that holds them.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorProto {
    /// The shape; none for a scalar.
    #[prost(int64, repeated, packed = "false", tag = "1")]
    pub dims: Vec<i64>,
    /// Element type, a [`tensor_proto::DataType`].
    #[prost(int32, optional, tag = "2")]
    pub data_type: Option<i32>,
    /// Set where this is one part of a larger tensor.
    #[prost(message, optional, tag = "3")]
    pub segment: Option<tensor_proto::Segment>,
    /// Elements of float and complex64 tensors.
    #[prost(float, repeated, packed = "true", tag = "4")]
    pub float_data: Vec<f32>,
    /// Elements of the types of at most 32 bits that have no field of their own.
    #[prost(int32, repeated, packed = "true", tag = "5")]
    pub int32_data: Vec<i32>,
    /// Elements of string tensors.
    #[prost(bytes = "bytes", repeated, tag = "6")]
    pub string_data: Vec<Bytes>,
    /// Elements of int64 tensors.
    #[prost(int64, repeated, packed = "true", tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name of the tensor.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// Elements as little-endian bytes.
    #[prost(bytes = "bytes", optional, tag = "9")]
    pub raw_data: Option<Bytes>,
    /// Elements of double and complex128 tensors.
    #[prost(double, repeated, packed = "true", tag = "10")]
    pub double_data: Vec<f64>,
    /// Elements of uint32 and uint64 tensors.
    #[prost(uint64, repeated, packed = "true", tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Free text for people.
    #[prost(string, optional, tag = "12")]
    pub doc_string: Option<String>,
    /// Where the elements lie, when outside this file; see [`crate::external`].
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// Whether `external_data` is in use.
    #[prost(enumeration = "tensor_proto::DataLocation", optional, tag = "14")]
    pub data_location: Option<i32>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "16")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// What is nested in [`TensorProto`].
pub mod tensor_proto {
    /// Part of a larger tensor.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Segment {
        /// First element of the part.
        #[prost(int64, optional, tag = "1")]
        pub begin: Option<i64>,
        /// One past its last element.
        #[prost(int64, optional, tag = "2")]
        pub end: Option<i64>,
    }

    /// Element types.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum DataType {
        /// Not said.
        Undefined = 0,
        /// 32-bit IEEE float.
        Float = 1,
        /// 8-bit unsigned integer.
        Uint8 = 2,
        /// 8-bit signed integer.
        Int8 = 3,
        /// 16-bit unsigned integer.
        Uint16 = 4,
        /// 16-bit signed integer.
        Int16 = 5,
        /// 32-bit signed integer.
        Int32 = 6,
        /// 64-bit signed integer.
        Int64 = 7,
        /// String of bytes.
        String = 8,
        /// Truth value, one byte each.
        Bool = 9,
        /// 16-bit IEEE float.
        Float16 = 10,
        /// 64-bit IEEE float.
        Double = 11,
        /// 32-bit unsigned integer.
        Uint32 = 12,
        /// 64-bit unsigned integer.
        Uint64 = 13,
        /// Complex number of two 32-bit floats.
        Complex64 = 14,
        /// Complex number of two 64-bit floats.
        Complex128 = 15,
        /// 16-bit float with the exponent range of 32-bit floats.
        Bfloat16 = 16,
        /// 8-bit float, 4 exponent bits; NaN, no infinity.
        Float8e4m3fn = 17,
        /// 8-bit float, 4 exponent bits; NaN, no infinity, no negative zero.
        Float8e4m3fnuz = 18,
        /// 8-bit float, 5 exponent bits; NaN and infinities.
        Float8e5m2 = 19,
        /// 8-bit float, 5 exponent bits; NaN, no infinity, no negative zero.
        Float8e5m2fnuz = 20,
        /// 4-bit unsigned integer, two to a byte.
        Uint4 = 21,
        /// 4-bit signed integer, two to a byte.
        Int4 = 22,
        /// 4-bit float, 2 exponent bits, two to a byte.
        Float4e2m1 = 23,
        /// 8-bit power of two without sign.
        Float8e8m0 = 24,
        /// 2-bit unsigned integer, four to a byte.
        Uint2 = 25,
        /// 2-bit signed integer, four to a byte.
        Int2 = 26,
        /// 6-bit float, 2 exponent bits, four to three bytes.
        Float6e2m3 = 27,
        /// 6-bit float, 3 exponent bits, four to three bytes.
        Float6e3m2 = 28,
    }

    /// Where the elements of a tensor are.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum DataLocation {
        /// In the message.
        Default = 0,
        /// In a file of their own.
        External = 1,
    }
}

/// A tensor most of whose elements are zero (or the empty string).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SparseTensorProto {
    /// The stored elements, one-dimensional; its name is the name of the whole.
    #[prost(message, optional, tag = "1")]
    pub values: Option<TensorProto>,
    /// Their places, ascending: linear indices, or one row of coordinates per element.
    #[prost(message, optional, tag = "2")]
    pub indices: Option<TensorProto>,
    /// Shape of the dense tensor.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub dims: Vec<i64>,
}

/// The shape of a tensor, each size known, named or open.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TensorShapeProto {
    /// The sizes, outermost axis first.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<tensor_shape_proto::Dimension>,
}

/// What is nested in [`TensorShapeProto`].
pub mod tensor_shape_proto {
    /// Size of one axis.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Dimension {
        /// The size; absent when nothing is known.
        #[prost(oneof = "dimension::Value", tags = "1, 2")]
        pub value: Option<dimension::Value>,
        /// Standard word for what the axis means.
        #[prost(string, optional, tag = "3")]
        pub denotation: Option<String>,
    }

    /// What is nested in [`Dimension`].
    pub mod dimension {
        /// Size of one axis.
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Value {
            /// A known size.
            #[prost(int64, tag = "1")]
            DimValue(i64),
            /// A named size, equal wherever the name recurs.
            #[prost(string, tag = "2")]
            DimParam(String),
        }
    }
}

/// The type of a value.
#[derive(Clone, PartialEq, prost::Message)]
pub struct TypeProto {
    /// The type proper.
    #[prost(oneof = "type_proto::Value", tags = "1, 4, 5, 7, 8, 9")]
    pub value: Option<type_proto::Value>,
    /// Standard word for what the value means.
    #[prost(string, optional, tag = "6")]
    pub denotation: Option<String>,
}

/// What is nested in [`TypeProto`].
pub mod type_proto {
    use super::{TensorShapeProto, TypeProto};

    /// Dense tensor.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Tensor {
        /// Element type, a [`DataType`](super::tensor_proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub elem_type: Option<i32>,
        /// Shape; absent when not even the rank is known.
        #[prost(message, optional, tag = "2")]
        pub shape: Option<TensorShapeProto>,
    }

    /// List of values of one type.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sequence {
        /// Type of each item.
        #[prost(message, optional, boxed, tag = "1")]
        pub elem_type: Option<Box<TypeProto>>,
    }

    /// Map from integers or strings to values of one type.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Map {
        /// Type of the keys, a [`DataType`](super::tensor_proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub key_type: Option<i32>,
        /// Type of the values.
        #[prost(message, optional, boxed, tag = "2")]
        pub value_type: Option<Box<TypeProto>>,
    }

    /// A value that may be missing.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Optional {
        /// Type of the value when there is one.
        #[prost(message, optional, boxed, tag = "1")]
        pub elem_type: Option<Box<TypeProto>>,
    }

    /// Sparse tensor.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SparseTensor {
        /// Element type, a [`DataType`](super::tensor_proto::DataType).
        #[prost(int32, optional, tag = "1")]
        pub elem_type: Option<i32>,
        /// Dense shape; absent when not even the rank is known.
        #[prost(message, optional, tag = "2")]
        pub shape: Option<TensorShapeProto>,
    }

    /// A type that only its own operators know.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Opaque {
        /// Domain of the type; that of the model when absent.
        #[prost(string, optional, tag = "1")]
        pub domain: Option<String>,
        /// Name of the type.
        #[prost(string, optional, tag = "2")]
        pub name: Option<String>,
    }

    /// The kinds of types.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        /// Dense tensor.
        #[prost(message, tag = "1")]
        TensorType(Tensor),
        /// List.
        #[prost(message, tag = "4")]
        SequenceType(Sequence),
        /// Map.
        #[prost(message, tag = "5")]
        MapType(Map),
        /// Type known by name only.
        #[prost(message, tag = "7")]
        OpaqueType(Opaque),
        /// Sparse tensor.
        #[prost(message, tag = "8")]
        SparseTensorType(SparseTensor),
        /// Value that may be missing.
        #[prost(message, tag = "9")]
        OptionalType(Optional),
    }
}

/// An operator set and the version of it that is in use.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OperatorSetIdProto {
    /// Domain; empty or absent is the standard operator set.
    #[prost(string, optional, tag = "1")]
    pub domain: Option<String>,
    /// Version.
    #[prost(int64, optional, tag = "2")]
    pub version: Option<i64>,
}

/// A function defined inside the model: nodes that one node stands for.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FunctionProto {
    /// Name that nodes call it by.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Names of the parameters.
    #[prost(string, repeated, tag = "4")]
    pub input: Vec<String>,
    /// Names of the results.
    #[prost(string, repeated, tag = "5")]
    pub output: Vec<String>,
    /// Names of the attributes without default.
    #[prost(string, repeated, tag = "6")]
    pub attribute: Vec<String>,
    /// The body.
    #[prost(message, repeated, tag = "7")]
    pub node: Vec<NodeProto>,
    /// Free text for people.
    #[prost(string, optional, tag = "8")]
    pub doc_string: Option<String>,
    /// Operator sets that the body uses.
    #[prost(message, repeated, tag = "9")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Domain that nodes call it by.
    #[prost(string, optional, tag = "10")]
    pub domain: Option<String>,
    /// Attributes with their defaults.
    #[prost(message, repeated, tag = "11")]
    pub attribute_proto: Vec<AttributeProto>,
    /// Types of some values of the body.
    #[prost(message, repeated, tag = "12")]
    pub value_info: Vec<ValueInfoProto>,
    /// Tells it from functions of the same name and domain.
    #[prost(string, optional, tag = "13")]
    pub overload: Option<String>,
    /// Further facts by name.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
}

/// Kinds of items in [`SequenceProto`] and [`OptionalProto`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum ElementKind {
    /// Not said.
    Undefined = 0,
    /// Dense tensor.
    Tensor = 1,
    /// Sparse tensor.
    SparseTensor = 2,
    /// List.
    Sequence = 3,
    /// Map.
    Map = 4,
    /// Value that may be missing.
    Optional = 5,
}

/// A list value, as stored in test data files.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SequenceProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Kind of its items, an [`ElementKind`]; says which field is in use.
    #[prost(int32, optional, tag = "2")]
    pub elem_type: Option<i32>,
    /// Items that are tensors.
    #[prost(message, repeated, tag = "3")]
    pub tensor_values: Vec<TensorProto>,
    /// Items that are sparse tensors.
    #[prost(message, repeated, tag = "4")]
    pub sparse_tensor_values: Vec<SparseTensorProto>,
    /// Items that are lists.
    #[prost(message, repeated, tag = "5")]
    pub sequence_values: Vec<SequenceProto>,
    /// Items that are maps.
    #[prost(message, repeated, tag = "6")]
    pub map_values: Vec<MapProto>,
    /// Items that may be missing.
    #[prost(message, repeated, tag = "7")]
    pub optional_values: Vec<OptionalProto>,
}

/// A map value, as stored in test data files.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MapProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Type of the keys, a [`tensor_proto::DataType`].
    #[prost(int32, optional, tag = "2")]
    pub key_type: Option<i32>,
    /// Keys that are integers.
    #[prost(int64, repeated, packed = "false", tag = "3")]
    pub keys: Vec<i64>,
    /// Keys that are strings.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    pub string_keys: Vec<Bytes>,
    /// The values, in the order of the keys.
    #[prost(message, optional, tag = "5")]
    pub values: Option<SequenceProto>,
}

/// A value that may be missing, as stored in test data files.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OptionalProto {
    /// Name of the value.
    #[prost(string, optional, tag = "1")]
    pub name: Option<String>,
    /// Kind of the value, an [`ElementKind`]; undefined when it is missing.
    #[prost(int32, optional, tag = "2")]
    pub elem_type: Option<i32>,
    /// A tensor.
    #[prost(message, optional, boxed, tag = "3")]
    pub tensor_value: Option<Box<TensorProto>>,
    /// A sparse tensor.
    #[prost(message, optional, boxed, tag = "4")]
    pub sparse_tensor_value: Option<Box<SparseTensorProto>>,
    /// A list.
    #[prost(message, optional, boxed, tag = "5")]
    pub sequence_value: Option<Box<SequenceProto>>,
    /// A map.
    #[prost(message, optional, boxed, tag = "6")]
    pub map_value: Option<Box<MapProto>>,
    /// Another value that may be missing.
    #[prost(message, optional, boxed, tag = "7")]
    pub optional_value: Option<Box<OptionalProto>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    #[test]
    fn only_the_packed_lists_are_packed() {
        let tensor = TensorProto { dims: vec![2, 3], int32_data: vec![4, 5], ..Default::default() };
        assert_eq!(tensor.encode_to_vec(), [0x08, 2, 0x08, 3, 0x2a, 2, 4, 5]);
        let attribute = AttributeProto { ints: vec![1, 2], ..Default::default() };
        assert_eq!(attribute.encode_to_vec(), [0x40, 1, 0x40, 2]);
        let shape = TensorProto::decode(&[0x0a, 2, 2, 3][..]).expect("packed dims are legal too");
        assert_eq!(shape.dims, [2, 3]);
    }

    #[test]
    fn presence_is_kept() {
        let node = NodeProto { name: Some(String::new()), ..Default::default() };
        assert_eq!(node.encode_to_vec(), [0x1a, 0]);
        let back = NodeProto::decode(&[0x1a, 0][..]).expect("valid");
        assert_eq!((back.name.as_deref(), back.domain.as_deref()), (Some(""), None));
    }

    #[test]
    fn unknown_enum_numbers_survive() {
        let attribute = AttributeProto { r#type: Some(99), ..Default::default() };
        let back = AttributeProto::decode(&attribute.encode_to_vec()[..]).expect("valid");
        assert_eq!(back.r#type, Some(99));
        assert!(attribute_proto::AttributeType::try_from(99).is_err());
    }
}
