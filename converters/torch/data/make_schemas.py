#!/usr/bin/env python3
"""Writes third-party/pytorch/aten.txt: the schemas of PyTorch's operators.

usage: make_schemas.py > third-party/pytorch/aten.txt

Needs the torch that the first line of the table names. One schema per line in PyTorch's own
notation, sorted; a leading `*` marks the Core ATen operator set. Forms that write into an
`out` argument are left out: neither kind of file has them as the meaning of a node.
"""

import torch

NAMESPACES = ("aten::", "prim::", "prims::", "torchvision::")
# Operators of torchvision, which need the package to be registered.
TORCHVISION = (
    "torchvision::nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "torchvision::roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
    "torchvision::roi_pool(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, "
    "SymInt pooled_width) -> (Tensor, Tensor)",
    "torchvision::deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, "
    "Tensor bias, SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, "
    "SymInt dilation_h, SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) "
    "-> Tensor",
)
# Operators of derivatives that programs have by themselves; others stay out.
DERIVATIVES = ("aten::_softmax_backward_data", "aten::native_dropout_backward")


def is_core(name: str, overload: str) -> bool:
    namespace, op = name.split("::")
    if namespace != "aten":
        return False
    packet = getattr(torch.ops.aten, op, None)
    function = getattr(packet, overload or "default", None)
    return function is not None and torch.Tag.core in function.tags


def writes_out(schema) -> bool:
    return any(a.is_out for a in schema.arguments)


def main() -> None:
    lines = {}
    for schema in torch._C._jit_get_all_schemas():
        if not schema.name.startswith(NAMESPACES) or writes_out(schema):
            continue
        wanted = schema.name in DERIVATIVES or is_core(schema.name, schema.overload_name)
        if "backward" in schema.name and not wanted:
            continue
        mark = "*" if is_core(schema.name, schema.overload_name) else " "
        lines[str(schema)] = mark
    for schema in TORCHVISION:
        lines.setdefault(schema, " ")
    print(f"# PyTorch {torch.__version__.split('+')[0]}, made by converters/torch/data/make_schemas.py")
    for text in sorted(lines):
        print(lines[text] + text)


if __name__ == "__main__":
    main()
