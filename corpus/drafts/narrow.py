"""Models of types of two to eight bits, and of what quantises."""

import numpy as np
from onnx import TensorProto

from .draft import BF16, F16, F32, I32, maker


@maker
def int4_blocks(d):
    """Signed and unsigned 4-bit weights, per tensor, per axis and in blocks; odd sizes."""
    d.opset, d.ir_version = 21, 10
    d.input("x", ["N", 32])
    d.output("y", ["N", 7])
    d.output("levels", ["N", 7])
    d.output("cast", [3])
    blocks = d.low_bit(d.rng.integers(-8, 8, (32, 9)), TensorProto.INT4)
    scales = d.tensor(0.02 + 0.05 * d.rng.random((4, 9)))
    w = d.node("DequantizeLinear", blocks, scales, axis=0, block_size=8)
    mid = d.node("MatMul", "x", w)
    columns = d.low_bit(d.rng.integers(0, 16, (9, 7)), TensorProto.UINT4)
    zeros = d.low_bit([8, 7, 8, 9, 8, 8, 6], TensorProto.UINT4)
    scales = d.tensor(0.03 + 0.03 * d.rng.random(7))
    w = d.node("DequantizeLinear", columns, scales, zeros, axis=1)
    y = d.node("MatMul", mid, w, out="y")
    point = d.low_bit([8], TensorProto.UINT4, [])
    step = d.tensor(0.25)
    q = d.node("QuantizeLinear", y, step, point)
    d.node("DequantizeLinear", q, step, point, out="levels")
    d.node("Cast", d.low_bit([-8, 7, -1], TensorProto.INT4), to=F32, out="cast")
    return {"dims": {"A": {"N": 3}, "B": {"N": 1}}}


@maker
def int2_weights(d):
    """2-bit weights of both signs, sizes that do not fill their last byte."""
    d.opset, d.ir_version = 25, 13
    d.input("x", ["N", 4])
    d.output("y", ["N", 8])
    d.output("z", ["N", 4, 5])
    d.output("back", [6])
    step = d.tensor(0.5)
    w = d.low_bit(d.rng.integers(-2, 2, (4, 8)), TensorProto.INT2)
    d.node("MatMul", "x", d.node("DequantizeLinear", w, step), out="y")
    # Odd sizes only outside products: there ONNX Runtime 1.31 reads them wrongly.
    w = d.low_bit(d.rng.integers(-2, 2, (4, 5)), TensorProto.INT2)
    column = d.node("Unsqueeze", "x", d.ints(2))
    d.node("Mul", column, d.node("DequantizeLinear", w, step), out="z")
    d.node("Cast", d.low_bit([0, 1, 2, 3, 3, 0], TensorProto.UINT2), to=F32, out="back")
    return {"dims": {"A": {"N": 2}, "B": {"N": 1}}}


@maker
def float8_all(d):
    """All four float8 types: constants, casts with and without saturation, QDQ."""
    d.opset, d.ir_version = 19, 9
    d.input("x", ["N", 4])
    d.output("y", ["N", 4])
    values = [0.0, 1.0, -1.125, 448.0]
    total = "x"
    for kind in ("FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"):
        dtype = getattr(TensorProto, kind)
        k = d.node("Cast", d.low_bit(values, dtype), to=F32)
        d.node("Cast", k, to=F32, out=f"constant_{kind.lower()}")
        d.output(f"constant_{kind.lower()}", [4])
        rounded = d.node("Cast", d.node("Cast", "x", to=dtype), to=F32)
        large = d.node("Mul", "x", d.tensor([0.1, 1e2, 1e4, 1e6]))
        wrapped = d.node("Cast", d.node("Cast", large, to=dtype, saturate=0), to=F32)
        d.node("Identity", wrapped, out=f"unsaturated_{kind.lower()}")
        d.output(f"unsaturated_{kind.lower()}", ["N", 4])
        point = d.low_bit([0.0], dtype, [])
        step = d.tensor(0.5)
        q = d.node("QuantizeLinear", "x", step, point)
        total = d.node("Sum", total, rounded, d.node("DequantizeLinear", q, step, point))
    d.node("Identity", total, out="y")
    return {
        "dims": {"A": {"N": 3}, "B": {"N": 1}},
        "fill": {"x": {"kind": "normal", "std": 3.0}},
    }


