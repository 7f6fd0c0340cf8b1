//! What makes a recording candle-core and candle-nn of those of candle 0.11.

use super::edits::Change::{Append, Attribute, Begin, Replace, Variant, Wrap};
use super::edits::{Change, Edit};

const fn edit(file: &'static str, item: &'static str, change: Change) -> Edit {
    Edit { file, item, change }
}

/// No gradient and no record.
const NONE: &str = "BackpropOp::none()";

/// Where the caller of a function is.
const CALLER: Change = Attribute("#[track_caller]");

/// The edits of candle-nn: attention by calls, where on CPUs it reads storage.
pub const NN: &[Edit] = &[
    edit("attention/cpu_flash/mod.rs", "", Append(ATTENTION)),
    edit("attention/cpu_flash/mod.rs", "flash_attn", Begin(RECORDED)),
];

const ATTENTION: &str = include_str!("../shim/recorded_attention.rs");
const RECORDED: &str = "\n    if let Some(out) = recorded_attention(q, k, v, softmax_scale, &attn_mask, max_bias, softcap)? {\n        return Ok(out);\n    }";

/// The edits of candle-core. Functions that make tensors give them the call that made them; functions that are
/// made of several calls are recorded as one where the parts would say less.
pub const CORE: &[Edit] = &[
    edit("lib.rs", "", Append("\npub mod recording;\n")),
    edit("op.rs", "Op", Variant("\n    Recorded(crate::recording::Call),")),
    edit(
        "op.rs",
        "",
        Append(
            "\nimpl BackpropOp {\n    pub(crate) fn recorded(op: Op) -> Self {\n        Self(Some(op))\n    }\n}\n",
        ),
    ),
    // Operands that were written in place stand for what they hold now.
    edit(
        "op.rs",
        "BackpropOp::new1",
        Begin("\n        let arg = &crate::recording::resolve(arg);"),
    ),
    edit(
        "op.rs",
        "BackpropOp::new2",
        Begin(
            "\n        let (arg1, arg2) = (&crate::recording::resolve(arg1), &crate::recording::resolve(arg2));",
        ),
    ),
    edit(
        "op.rs",
        "BackpropOp::new3",
        Begin(
            "\n        let (arg1, arg2) = (&crate::recording::resolve(arg1), &crate::recording::resolve(arg2));\n        let arg3 = &crate::recording::resolve(arg3);",
        ),
    ),
    edit(
        "op.rs",
        "BackpropOp::new",
        Begin(
            "\n        let args: Vec<Tensor> = args.iter().map(|a| crate::recording::resolve(a.as_ref())).collect();",
        ),
    ),
    edit(
        "backprop.rs",
        "Tensor::sorted_nodes",
        Replace("match op {", "match op {\n                    Op::Recorded(_) => nodes,"),
    ),
    edit(
        "backprop.rs",
        "Tensor::backward",
        Replace(
            "match op {",
            "match op {\n                    Op::Recorded(call) => crate::bail!(\"no gradient of a recorded {}\", call.name),",
        ),
    ),
    // What the recorder needs of a tensor.
    edit("tensor.rs", "", Append(TENSOR)),
    edit(
        "tensor.rs",
        "Tensor::track_op",
        Begin("\n        if crate::recording::active() {\n            return true;\n        }"),
    ),
    edit(
        "tensor.rs",
        "Tensor::detach",
        Begin(
            "\n        if crate::recording::active() {\n            return self.clone();\n        }",
        ),
    ),
    // Tensors from nothing.
    edit(
        "tensor.rs",
        "Tensor::zeros_impl",
        Replace(NONE, "crate::recording::constructor(\"full\", is_variable, &[0.])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::ones_impl",
        Replace(NONE, "crate::recording::constructor(\"full\", is_variable, &[1.])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::full",
        Replace(NONE, "crate::recording::constructor(\"full\", false, &[value.to_f64()])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::rand_impl",
        Replace(NONE, "crate::recording::constructor(\"rand\", is_variable, &[])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::rand_f64_impl",
        Replace(NONE, "crate::recording::constructor(\"rand\", is_variable, &[])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::randn_impl",
        Replace(NONE, "crate::recording::constructor(\"randn\", is_variable, &[])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::randn_f64_impl",
        Replace(NONE, "crate::recording::constructor(\"randn\", is_variable, &[])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::arange_step",
        Wrap(
            "\n        let (from, by) = (start.to_f64(), step.to_f64());",
            "Ok(out.as_call(\"arange\", &[], &[], &[from, by]))",
        ),
    ),
    // Data of the host, with the place where it came in.
    edit("tensor.rs", "Tensor::new", CALLER),
    edit("tensor.rs", "Tensor::from_vec", CALLER),
    edit("tensor.rs", "Tensor::from_iter", CALLER),
    edit("tensor.rs", "Tensor::new_impl", CALLER),
    edit("tensor.rs", "Tensor::new_impl", MADE),
    edit("tensor.rs", "Tensor::from_vec_impl", CALLER),
    edit("tensor.rs", "Tensor::from_vec_impl", MADE),
    edit("tensor.rs", "Tensor::from_slice", CALLER),
    edit("tensor.rs", "Tensor::from_slice", MADE),
    // Values taken out.
    edit("tensor.rs", "Tensor::to_scalar", CALLER),
    edit("tensor.rs", "Tensor::to_scalar", Begin(READ_SCALAR)),
    edit("tensor.rs", "Tensor::to_vec0", CALLER),
    edit("tensor.rs", "Tensor::to_vec1", CALLER),
    edit("tensor.rs", "Tensor::to_vec1", Begin(READ_VEC)),
    edit("tensor.rs", "Tensor::to_vec2", CALLER),
    edit("tensor.rs", "Tensor::to_vec2", Begin(READ_VEC)),
    edit("tensor.rs", "Tensor::to_vec3", CALLER),
    edit("tensor.rs", "Tensor::to_vec3", Begin(READ_VEC)),
    edit("tensor.rs", "Tensor::storage_and_layout", CALLER),
    edit(
        "tensor.rs",
        "Tensor::storage_and_layout",
        Begin(
            "\n        crate::recording::read(\"storage_and_layout\", self, std::panic::Location::caller());",
        ),
    ),
    // Calls of which candle keeps less than what they did.
    edit(
        "tensor.rs",
        "Tensor::cmp",
        Replace(
            "BackpropOp::new1(self, |a| Op::Cmp(a, op))",
            "crate::recording::cmp(self, &rhs, op)",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::reduce_impl",
        Replace(NONE, "crate::recording::call(op.name(), &[self], &[dim as i64], &[])"),
    ),
    edit(
        "tensor.rs",
        "Tensor::unfold",
        Wrap(
            "\n        let dim = dim.to_index(self.shape(), \"unfold\")?;",
            "Ok(out.as_call(\"unfold\", &[self], &[dim as i64, size as i64, step as i64], &[]))",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::flip",
        Wrap(
            "\n        let axes: Vec<i64> = dims.iter().map(|&d| d as i64).collect();",
            "Ok(out.as_call(\"flip\", &[self], &axes, &[]))",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::cumsum",
        Wrap(
            "\n        let dim = dim.to_index(self.shape(), \"cumsum\")?;",
            "Ok(out.as_call(\"cumsum\", &[self], &[dim as i64], &[]))",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::pad_with_zeros",
        Wrap(
            "\n        let dim = dim.to_index(self.shape(), \"pad_with_zeros\")?;",
            "Ok(out.as_call(\"pad_with_zeros\", &[self], &[dim as i64, left as i64, right as i64], &[]))",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::upsample_bilinear2d_with_scale",
        Wrap(
            "",
            "let (_, _, h, w) = out.dims4()?;\n        Ok(out.as_call(\"upsample_bilinear2d_with_scale\", &[self], &[h as i64, w as i64, i64::from(align_corners)], &[scale_h, scale_w]))",
        ),
    ),
    edit(
        "sort.rs",
        "Tensor::arg_sort_last_dim",
        Wrap("", "Ok(out.as_call(\"argsort\", &[self], &[i64::from(asc)], &[]))"),
    ),
    edit("conv.rs", "Tensor::conv1d_with_algo", Wrap("", CONV1D)),
    edit("conv.rs", "Tensor::conv2d_with_algo", Wrap("", CONV2D)),
    edit("conv.rs", "Tensor::conv_transpose1d", Wrap("", CONV_TRANSPOSE1D)),
    edit(
        "custom_op.rs",
        "Tensor::apply_op1_no_bwd",
        Replace(NONE, "crate::recording::custom1(self, c)"),
    ),
    edit(
        "custom_op.rs",
        "Tensor::apply_op2_no_bwd",
        Replace(NONE, "crate::recording::custom2(self, rhs, c)"),
    ),
    edit(
        "custom_op.rs",
        "Tensor::apply_op3_no_bwd",
        Replace(NONE, "crate::recording::custom3(self, t2, t3, c)"),
    ),
    edit(
        "quantized/mod.rs",
        "QMatMul::forward",
        Replace(
            "xs.apply_op1_no_bwd(t.as_ref())",
            "crate::recording::quantised_product(xs, t, xs.apply_op1_no_bwd(t.as_ref())?)",
        ),
    ),
    // Writes in place become values.
    edit(
        "tensor_cat.rs",
        "Tensor::slice_set",
        Wrap(
            SLICE_SET,
            "crate::recording::written(\"slice_set\", self, &[src], &[dim as i64, offset as i64]);\n        Ok(out)",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::scatter_set",
        Wrap(
            SCATTER_SET,
            "crate::recording::written(\"scatter\", self, &[indexes, source], &[dim as i64]);\n        Ok(out)",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::scatter_add_set",
        Wrap(
            SCATTER_SET,
            "crate::recording::written(\"scatter_add\", self, &[indexes, source], &[dim as i64]);\n        Ok(out)",
        ),
    ),
    edit(
        "tensor.rs",
        "Tensor::const_set",
        Wrap(
            "\n        crate::recording::before_write(self)?;",
            "crate::recording::written(\"write of a constant\", self, &[], &[]);\n        Ok(out)",
        ),
    ),
    edit(
        "custom_op.rs",
        "Tensor::inplace_op1",
        Wrap(
            "\n        crate::recording::before_write(self)?;",
            "crate::recording::written(c.name(), self, &[], &[]);\n        Ok(out)",
        ),
    ),
    edit(
        "custom_op.rs",
        "Tensor::inplace_op2",
        Wrap(
            "\n        crate::recording::before_write(self)?;",
            "crate::recording::written(c.name(), self, &[rhs], &[]);\n        Ok(out)",
        ),
    ),
    edit(
        "custom_op.rs",
        "Tensor::inplace_op3",
        Wrap(
            "\n        crate::recording::before_write(self)?;",
            "crate::recording::written(c.name(), self, &[t2, t3], &[]);\n        Ok(out)",
        ),
    ),
];

const MADE: Change = Wrap(
    "\n        let place = std::panic::Location::caller();",
    "Ok(crate::recording::made(out, place))",
);

const READ_SCALAR: &str =
    "\n        crate::recording::read(\"to_scalar\", self, std::panic::Location::caller());";
const READ_VEC: &str =
    "\n        crate::recording::read(\"to_vec\", self, std::panic::Location::caller());";

const SLICE_SET: &str = "\n        let dim = dim.to_index(self.shape(), \"slice-set\")?;\n        crate::recording::before_write(self)?;";
const SCATTER_SET: &str = "\n        let dim = dim.to_index(self.shape(), \"scatter-set\")?;\n        crate::recording::before_write(self)?;";

const CONV1D: &str = "Ok(out.as_call(\"conv1d\", &[self, kernel], &[padding as i64, stride as i64, dilation as i64, groups as i64], &[]))";
const CONV2D: &str = "Ok(out.as_call(\"conv2d\", &[self, kernel], &[padding as i64, stride as i64, dilation as i64, groups as i64], &[]))";
const CONV_TRANSPOSE1D: &str = "Ok(out.as_call(\"conv_transpose1d\", &[self, kernel], &[padding as i64, output_padding as i64, stride as i64, dilation as i64, groups as i64], &[]))";

const TENSOR: &str = "
/// For recordings.
impl Tensor {
    /// Later tensors have higher numbers.
    pub(crate) fn number(&self) -> usize {
        self.id.0
    }
    /// A number below those of tensors to come.
    pub(crate) fn next_number() -> usize {
        TensorId::new().0
    }
    /// The place of the elements.
    pub(crate) fn buffer(&self) -> usize {
        Arc::as_ptr(&self.storage) as *const () as usize
    }
    pub(crate) fn recorded_op(&self) -> &Option<Op> {
        &self.op
    }
    /// The same elements, as the result of a call; the tensor itself while nothing is recorded.
    pub(crate) fn as_call(self, name: &str, inputs: &[&Tensor], ints: &[i64], floats: &[f64]) -> Tensor {
        if !crate::recording::active() {
            return self;
        }
        Tensor(Arc::new(Tensor_ {
            id: TensorId::new(),
            storage: self.storage.clone(),
            layout: self.layout.clone(),
            op: crate::recording::call(name, inputs, ints, floats),
            is_variable: false,
            dtype: self.dtype,
            device: self.device.clone(),
        }))
    }
}
";
