//! Tensors: raw data stays where it is, typed fields are packed.

use std::sync::Arc;

use airconv_api::ir::array::StrBytes;
use airconv_api::ir::dtype::DType;
use airconv_api::ir::entity::TensorId;
use airconv_api::ir::tensor::{Storage, Tensor};
use bytes::Bytes;

use super::Importer;
use crate::common::dtype::from_onnx;
use crate::external::ExternalRef;
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{SparseTensorProto, TensorProto};

impl Importer<'_> {
    /// Adds a tensor to the module, or says what is wrong with it.
    pub(super) fn add_tensor(&mut self, proto: &TensorProto) -> Result<TensorId, String> {
        let tensor = self.tensor(proto)?;
        Ok(self.module.tensors.push(tensor))
    }

    /// A tensor of the declared type without elements, for one whose elements cannot be had.
    pub(super) fn stand_in(&mut self, proto: &TensorProto) -> Option<TensorId> {
        let dtype = from_onnx(i64::from(proto.data_type()))?;
        let dims = self.tensor_dims(&proto.dims).ok()?;
        let storage = Storage::External { path: "".into(), offset: 0, length: 0 };
        Some(self.module.tensors.push(Tensor { dtype, dims, storage }))
    }

    fn tensor(&mut self, proto: &TensorProto) -> Result<Tensor, String> {
        let Some(dtype) = from_onnx(i64::from(proto.data_type())) else {
            return Err(format!("{} is not an element type", proto.data_type()));
        };
        if proto.segment.is_some() {
            return Err("tensors in segments are not supported".to_owned());
        }
        let dims = self.tensor_dims(&proto.dims)?;
        let numel = dims
            .iter()
            .try_fold(1u64, |n, &d| n.checked_mul(d))
            .ok_or_else(|| format!("the shape {dims:?} overflows"))?;
        if dtype == DType::String {
            return string_tensor(proto, dims, numel);
        }
        let wanted =
            dtype.byte_len(numel).ok_or_else(|| format!("the shape {dims:?} overflows"))?;
        let bytes = if proto.data_location() == DataLocation::External {
            self.external_bytes(proto, wanted)?
        } else if let Some(raw) = &proto.raw_data {
            raw.clone()
        } else {
            self.charge(wanted)?;
            typed_bytes(proto, dtype, numel)?
        };
        Tensor::from_bytes(dtype, dims, bytes).map_err(|e| e.to_string())
    }

    fn tensor_dims(&self, dims: &[i64]) -> Result<Vec<u64>, String> {
        if dims.len() > self.options.limits.rank {
            return Err(format!(
                "rank {} is over the limit of {}",
                dims.len(),
                self.options.limits.rank
            ));
        }
        dims.iter()
            .map(|&d| u64::try_from(d).map_err(|_| format!("the size {d} is negative")))
            .collect()
    }

    fn external_bytes(&mut self, proto: &TensorProto, wanted: u64) -> Result<Bytes, String> {
        let place = ExternalRef::parse(&proto.external_data).map_err(|e| e.to_string())?;
        match &self.files {
            Some(files) => files.load(&place, Some(wanted)).map_err(|e| e.to_string()),
            None => Err("external data needs a model in a folder".to_owned()),
        }
    }

    /// Counts bytes that are not in the file as they are.
    pub(super) fn charge(&mut self, bytes: u64) -> Result<(), String> {
        self.expanded = self.expanded.saturating_add(bytes);
        if self.expanded > self.options.limits.expanded_bytes {
            return Err(format!(
                "unpacked tensors take more than {} bytes",
                self.options.limits.expanded_bytes
            ));
        }
        Ok(())
    }

    /// A sparse tensor made dense.
    pub(super) fn add_sparse(&mut self, proto: &SparseTensorProto) -> Result<TensorId, String> {
        let values = proto.values.as_ref().ok_or("the sparse tensor has no values")?;
        let indices = proto.indices.as_ref().ok_or("the sparse tensor has no indices")?;
        let values = self.tensor(values)?.to_array().map_err(|e| e.to_string())?;
        let indices = self.tensor(indices)?.to_array().map_err(|e| e.to_string())?;
        let dims = self.tensor_dims(&proto.dims)?;
        let shape: Vec<usize> = dims
            .iter()
            .map(|&d| usize::try_from(d).map_err(|_| "the shape is too large".to_owned()))
            .collect::<Result<_, _>>()?;
        let numel = airconv_api::ir::array::checked_numel(&shape).map_err(|e| e.to_string())?;
        self.charge(values.dtype.byte_len(numel as u64).unwrap_or(u64::MAX))?;
        let positions = sparse_positions(&indices, &shape, numel)?;
        if positions.len() != values.numel() {
            return Err(format!("{} indices for {} values", positions.len(), values.numel()));
        }
        let mut dense =
            airconv_api::ir::array::Array::zeros(values.dtype, shape).map_err(|e| e.to_string())?;
        for (i, p) in positions.into_iter().enumerate() {
            let value = values.get(i).ok_or("a value is missing")?;
            dense.set(p, &value).map_err(|e| e.to_string())?;
        }
        let tensor = Tensor::from_array(&dense).map_err(|e| e.to_string())?;
        Ok(self.module.tensors.push(tensor))
    }
}

