//! Bytes to ONNX messages, without copying payloads and without trusting the file.
//!
//! Decoding has two steps. A scan walks the encoded message with the field numbers of the
//! format, allocates nothing, and adds up what the decoded form will take; a file that nests too
//! deeply, has too many messages or would grow too much in memory is refused there. Only then
//! does prost build the messages, whose `bytes` fields are views of the input.

mod fields;
mod files;
mod scan;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use prost::Message;

use crate::proto;
use fields::Kind;
use scan::scan;

pub use files::map_file;
pub(crate) use files::map_open_file;

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

fn decode<M: Message + Default>(
    kind: Kind,
    bytes: Bytes,
    limits: &Limits,
) -> Result<M, DecodeError> {
    scan(kind, &bytes, limits)?;
    Ok(M::decode(bytes)?)
}
