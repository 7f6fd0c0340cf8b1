//! ONNX messages to bytes.

use std::io::{self, Write};
use std::mem::take;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use crate::proto::{GraphProto, ModelProto, TensorProto};

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
    /// The bytes could not be written.
    #[error("{0}")]
    Io(#[from] io::Error),
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

/// Writes the bytes that [`encode_model`] gives, without having them all in memory: what the
/// tensors of the main graph hold goes from where it lies to `out`.
pub fn write_model(mut model: ModelProto, out: &mut dyn Write) -> Result<(), EncodeError> {
    let bytes = model.encoded_len();
    if bytes > MAX_MODEL_BYTES {
        return Err(EncodeError::TooLarge { bytes });
    }
    let graph = model.graph.take();
    let after = ModelProto {
        opset_import: take(&mut model.opset_import),
        metadata_props: take(&mut model.metadata_props),
        training_info: take(&mut model.training_info),
        functions: take(&mut model.functions),
        configuration: take(&mut model.configuration),
        ..ModelProto::default()
    };
    put(&model, out)?;
    if let Some(graph) = graph {
        put_head(7, graph.encoded_len(), out)?;
        write_graph(graph, out)?;
    }
    Ok(put(&after, out)?)
}

/// The fields of a graph, in the order of their numbers.
fn write_graph(mut graph: GraphProto, out: &mut dyn Write) -> io::Result<()> {
    let tensors = take(&mut graph.initializer);
    let (node, name) = (take(&mut graph.node), graph.name.take());
    put(&GraphProto { node, name, ..GraphProto::default() }, out)?;
    for tensor in tensors {
        put_head(5, tensor.encoded_len(), out)?;
        write_tensor(tensor, out)?;
    }
    put(&graph, out)
}

/// The fields of a tensor, in the order of their numbers.
fn write_tensor(mut tensor: TensorProto, out: &mut dyn Write) -> io::Result<()> {
    let raw = tensor.raw_data.take();
    let after = TensorProto {
        double_data: take(&mut tensor.double_data),
        uint64_data: take(&mut tensor.uint64_data),
        doc_string: tensor.doc_string.take(),
        external_data: take(&mut tensor.external_data),
        data_location: tensor.data_location.take(),
        metadata_props: take(&mut tensor.metadata_props),
        ..TensorProto::default()
    };
    put(&tensor, out)?;
    if let Some(raw) = raw {
        put_head(9, raw.len(), out)?;
        out.write_all(&raw)?;
    }
    put(&after, out)
}

fn put(message: &impl Message, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&message.encode_to_vec())
}

/// The number and the length of a field that is a message or bytes.
fn put_head(field: u32, length: usize, out: &mut dyn Write) -> io::Result<()> {
    let mut head = Vec::with_capacity(16);
    encode_key(field, WireType::LengthDelimited, &mut head);
    encode_varint(length as u64, &mut head);
    out.write_all(&head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{NodeProto, OperatorSetIdProto, StringStringEntryProto, ValueInfoProto};
    use bytes::Bytes;

    #[test]
    fn what_is_written_is_what_is_encoded() {
        let text = |t: &str| Some(t.to_owned());
        let entry = || vec![StringStringEntryProto { key: text("k"), value: text("v") }];
        let tensor = |raw: Option<&'static [u8]>| TensorProto {
            dims: vec![2, 3],
            data_type: Some(1),
            int64_data: vec![4, -5],
            name: text("t"),
            raw_data: raw.map(Bytes::from_static),
            double_data: vec![0.5],
            uint64_data: vec![6],
            doc_string: text("of a tensor"),
            external_data: entry(),
            data_location: Some(1),
            metadata_props: entry(),
            ..Default::default()
        };
        let graph = GraphProto {
            node: vec![NodeProto { name: text("n"), ..Default::default() }],
            name: text("g"),
            initializer: vec![tensor(Some(&[7; 300])), tensor(None), tensor(Some(&[]))],
            doc_string: text("of a graph"),
            input: vec![ValueInfoProto { name: text("x"), ..Default::default() }],
            output: vec![ValueInfoProto { name: text("y"), ..Default::default() }],
            metadata_props: entry(),
            ..Default::default()
        };
        let model = |graph| ModelProto {
            ir_version: Some(10),
            producer_name: text("p"),
            doc_string: text("of a model"),
            graph,
            opset_import: vec![OperatorSetIdProto { version: Some(21), ..Default::default() }],
            metadata_props: entry(),
            ..Default::default()
        };
        for model in [model(Some(graph)), model(None), ModelProto::default()] {
            let mut written = Vec::new();
            write_model(model.clone(), &mut written).unwrap();
            assert_eq!(written, encode_model(&model).unwrap());
        }
    }

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
