//! Host arrays and tensors as kernels hold them, and back.

use std::sync::Arc;

use airconv_ir::array::{Array, ArrayError, Data};
use airconv_ir::dtype::DType;
use airconv_ir::tensor::{Storage, Tensor};

use crate::ir::Elem;
use crate::memory::{Block, Mem};
use crate::run::Memory;

/// The elements of an array in a block; `None` for strings and when there is no memory.
pub fn block_of(array: &Array) -> Option<Block> {
    let (elem, parts) = Elem::of(array.dtype)?;
    let n = array.numel();
    let mut block = Block::new(n.checked_mul(elem.bytes())?.checked_mul(parts)?)?;
    let out = block.bytes_mut();
    fn put<const N: usize>(out: &mut [u8], values: impl Iterator<Item = [u8; N]>) {
        for (to, value) in out.chunks_exact_mut(N).zip(values) {
            to.copy_from_slice(&value);
        }
    }
    match (&array.data, elem) {
        (Data::Bool(v), _) => put(out, v.iter().map(|&x| [u8::from(x)])),
        (Data::I8(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::I16(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::I32(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::I64(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::U8(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::U16(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::U32(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::U64(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::F32(_), Elem::F16 | Elem::Bf16) => out.copy_from_slice(&array.to_bytes().ok()?),
        (Data::F32(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::F64(v), _) => put(out, v.iter().map(|x| x.to_le_bytes())),
        (Data::C64(v), _) => {
            put(out, v.iter().flat_map(|z| [z.re.to_le_bytes(), z.im.to_le_bytes()]));
        }
        (Data::C128(v), _) => {
            put(out, v.iter().flat_map(|z| [z.re.to_le_bytes(), z.im.to_le_bytes()]));
        }
        (Data::Str(_), _) => return None,
    }
    Some(block)
}

/// Applies an expression to the vector of an array's elements where kernels want them as they lie
/// there.
macro_rules! alike {
    ($array:expr, $data:expr, $v:ident => $mem:expr) => {{
        let (elem, _) = Elem::of($array.dtype)?;
        match ($data, elem) {
            (Data::F32(_), Elem::F16 | Elem::Bf16) => None,
            (Data::C64(_) | Data::C128(_) | Data::Str(_), _) => None,
            (Data::Bool($v), _) => Some($mem),
            (Data::I8($v), _) => Some($mem),
            (Data::I16($v), _) => Some($mem),
            (Data::I32($v), _) => Some($mem),
            (Data::I64($v), _) => Some($mem),
            (Data::U8($v), _) => Some($mem),
            (Data::U16($v), _) => Some($mem),
            (Data::U32($v), _) => Some($mem),
            (Data::U64($v), _) => Some($mem),
            (Data::F32($v), _) => Some($mem),
            (Data::F64($v), _) => Some($mem),
        }
    }};
}

/// The memory of an array, to be read by kernels; `None` where they want another form.
pub fn view(array: &Array) -> Option<Mem> {
    alike!(array, &array.data, v => Mem { ptr: v.as_ptr().cast_mut().cast(), len: size_of_val(&v[..]) })
}

/// The memory of an array, to be written by kernels; `None` where they want another form.
pub fn view_mut(array: &mut Array) -> Option<Mem> {
    alike!(array, &mut array.data, v => Mem { len: size_of_val(&v[..]), ptr: v.as_mut_ptr().cast() })
}

/// The elements of an array for kernels to read: where they lie, or a copy; `None` for strings and
/// when there is no memory.
pub fn memory_of(array: &Arc<Array>) -> Option<Memory> {
    match view(array) {
        Some(_) => Some(Memory::Array(Arc::clone(array))),
        None => Some(Memory::Block(Arc::new(block_of(array)?))),
    }
}

/// The array whose elements lie in memory as [`block_of`] lays them.
pub fn array_of(dtype: DType, dims: Vec<usize>, bytes: &[u8]) -> Result<Array, ArrayError> {
    // The carrier's own dtype, which has the same bytes.
    let plain = match dtype {
        DType::I2 | DType::I4 => DType::I8,
        DType::U2 | DType::U4 => DType::U8,
        d if d.is_float() && !matches!(d, DType::F16 | DType::BF16 | DType::F32 | DType::F64) => {
            DType::F32
        }
        d => d,
    };
    let array = Array::from_bytes(plain, dims, bytes)?;
    if plain == dtype {
        return Ok(array);
    }
    Array::new(dtype, array.shape, array.data)
}

/// The elements of a tensor: its own bytes, at whatever address, where they lie as kernels want
/// them, else a copy.
pub fn constant_of(tensor: &Tensor) -> Result<Memory, String> {
    let same = lies_as_kernels_want(tensor.dtype);
    if let (true, Storage::Bytes(bytes)) = (same, &tensor.storage)
        && cfg!(target_endian = "little")
    {
        return Ok(Memory::Bytes(bytes.clone()));
    }
    let array = tensor.to_array().map_err(|e| e.to_string())?;
    let block = block_of(&array).ok_or_else(|| "there is not enough memory".to_owned())?;
    Ok(Memory::Block(Arc::new(block)))
}

/// Whether the elements of a tensor of this dtype lie in files as they do in buffers.
pub fn lies_as_kernels_want(dtype: DType) -> bool {
    match dtype {
        DType::I2 | DType::I4 | DType::U2 | DType::U4 | DType::String => false,
        d if d.is_float() => matches!(d, DType::F16 | DType::BF16 | DType::F32 | DType::F64),
        _ => true,
    }
}
