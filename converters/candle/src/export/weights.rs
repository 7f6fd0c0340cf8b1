//! The weights file.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use airconv_ir::array::{Array, cast};
use airconv_ir::dtype::DType;
use airconv_ir::module::Module;
use safetensors::tensor::{Dtype, View};

use crate::program::dtype::stored;
use crate::program::{Program, Source, Var};

/// A tensor of the file: its bytes are made when they are written.
pub(super) struct Entry<'m> {
    hub: &'m Module,
    source: Source,
    dtype: DType,
    shape: Vec<usize>,
}

impl Entry<'_> {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        if let Source::Literal(array) = &self.source {
            return in_file(array)?.to_bytes().map_err(|e| e.to_string());
        }
        let (id, turned) = match &self.source {
            Source::Weight(id) => (*id, false),
            Source::Turned(id) => (*id, true),
            _ => return Err("no weight".to_owned()),
        };
        let mut array = self.hub.tensors[id].to_array().map_err(|e| e.to_string())?;
        if turned {
            array = array.transpose(&[1, 0]).map_err(|e| e.to_string())?;
        }
        in_file(&array)?.to_bytes().map_err(|e| e.to_string())
    }
}

/// An array in the dtype in which it is stored.
pub(super) fn in_file(array: &Array) -> Result<Array, String> {
    let dtype = stored(array.dtype);
    if dtype == array.dtype {
        return Ok(array.clone());
    }
    cast(array, dtype, true, Default::default()).map_err(|e| e.to_string())
}

/// A dtype as safetensors calls it.
pub(super) fn file_dtype(dtype: DType) -> Option<Dtype> {
    Some(match stored(dtype) {
        DType::U8 => Dtype::U8,
        DType::U32 => Dtype::U32,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        _ => return None,
    })
}

impl View for Entry<'_> {
    fn dtype(&self) -> Dtype {
        file_dtype(self.dtype).unwrap_or(Dtype::F32)
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        // A tensor that cannot be had is found before anything is written.
        Cow::Owned(self.bytes().unwrap_or_default())
    }
    fn data_len(&self) -> usize {
        let bits = stored(self.dtype).bits() as usize;
        self.shape.iter().product::<usize>() * bits / 8
    }
}

/// Writes tensors by name.
pub(super) fn write(
    program: &Program,
    hub: &Module,
    tensors: &BTreeMap<String, Var>,
    path: &Path,
) -> Result<(), String> {
    let mut entries = Vec::new();
    for (name, &var) in tensors {
        let info = program.info(var);
        let shape = super::literal::known(&info.shape).ok_or("a weight of unknown size")?;
        file_dtype(info.dtype).ok_or_else(|| format!("safetensors has no {}", info.dtype))?;
        let entry = Entry { hub, source: info.source.clone(), dtype: info.dtype, shape };
        if let Source::Weight(id) | Source::Turned(id) = &entry.source
            && matches!(hub.tensors[*id].storage, airconv_ir::tensor::Storage::External { .. })
        {
            return Err(format!("`{name}` has not been loaded"));
        }
        entries.push((name.clone(), entry));
    }
    safetensors::serialize_to_file(entries, None, path).map_err(|e| e.to_string())
}
