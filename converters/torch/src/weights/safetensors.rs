//! The `safetensors` format.

use airconv_api::Limits;
use airconv_ir::dtype::DType;
use bytes::Bytes;
use safetensors::{Dtype, SafeTensors};

use super::{View, Weight, Weights};
use crate::error::FileError;

/// The number of bytes that state the length of the header.
const PREFIX: usize = 8;

/// Whether a file begins with the length of a header and a JSON object.
pub(super) fn sniff(bytes: &[u8]) -> bool {
    bytes.get(PREFIX) == Some(&b'{')
}

/// Reads the header; the elements stay where they are.
pub(super) fn read(bytes: &Bytes, limits: &Limits) -> Result<Weights, FileError> {
    let damaged = |e: safetensors::SafeTensorError| {
        FileError::malformed("", format!("the safetensors file is damaged: {e}"))
    };
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let data = bytes.slice(PREFIX + header..);
    let mut out = Weights::default();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let at = |e: FileError| e.within(&name);
        if info.shape.len() > limits.rank {
            let rank = info.shape.len();
            return Err(at(FileError::limit("", format!("a tensor has {rank} axes"))));
        }
        let dtype = dtype(info.dtype).map_err(at)?;
        let (start, end) = info.data_offsets;
        if start > end || end > data.len() {
            return Err(at(FileError::malformed("", "its elements are not all in the file")));
        }
        let sizes = info.shape.iter().map(|&d| d as u64).collect();
        let view = View::dense(dtype, sizes, data.slice(start..end)).map_err(at)?;
        out.tensors.push(Weight { name, view, requires_grad: false });
    }
    if let Some(map) = metadata.metadata() {
        out.metadata = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        out.metadata.sort();
    }
    Ok(out)
}

fn dtype(dtype: Dtype) -> Result<DType, FileError> {
    Ok(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::F4 => DType::F4E2M1,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::F8_E5M2 => DType::F8E5M2,
        Dtype::F8_E4M3 => DType::F8E4M3FN,
        Dtype::F8_E8M0 => DType::F8E8M0,
        Dtype::F8_E4M3FNUZ => DType::F8E4M3FNUZ,
        Dtype::F8_E5M2FNUZ => DType::F8E5M2FNUZ,
        Dtype::I16 => DType::I16,
        Dtype::U16 => DType::U16,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I32 => DType::I32,
        Dtype::U32 => DType::U32,
        Dtype::F32 => DType::F32,
        Dtype::C64 => DType::C64,
        Dtype::F64 => DType::F64,
        Dtype::I64 => DType::I64,
        Dtype::U64 => DType::U64,
        other => {
            let message = format!("dtype {other:?} is not supported: its packing is not defined");
            return Err(FileError::unsupported("", message));
        }
    })
}
