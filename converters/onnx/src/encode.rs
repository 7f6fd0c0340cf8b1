//! ONNX messages to bytes.

use prost::Message;

use crate::proto::ModelProto;

/// Most bytes that one serialised message can have: every protobuf reader stops here.
pub const MAX_MODEL_BYTES: usize = i32::MAX as usize;

/// Why a model cannot be serialised.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message would be longer than protobuf allows.
    #[error(
        "the model takes {bytes} bytes, and an ONNX file holds at most {MAX_MODEL_BYTES}: \
         store the weights in an external data file"
    )]
    TooLarge {
        /// Size that the message would have.
        bytes: usize,
    },
    /// The buffer for the message could not be allocated.
    #[error(
        "no memory for the {bytes} bytes of the serialised model: store the weights in an \
         external data file"
    )]
    OutOfMemory {
        /// Size of the buffer.
        bytes: usize,
    },
    /// The serialiser refused.
    #[error("the model could not be serialised: {0}")]
    Encode(#[from] prost::EncodeError),
}

/// Serialises a model. Fields come in a fixed order, so that equal models give equal bytes.
pub fn encode_model(model: &ModelProto) -> Result<Vec<u8>, EncodeError> {
    let bytes = model.encoded_len();
    if bytes > MAX_MODEL_BYTES {
        return Err(EncodeError::TooLarge { bytes });
    }
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(bytes).map_err(|_| EncodeError::OutOfMemory { bytes })?;
    model.encode(&mut buffer)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{GraphProto, TensorProto};
    use bytes::Bytes;

    #[test]
    fn too_large_is_refused() {
        // One shared block, counted many times: the test itself stays small.
        let block = Bytes::from(vec![0u8; 16 << 20]);
        let tensor = TensorProto { raw_data: Some(block), ..Default::default() };
        let graph = GraphProto { initializer: vec![tensor; 128], ..Default::default() };
        let model = ModelProto { graph: Some(graph), ..Default::default() };
        match encode_model(&model) {
            Err(EncodeError::TooLarge { bytes }) => assert!(bytes > MAX_MODEL_BYTES),
            other => panic!("expected TooLarge, got {:?}", other.map(|b| b.len())),
        }
    }
}
