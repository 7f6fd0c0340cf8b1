//! Arrays of the hub as tensors of candle, and back.

use airconv_ir::array::{Array, Data};
use airconv_ir::dtype::DType;
use candle_core::{DType as CandleType, Device, Result, Tensor, bail};
use half::{bf16, f16};

/// How candle holds a dtype; the executor's side of [`held`](crate::program::dtype::held).
pub fn candle_type(dtype: DType) -> Option<CandleType> {
    match crate::program::dtype::held(dtype)?.name {
        "U8" => Some(CandleType::U8),
        "U32" => Some(CandleType::U32),
        "I16" => Some(CandleType::I16),
        "I32" => Some(CandleType::I32),
        "I64" => Some(CandleType::I64),
        "F16" => Some(CandleType::F16),
        "BF16" => Some(CandleType::BF16),
        "F32" => Some(CandleType::F32),
        "F64" => Some(CandleType::F64),
        _ => None,
    }
}

/// An array as a tensor.
pub fn to_tensor(array: &Array, device: &Device) -> Result<Tensor> {
    let shape = array.shape.clone();
    macro_rules! of {
        ($values:expr) => {
            Tensor::from_vec($values, shape, device)
        };
    }
    match (&array.data, array.dtype) {
        (Data::Bool(v), DType::Bool) => of!(v.iter().map(|&b| u8::from(b)).collect::<Vec<u8>>()),
        (Data::U8(v), _) => of!(v.clone()),
        (Data::I8(v), _) => of!(v.iter().map(|&x| i16::from(x)).collect::<Vec<i16>>()),
        (Data::U16(v), _) => of!(v.iter().map(|&x| i32::from(x)).collect::<Vec<i32>>()),
        (Data::I16(v), _) => of!(v.clone()),
        (Data::I32(v), _) => of!(v.clone()),
        (Data::I64(v), _) => of!(v.clone()),
        (Data::U32(v), _) => of!(v.clone()),
        (Data::F64(v), _) => of!(v.clone()),
        (Data::F32(v), DType::F16) => of!(v.iter().map(|&x| f16::from_f32(x)).collect::<Vec<_>>()),
        (Data::F32(v), DType::BF16) => {
            of!(v.iter().map(|&x| bf16::from_f32(x)).collect::<Vec<_>>())
        }
        (Data::F32(v), _) => of!(v.clone()),
        (_, dtype) => bail!("candle has no {dtype}"),
    }
}

/// A tensor as an array of a dtype of the hub.
pub fn to_array(tensor: &Tensor, dtype: DType) -> Result<Array> {
    let shape = tensor.dims().to_vec();
    let flat = tensor.flatten_all()?;
    let data = match dtype {
        DType::Bool => Data::Bool(flat.to_vec1::<u8>()?.into_iter().map(|v| v != 0).collect()),
        DType::U8 | DType::U4 | DType::U2 => Data::U8(flat.to_vec1()?),
        DType::U16 => Data::U16(flat.to_vec1::<i32>()?.into_iter().map(|v| v as u16).collect()),
        DType::I8 | DType::I4 | DType::I2 => {
            Data::I8(flat.to_vec1::<i16>()?.into_iter().map(|v| v as i8).collect())
        }
        DType::I16 => Data::I16(flat.to_vec1()?),
        DType::I32 => Data::I32(flat.to_vec1()?),
        DType::I64 => Data::I64(flat.to_vec1()?),
        DType::U32 => Data::U32(flat.to_vec1()?),
        DType::F64 => Data::F64(flat.to_vec1()?),
        DType::F16 => Data::F32(flat.to_vec1::<f16>()?.into_iter().map(f16::to_f32).collect()),
        DType::BF16 => Data::F32(flat.to_vec1::<bf16>()?.into_iter().map(bf16::to_f32).collect()),
        _ if candle_type(dtype) == Some(CandleType::F32) => Data::F32(flat.to_vec1()?),
        _ => bail!("candle has no {dtype}"),
    };
    Array::new(dtype, shape, data).map_err(candle_core::Error::wrap)
}
