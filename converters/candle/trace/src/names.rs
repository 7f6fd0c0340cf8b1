//! Names of parameters.

use candle_core::{DType, Device, Result, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

/// The same variables; the names under which a model asks for them are those of the parameters in
/// the file that `airconv capture` writes.
pub fn named(vb: VarBuilder<'static>) -> VarBuilder<'static> {
    let (dtype, device) = (vb.dtype(), vb.device().clone());
    VarBuilder::from_backend(Box::new(Named(vb)), dtype, device)
}

struct Named(VarBuilder<'static>);

impl Named {
    fn on(&self, device: &Device) -> VarBuilder<'static> {
        self.0.clone().set_device(device.clone())
    }
}

impl SimpleBackend for Named {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.on(device).get_with_hints_dtype(shape, name, init, dtype)?;
        Ok(note(name, tensor))
    }
    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        Ok(note(name, self.on(device).get_unchecked_dtype(name, dtype)?))
    }
    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

#[cfg(recording)]
fn note(name: &str, tensor: Tensor) -> Tensor {
    crate::record::note_name(name, &tensor);
    tensor
}

#[cfg(not(recording))]
fn note(_: &str, tensor: Tensor) -> Tensor {
    tensor
}
