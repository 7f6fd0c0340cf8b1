//! Fields: layers and tensors that are loaded, and how.

use std::sync::Arc;

use airconv_ir::dim::Dim;

use super::super::literal::{float, known};
use super::super::names;
use super::args::tuple;
use super::{Field, Form, Naming, Printer};
use crate::program::dtype::{held, is_float, stored};
use crate::program::{Arg, Call, Layer, Source, Var, Window};

impl Printer<'_> {
    /// What follows the module's path in another one.
    pub(super) fn relative(&self, path: &[Arc<str>]) -> Vec<Arc<str>> {
        let own = &self.module.base;
        if path.starts_with(own) {
            path.get(own.len()..).unwrap_or_default().to_vec()
        } else {
            path.to_vec()
        }
    }

    fn absolute(&self, relative: &[Arc<str>], name: &str) -> String {
        let mut parts: Vec<&str> = self.module.base.iter().map(|s| &**s).collect();
        parts.extend(relative.iter().map(|s| &**s));
        parts.push(name);
        parts.join(".")
    }

    /// The field of a layer.
    pub(super) fn layer_field(
        &mut self,
        layer: Layer,
        call: &Call,
        path: &[Arc<str>],
    ) -> Result<String, String> {
        let weights: Vec<Option<Var>> = call.args.iter().skip(1).map(weight_of).collect();
        let key = format!(
            "{layer:?} {:?}",
            weights.iter().map(|w| w.map(|v| self.identity(v))).collect::<Vec<_>>()
        );
        if let Some(name) = self.by_weight.get(&key) {
            return Ok(name.clone());
        }
        let relative = self.relative(path);
        let dotted = relative.join(".");
        let name = match &relative[..] {
            // An element of a list is called after what it is.
            [only] if only.parse::<usize>().is_ok() => {
                format!("{}_{only}", names::snake(layer.type_name()))
            }
            _ => names::field(&relative),
        };
        let name = self.field_names.fresh(&name);
        for (role, weight) in layer.roles().iter().zip(&weights) {
            if let Some(v) = weight {
                let absolute = self.absolute(&relative, role.name);
                self.out.tensors.push((absolute, *v));
            }
        }
        let was = std::mem::replace(&mut self.in_forward, false);
        let vb = format!("vb.pp({dotted:?})");
        let load = self.load_layer(layer, &weights, &vb);
        self.in_forward = was;
        let load = load?;
        let field = Field { name: name.clone(), ty: layer.type_name().to_owned(), load };
        self.out.fields.push(field);
        self.by_weight.insert(key, name.clone());
        Ok(name)
    }

    /// What tells a weight from others.
    fn identity(&self, var: Var) -> String {
        match &self.program.info(var).source {
            Source::Literal(array) => format!("literal {:p}", Arc::as_ptr(array)),
            source => format!("{source:?}"),
        }
    }

    fn load_layer(
        &mut self,
        layer: Layer,
        weights: &[Option<Var>],
        vb: &str,
    ) -> Result<String, String> {
        let Some(Some(weight)) = weights.first() else {
            return Err("a layer without a weight".to_owned());
        };
        let info = self.program.info(*weight).clone();
        let shape = known(&info.shape).ok_or("a weight of unknown size")?;
        let vb = &match self.classes.main_dtype() == info.dtype {
            true => vb.to_owned(),
            false => format!("{vb}.to_dtype({})", dtype_text(info.dtype)?),
        };
        let biased = weights.get(1).is_some_and(Option::is_some);
        let plain = if biased { "" } else { "_no_bias" };
        let first = shape.first().copied().unwrap_or(1);
        let second = shape.get(1).copied().unwrap_or(1);
        Ok(match layer {
            Layer::Linear => {
                let (i, o) = (self.count(second, "in_dim"), self.count(first, "out_dim"));
                format!("candle_nn::linear{plain}({i}, {o}, {vb})?")
            }
            Layer::Conv1d(w) | Layer::Conv2d(w) => {
                let kernel = shape.get(2..).unwrap_or_default().to_vec();
                let ins = self.count(second * w.groups, "in_channels");
                let outs = self.count(first, "out_channels");
                let ty = layer.type_name();
                self.conv(ty, [ins, outs], &kernel, w, plain, vb, &shape)
            }
            Layer::ConvTranspose1d(w) | Layer::ConvTranspose2d(w) => {
                let kernel = shape.get(2..).unwrap_or_default().to_vec();
                let ins = self.count(first, "in_channels");
                let outs = self.count(second * w.groups, "out_channels");
                let ty = layer.type_name();
                self.conv(ty, [ins, outs], &kernel, w, plain, vb, &shape)
            }
            Layer::LayerNorm { eps } => {
                let n = self.count(first, "dim");
                format!("candle_nn::layer_norm{plain}({n}, {}, {vb})?", float(eps))
            }
            Layer::RmsNorm { eps } => {
                let n = self.count(first, "dim");
                format!("candle_nn::rms_norm({n}, {}, {vb})?", float(eps))
            }
            Layer::BatchNorm { eps } => {
                let n = self.count(first, "channels");
                format!("candle_nn::batch_norm({n}, {}, {vb})?", float(eps))
            }
            Layer::GroupNorm { groups, eps } => {
                let (g, n) = (self.count(groups, "groups"), self.count(first, "channels"));
                format!("candle_nn::group_norm({g}, {n}, {}, {vb})?", float(eps))
            }
            Layer::Embedding => {
                let (n, d) = (self.count(first, "count"), self.count(second, "dim"));
                format!("candle_nn::embedding({n}, {d}, {vb})?")
            }
        })
    }

    #[allow(clippy::too_many_arguments)]
    fn conv(
        &mut self,
        ty: &str,
        [ins, outs]: [String; 2],
        kernel: &[usize],
        window: Window,
        plain: &str,
        vb: &str,
        shape: &[usize],
    ) -> String {
        let config = self.window(ty, window);
        let square = kernel.iter().all(|k| Some(k) == kernel.first());
        let Some(&side) = kernel.first().filter(|_| square) else {
            // candle_nn's functions take square kernels only.
            let sizes = tuple(shape.iter().map(ToString::to_string).collect());
            let bias = if plain.is_empty() {
                format!("Some(vb.get({outs}, \"bias\")?)")
            } else {
                "None".to_owned()
            };
            return format!(
                "{{ let vb = {vb}; {ty}::new(vb.get({sizes}, \"weight\")?, {bias}, {config}) }}"
            );
        };
        let side = self.count(side, "kernel_size");
        let function = names::snake(ty);
        format!("candle_nn::{function}{plain}({ins}, {outs}, {side}, {config}, {vb})?")
    }

    /// The configuration of a convolution: what is not the default for all modules that are alike.
    fn window(&mut self, ty: &str, w: Window) -> String {
        let mut fields = Vec::new();
        let parts = [
            ("padding", w.padding, 0),
            ("output_padding", w.output_padding, 0),
            ("stride", w.stride, 1),
            ("dilation", w.dilation, 1),
            ("groups", w.groups, 1),
        ];
        for (name, value, default) in parts {
            let column = self.out.consts.len();
            let text = self.count(value, name);
            let differs = match self.naming {
                Naming::Numbered => true,
                Naming::Told => self.classes.differs(self.module.id, column),
            };
            if value != default || differs {
                fields.push(format!("{name}: {text}"));
            }
        }
        if fields.is_empty() {
            return "Default::default()".to_owned();
        }
        format!("{ty}Config {{ {}, ..Default::default() }}", fields.join(", "))
    }

    /// A size of a layer.
    fn count(&mut self, n: usize, hint: &str) -> String {
        self.note(n.to_string(), hint)
    }

    /// The field of a tensor that is no layer's.
    pub(super) fn tensor_field(&mut self, var: Var) -> Result<Form, String> {
        let key = self.identity(var);
        if let Some(name) = self.by_weight.get(&key) {
            return Ok(Form::Field(format!("self.{name}")));
        }
        let info = self.program.info(var).clone();
        let (relative, last) = self.tensor_name(var, &info.name);
        let dotted: Vec<&str> = relative.iter().map(|s| &**s).chain([last.as_str()]).collect();
        let name = self.field_names.fresh(&names::snake(&dotted.join(".")));
        // Two tensors of one name in the source are two in the file.
        let last = if names::snake(&dotted.join(".")) == name { last } else { name.clone() };
        let absolute = self.absolute(&relative, &last);
        self.out.tensors.push((absolute, var));
        let vb = if relative.is_empty() {
            "vb".to_owned()
        } else {
            format!("vb.pp({:?})", relative.join("."))
        };
        let was = std::mem::replace(&mut self.in_forward, false);
        let dtype = stored(info.dtype);
        let load = if is_float(dtype) && dtype == self.classes.main_dtype() {
            let texts = info.shape.iter().map(|d| self.note_dim(d)).collect();
            format!("{vb}.get({}, {last:?})?", tuple(texts))
        } else {
            format!("{vb}.get_unchecked_dtype({last:?}, {})?", dtype_text(dtype)?)
        };
        self.in_forward = was;
        self.out.fields.push(Field { name: name.clone(), ty: "Tensor".to_owned(), load });
        self.by_weight.insert(key, name.clone());
        Ok(Form::Field(format!("self.{name}")))
    }

    fn note_dim(&mut self, dim: &Dim) -> String {
        self.note(dim.as_known().unwrap_or(0).to_string(), "dim")
    }

    /// What a tensor is called in the file, below the module: the source's name where it is one,
    /// or after its use.
    fn tensor_name(&self, var: Var, name: &str) -> (Vec<Arc<str>>, String) {
        // A stage is no place in the file; what has no place of its own there is named after it.
        let stage = self.module.path.get(self.module.base.len()..).unwrap_or_default().to_vec();
        if names::is_named(name) {
            let parts: Vec<Arc<str>> = name.split('.').map(Arc::from).collect();
            let inside = parts.starts_with(&self.module.base);
            match (inside, parts.get(self.module.base.len()..), parts.last()) {
                (true, Some([path @ .., last]), _) => return (path.to_vec(), last.to_string()),
                (false, _, Some(last)) => return (stage, last.to_string()),
                _ => {}
            }
        }
        (stage, self.ids_of(var).unwrap_or_else(|| "constant".to_owned()))
    }
}

fn weight_of(arg: &Arg) -> Option<Var> {
    match arg {
        Arg::Tensor(v) => Some(*v),
        Arg::Maybe(v) => *v,
        _ => None,
    }
}

fn dtype_text(dtype: airconv_ir::dtype::DType) -> Result<String, String> {
    match held(dtype) {
        Some(held) => Ok(format!("DType::{}", held.name)),
        None => Err(format!("candle has no {dtype}")),
    }
}