/// Flat positions from linear indices `[n]` or index tuples `[n, rank]`.
fn sparse_positions(
    indices: &airconv_api::ir::array::Array,
    shape: &[usize],
    numel: usize,
) -> Result<Vec<usize>, String> {
    let flat = indices.to_i64s().ok_or("sparse indices are not integers")?;
    let out_of_range = |i: &i64| format!("sparse index {i} is out of range");
    match indices.shape.as_slice() {
        [_] => flat
            .iter()
            .map(|i| usize::try_from(*i).ok().filter(|&p| p < numel).ok_or_else(|| out_of_range(i)))
            .collect(),
        [_, rank] if *rank == shape.len() && *rank > 0 => flat
            .chunks_exact(*rank)
            .map(|tuple| {
                tuple.iter().zip(shape).try_fold(0usize, |p, (i, &d)| {
                    let i = usize::try_from(*i)
                        .ok()
                        .filter(|&v| v < d)
                        .ok_or_else(|| out_of_range(i))?;
                    p.checked_mul(d)
                        .and_then(|p| p.checked_add(i))
                        .ok_or_else(|| "overflow".to_owned())
                })
            })
            .collect(),
        other => Err(format!("sparse indices of shape {other:?} do not fit rank {}", shape.len())),
    }
}

fn string_tensor(proto: &TensorProto, dims: Vec<u64>, numel: u64) -> Result<Tensor, String> {
    if proto.string_data.len() as u64 != numel {
        return Err(format!("{} strings for {numel} elements", proto.string_data.len()));
    }
    let strings: Arc<[StrBytes]> =
        proto.string_data.iter().map(|s| StrBytes::from(&s[..])).collect();
    Ok(Tensor { dtype: DType::String, dims, storage: Storage::Strings(strings) })
}

/// Elements of the typed fields as little-endian packed bytes. Narrow dtypes are carried in
/// `int32_data`: 16-bit floats by their bits, sub-byte ones already
/// packed but for 6-bit floats.
fn typed_bytes(proto: &TensorProto, dtype: DType, numel: u64) -> Result<Bytes, String> {
    fn gather<T: Copy, const N: usize>(
        values: &[T],
        count: u64,
        bytes: impl Fn(T) -> [u8; N],
    ) -> Result<Bytes, String> {
        if values.len() as u64 != count {
            return Err(format!("{} elements where {count} are expected", values.len()));
        }
        Ok(values.iter().flat_map(|&v| bytes(v)).collect::<Vec<u8>>().into())
    }
    match dtype {
        DType::F32 => gather(&proto.float_data, numel, f32::to_le_bytes),
        DType::C64 => gather(&proto.float_data, numel.saturating_mul(2), f32::to_le_bytes),
        DType::F64 => gather(&proto.double_data, numel, f64::to_le_bytes),
        DType::C128 => gather(&proto.double_data, numel.saturating_mul(2), f64::to_le_bytes),
        DType::I64 => gather(&proto.int64_data, numel, i64::to_le_bytes),
        DType::U64 => gather(&proto.uint64_data, numel, u64::to_le_bytes),
        DType::U32 => gather(&proto.uint64_data, numel, |v| (v as u32).to_le_bytes()),
        DType::I32 => gather(&proto.int32_data, numel, i32::to_le_bytes),
        DType::I16 | DType::U16 | DType::F16 | DType::BF16 => {
            gather(&proto.int32_data, numel, |v| (v as u16).to_le_bytes())
        }
        DType::Bool => gather(&proto.int32_data, numel, |v| [u8::from(v != 0)]),
        DType::I8
        | DType::U8
        | DType::F8E4M3FN
        | DType::F8E4M3FNUZ
        | DType::F8E5M2
        | DType::F8E5M2FNUZ
        | DType::F8E8M0 => gather(&proto.int32_data, numel, |v| [v as u8]),
        DType::I2 | DType::U2 | DType::I4 | DType::U4 | DType::F4E2M1 => {
            let packed = dtype.byte_len(numel).unwrap_or(u64::MAX);
            gather(&proto.int32_data, packed, |v| [v as u8])
        }
        DType::F6E2M3 | DType::F6E3M2 => {
            let codes = gather(&proto.int32_data, numel, |v| [v as u8])?;
            let mut packed = vec![0; codes.len().saturating_mul(6).div_ceil(8)];
            for (i, code) in codes.iter().enumerate() {
                // Least significant bits first; a code may lie in two bytes.
                let bits = u16::from(code & 0x3f) << (i * 6 % 8);
                for (byte, part) in packed[i * 6 / 8..].iter_mut().zip(bits.to_le_bytes()) {
                    *byte |= part;
                }
            }
            Ok(packed.into())
        }
        DType::String => Err("strings are not in their field".to_owned()),
    }
}

/// The tensor of a message that stands alone; external data is not followed.
pub fn tensor_from_proto(proto: &TensorProto) -> Result<Tensor, String> {
    let options = airconv_api::ReadOptions::default();
    let mut report = airconv_api::Report::default();
    Importer::bare(&options, &mut report).tensor(proto)
}
