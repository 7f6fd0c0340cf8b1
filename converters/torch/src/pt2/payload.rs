//! The tensors of an archive: strided views of raw records, or pickles in older ones.

use std::cell::RefCell;
use std::collections::BTreeMap;

use airconv_api::Limits;
use airconv_ir::tensor::Tensor;

use super::container::Container;
use super::records::{PayloadConfig, PayloadMeta, SymInt, TensorMeta};
use crate::archive::Archive;
use crate::common::dtype;
use crate::error::FileError;
use crate::weights::{Budget, View, read_state_dict};

/// The weights and constants of a program by name.
pub(crate) struct Payloads<'a> {
    archive: &'a Archive,
    sets: Vec<(String, PayloadConfig)>,
    pickled: BTreeMap<String, View>,
    budget: RefCell<Budget>,
}

impl<'a> Payloads<'a> {
    /// The tables of what there is.
    pub(crate) fn open(
        archive: &'a Archive,
        container: &Container<'_>,
        limits: &Limits,
    ) -> Result<Self, FileError> {
        let mut sets = Vec::new();
        for (folder, config) in container.tables() {
            if let Some(bytes) = archive.find(&config)? {
                let parsed = serde_json::from_slice(&bytes)
                    .map_err(|e| FileError::malformed(config, e.to_string()))?;
                sets.push((folder, parsed));
            }
        }
        let mut pickled = BTreeMap::new();
        for entry in container.pickles() {
            if let Some(bytes) = archive.find(&entry)?
                && !bytes.is_empty()
            {
                let weights = read_state_dict(bytes, limits).map_err(|e| e.within(&entry))?;
                pickled.extend(weights.tensors.into_iter().map(|w| (w.name, w.view)));
            }
        }
        Ok(Self { archive, sets, pickled, budget: RefCell::new(Budget::new(limits)) })
    }

    /// A tensor by its qualified name.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, FileError> {
        let found =
            self.sets.iter().find_map(|(folder, set)| Some((folder, set.config.get(name)?)));
        let loaded = match (found, self.pickled.get(name)) {
            (Some((folder, meta)), _) => self.load(folder, meta),
            (None, Some(view)) => view.tensor(&mut self.budget.borrow_mut()),
            (None, None) => {
                return Err(FileError::malformed(name, "the archive has no tensor of this name"));
            }
        };
        loaded.map_err(|e| e.within(name))
    }

    fn load(&self, folder: &str, payload: &PayloadMeta) -> Result<Tensor, FileError> {
        if payload.use_pickle {
            return Err(FileError::unsupported("", "it is a pickled tensor subclass"));
        }
        let meta = payload
            .tensor_meta
            .as_ref()
            .ok_or_else(|| FileError::unsupported("", "it is an object, not a tensor"))?;
        let dtype = tensor_dtype(meta)?;
        let sizes = known(&meta.sizes)?;
        let strides = known(&meta.strides)?;
        let offset = known(std::slice::from_ref(&meta.storage_offset))?[0];
        let bytes = self.archive.get(&format!("{folder}{}", payload.path_name))?;
        View::strided(dtype, sizes, strides, offset, bytes)?.tensor(&mut self.budget.borrow_mut())
    }
}

/// The dtype of a tensor; only dense ones are read.
pub(crate) fn tensor_dtype(meta: &TensorMeta) -> Result<airconv_ir::dtype::DType, FileError> {
    // 7 is `torch.strided`.
    if meta.layout != 7 {
        return Err(FileError::unsupported(
            "",
            format!("its layout is {}, not strided", meta.layout),
        ));
    }
    dtype::from_export(meta.dtype)
        .ok_or_else(|| FileError::unsupported("", format!("its dtype is number {}", meta.dtype)))
}

fn known(sizes: &[SymInt]) -> Result<Vec<u64>, FileError> {
    let one = |size: &SymInt| match size {
        SymInt::AsInt(n) => u64::try_from(*n).ok(),
        SymInt::AsExpr(_) => None,
    };
    let all: Option<Vec<u64>> = sizes.iter().map(one).collect();
    all.ok_or_else(|| FileError::malformed("", "a size or stride of a stored tensor is no number"))
}