@maker
def float4_weights(d):
    """float4e2m1 weights in blocks and of odd count."""
    d.opset, d.ir_version = 23, 11
    d.input("x", ["N", 4])
    d.output("y", ["N", 3])
    d.output("grid", [5])
    grid = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -1, -3, -6])
    w = d.low_bit(grid.reshape(4, 3), TensorProto.FLOAT4E2M1)
    step = d.tensor(0.1 + 0.2 * d.rng.random((2, 3)))
    d.node("MatMul", "x", d.node("DequantizeLinear", w, step, axis=0, block_size=2), out="y")
    d.node(
        "Cast", d.low_bit(grid[[7, 8, 1, 0, 11]], TensorProto.FLOAT4E2M1), to=F32, out="grid"
    )
    return {
        "dims": {"A": {"N": 2}, "B": {"N": 1}},
        "cannot_run": "ONNX Runtime 1.31 has no float4e2m1 kernels on the CPU",
    }


@maker
def float8_scales(d):
    """float8e8m0, powers of two, as constants and as the result of a Cast."""
    d.opset, d.ir_version = 24, 12
    d.input("x", ["N", 3])
    d.output("y", ["N", 3])
    scales = d.node("Cast", d.low_bit([1.0, 0.25, 8.0], TensorProto.FLOAT8E8M0), to=F32)
    size = d.node("Add", d.node("Abs", "x"), d.tensor(0.01))
    power = d.node("Cast", d.node("Cast", size, to=TensorProto.FLOAT8E8M0), to=F32)
    d.node("Mul", power, scales, out="y")
    return {
        "dims": {"A": {"N": 4}, "B": {"N": 1}},
        "fill": {"x": {"kind": "normal", "std": 20.0}},
    }


@maker
def bfloat16_island(d):
    """bfloat16 constants and rounding between float32 ends, float16 arithmetic."""
    d.opset = 18
    d.input("x", ["N", 6])
    d.output("y", ["N", 6])
    d.output("h", ["N", 2], F16)
    k = d.node("Cast", d.low_bit(d.rng.standard_normal((6, 6)), BF16), to=F32)
    rounded = d.node("Cast", d.node("Cast", "x", to=BF16), to=F32)
    d.node("MatMul", rounded, k, out="y")
    w = d.tensor(0.3 * d.rng.standard_normal((6, 2)), np.float16)
    half = d.node("Cast", "x", to=F16)
    d.node("Tanh", d.node("MatMul", half, w), out="h")
    return {"dims": {"A": {"N": 3}, "B": {"N": 1}}}


@maker
def qdq_conv(d):
    """A convolution between quantise and dequantise pairs, int8 weights per channel,
    and the integer operators QLinearMatMul, MatMulInteger, DynamicQuantizeLinear."""
    d.opset = 17
    d.input("x", ["N", 3, 8, 8])
    d.output("y", ["N", 5, 8, 8])
    d.output("z", ["N", 4])
    d.output("w", ["N", 4], I32)
    step, point = d.tensor(0.03), d.tensor(128, np.uint8)
    a = d.node("DequantizeLinear", d.node("QuantizeLinear", "x", step, point), step, point)
    scales = d.tensor(0.002 + 0.004 * d.rng.random(5))
    kernel = d.tensor(d.rng.integers(-127, 128, (5, 3, 3, 3)), np.int8)
    k = d.node("DequantizeLinear", kernel, scales, d.tensor(np.zeros(5), np.int8), axis=0)
    bias = d.tensor(d.rng.integers(-500, 500, 5), np.int32)
    bias_scale = d.tensor(1e-4 * (1 + d.rng.random(5)))
    b = d.node("DequantizeLinear", bias, bias_scale, d.tensor(np.zeros(5), np.int32), axis=0)
    c = d.node("Relu", d.node("Conv", a, k, b, pads=[1, 1, 1, 1]))
    step2, point2 = d.tensor(0.02), d.tensor(0, np.uint8)
    q = d.node("QuantizeLinear", c, step2, point2)
    y = d.node("DequantizeLinear", q, step2, point2, out="y")
    flat = d.node("Flatten", d.node("GlobalAveragePool", y))
    fq, fs, fz = d.node("DynamicQuantizeLinear", flat, out=3)
    m = d.tensor(d.rng.integers(-90, 90, (5, 4)), np.int8)
    d.node("MatMulInteger", fq, m, fz, out="w")
    step3, point3 = d.tensor(0.05), d.tensor(120, np.uint8)
    q = d.node(
        "QLinearMatMul", fq, fs, fz, m, d.tensor(0.01), d.tensor(0, np.int8), step3, point3
    )
    d.node("DequantizeLinear", q, step3, point3, out="z")
    return {"dims": {"A": {"N": 2}, "B": {"N": 1}}}
