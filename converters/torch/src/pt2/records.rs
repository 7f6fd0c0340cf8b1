//! The records of `models/model.json`: PyTorch's export schema, major version 8.
//!
//! Only what a program means is declared; keys that are not known are ignored, as PyTorch does
//! for minor versions. Unions are objects with one key.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

/// An exported program.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ExportedProgram {
    pub graph_module: GraphModule,
    #[serde(default)]
    pub opset_version: BTreeMap<String, i64>,
    #[serde(default)]
    pub range_constraints: BTreeMap<String, RangeConstraint>,
    pub schema_version: SchemaVersion,
    #[serde(default)]
    pub verifiers: Vec<String>,
    #[serde(default)]
    pub torch_version: String,
    #[serde(default)]
    pub guards_code: Vec<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct SchemaVersion {
    pub major: i64,
    pub minor: i64,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct RangeConstraint {
    pub min_val: Option<i64>,
    pub max_val: Option<i64>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct GraphModule {
    pub graph: Graph,
    pub signature: Signature,
    #[serde(default)]
    pub module_call_graph: Vec<ModuleCall>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub treespec_namedtuple_fields: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Graph {
    pub inputs: Vec<Argument>,
    pub outputs: Vec<Argument>,
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub tensor_values: BTreeMap<String, TensorMeta>,
    #[serde(default)]
    pub sym_int_values: BTreeMap<String, SymInt>,
    #[serde(default)]
    pub sym_bool_values: BTreeMap<String, SymBool>,
    #[serde(default)]
    pub is_single_tensor_return: bool,
    #[serde(default)]
    pub custom_obj_values: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub sym_float_values: BTreeMap<String, SymFloat>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Node {
    pub target: String,
    pub inputs: Vec<NamedArgument>,
    pub outputs: Vec<Argument>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub is_hop_single_tensor_return: Option<bool>,
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct NamedArgument {
    pub name: String,
    pub arg: Argument,
    /// 1 for positional, 2 for keyword.
    #[serde(default)]
    pub kind: Option<i64>,
}

/// An argument or a result.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the variants are the keys of the format")]
pub(crate) enum Argument {
    AsNone(#[serde(deserialize_with = "nothing")] bool),
    AsTensor(TensorArgument),
    AsTensors(Vec<TensorArgument>),
    AsInt(i64),
    AsInts(Vec<i64>),
    AsFloat(Double),
    AsFloats(Vec<Double>),
    AsString(String),
    AsStrings(Vec<String>),
    AsSymInt(SymIntArgument),
    AsSymInts(Vec<SymIntArgument>),
    AsScalarType(i64),
    AsMemoryFormat(i64),
    AsLayout(i64),
    AsDevice(Device),
    AsBool(bool),
    AsBools(Vec<bool>),
    AsSymBool(SymBoolArgument),
    AsSymBools(Vec<SymBoolArgument>),
    AsGraph(Box<GraphArgument>),
    AsOptionalTensor(OptionalTensorArgument),
    AsOptionalTensors(Vec<OptionalTensorArgument>),
    AsCustomObj(serde_json::Value),
    AsOperator(String),
    AsSymFloat(SymFloatArgument),
    AsSymFloats(Vec<SymFloatArgument>),
    AsComplex(Complex),
    AsNestedTensors(Vec<Vec<TensorArgument>>),
    AsIntLists(Vec<Vec<i64>>),
    AsFloatLists(Vec<Vec<Double>>),
    AsStringToArgument(BTreeMap<String, Argument>),
    AsOpaqueObj(serde_json::Value),
}

/// What stands for nothing: `true`, and `[]` before schema 8.
fn nothing<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    serde::de::IgnoredAny::deserialize(from).map(|_| true)
}

/// A float; JSON has no infinities and no NaN, so these are strings.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(try_from = "DoubleText", into = "DoubleText")]
pub(crate) struct Double(pub f64);

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum DoubleText {
    Number(f64),
    Name(String),
}

impl TryFrom<DoubleText> for Double {
    type Error = String;
    fn try_from(text: DoubleText) -> Result<Self, String> {
        match text {
            DoubleText::Number(v) => Ok(Self(v)),
            DoubleText::Name(name) => match name.as_str() {
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                "NaN" => Ok(Self(f64::NAN)),
                other => Err(format!("`{other}` is no float")),
            },
        }
    }
}

impl From<Double> for DoubleText {
    fn from(Double(v): Double) -> Self {
        if v.is_finite() {
            Self::Number(v)
        } else if v.is_nan() {
            Self::Name("NaN".to_owned())
        } else if v > 0.0 {
            Self::Name("Infinity".to_owned())
        } else {
            Self::Name("-Infinity".to_owned())
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TensorArgument {
    pub name: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OptionalTensorArgument {
    AsTensor(TensorArgument),
    AsNone(#[serde(deserialize_with = "nothing")] bool),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymIntArgument {
    AsName(String),
    AsInt(i64),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymFloatArgument {
    AsName(String),
    AsFloat(Double),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymBoolArgument {
    AsName(String),
    AsBool(bool),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Complex {
    pub real: Double,
    pub imag: Double,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Device {
    pub r#type: String,
    pub index: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct GraphArgument {
    pub name: String,
    pub graph: Graph,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymInt {
    AsExpr(SymExpr),
    AsInt(i64),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymFloat {
    AsExpr(SymExpr),
    AsFloat(Double),
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SymBool {
    AsExpr(SymExpr),
    AsBool(bool),
}

/// An expression as `sympy.srepr` writes it, with the value that it had when it was traced.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SymExpr {
    pub expr_str: String,
    #[serde(default)]
    pub hint: Option<serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct TensorMeta {
    pub dtype: i64,
    pub sizes: Vec<SymInt>,
    #[serde(default)]
    pub requires_grad: bool,
    pub device: Device,
    pub strides: Vec<SymInt>,
    pub storage_offset: SymInt,
    pub layout: i64,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Signature {
    pub input_specs: Vec<InputSpec>,
    pub output_specs: Vec<OutputSpec>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InputSpec {
    UserInput {
        arg: Argument,
    },
    Parameter {
        arg: TensorArgument,
        parameter_name: String,
    },
    Buffer {
        arg: TensorArgument,
        buffer_name: String,
        #[serde(default)]
        persistent: bool,
    },
    TensorConstant {
        arg: TensorArgument,
        tensor_constant_name: String,
    },
    ConstantInput {
        name: String,
        value: Argument,
    },
    CustomObj {
        arg: serde_json::Value,
        custom_obj_name: String,
    },
    Token {
        arg: serde_json::Value,
    },
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OutputSpec {
    UserOutput { arg: Argument },
    BufferMutation { arg: TensorArgument, buffer_name: String },
    UserInputMutation { arg: TensorArgument, user_input_name: String },
    ParameterMutation { arg: TensorArgument, parameter_name: String },
    LossOutput { arg: TensorArgument },
    GradientToParameter { arg: TensorArgument, parameter_name: String },
    GradientToUserInput { arg: TensorArgument, user_input_name: String },
    Token { arg: serde_json::Value },
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ModuleCall {
    pub fqn: String,
    pub signature: Option<ModuleCallSignature>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct ModuleCallSignature {
    #[serde(default)]
    pub inputs: Vec<Argument>,
    #[serde(default)]
    pub outputs: Vec<Argument>,
    pub in_spec: String,
    pub out_spec: String,
    #[serde(default)]
    pub forward_arg_names: Option<Vec<String>>,
}

/// `data/weights/model_weights_config.json` and its like for constants.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PayloadConfig {
    pub config: BTreeMap<String, PayloadMeta>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct PayloadMeta {
    pub path_name: String,
    #[serde(default)]
    pub is_param: bool,
    #[serde(default)]
    pub use_pickle: bool,
    pub tensor_meta: Option<TensorMeta>,
}
