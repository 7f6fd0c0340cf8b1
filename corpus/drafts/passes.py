"""Models of what optimisation passes look for."""

import numpy as np
from onnx import TensorProto, numpy_helper

from .draft import BOOL, F32, F64, I32, I64, U8, maker


def layer_norm(d, x, width, epsilon=1e-5):
    """LayerNormalization written out, as exporters did before opset 17."""
    centred = d.node("Sub", x, d.node("ReduceMean", x, axes=[-1]))
    variance = d.node("ReduceMean", d.node("Pow", centred, d.tensor(2.0)), axes=[-1])
    deviation = d.node("Sqrt", d.node("Add", variance, d.tensor(epsilon)))
    unit = d.node("Div", centred, deviation)
    gain = d.tensor(1 + 0.1 * d.rng.standard_normal(width))
    return d.node("Add", d.node("Mul", unit, gain), d.weight(width, std=0.1))


def rms_norm(d, x, width):
    """RMSNormalization written out."""
    mean = d.node("ReduceMean", d.node("Pow", x, d.tensor(2.0)), axes=[-1])
    root = d.node("Reciprocal", d.node("Sqrt", d.node("Add", mean, d.tensor(1e-6))))
    return d.node(
        "Mul", d.tensor(1 + 0.1 * d.rng.standard_normal(width)), d.node("Mul", x, root)
    )


def softmax(d, x):
    """Softmax written out over the last axis."""
    raised = d.node("Exp", d.node("Sub", x, d.node("ReduceMax", x, axes=[-1])))
    return d.node("Div", raised, d.node("ReduceSum", raised, d.ints(-1)))


def linear(d, x, fan_in, fan_out):
    """A product with a weight, and a bias."""
    return d.node(
        "Add", d.node("MatMul", x, d.weight(fan_in, fan_out)), d.weight(fan_out, std=0.1)
    )


def heads_of(d, x, heads, width):
    """[batch, length, width] to [batch, heads, length, width / heads]."""
    split = d.node("Reshape", x, d.ints(0, 0, heads, width // heads))
    return d.node("Transpose", split, perm=[0, 2, 1, 3])


@maker
def block_encoder(d):
    """A BERT-like block: everything decomposed, erf gelu, a mask of padding."""
    width, heads = 16, 4
    d.input("x", ["batch", "length", width])
    d.input("mask", ["batch", "length"], I64)
    d.output("y", ["batch", "length", width])
    open_ = d.node("Cast", d.node("Unsqueeze", "mask", d.ints(1, 2)), to=F32)
    penalty = d.node("Mul", d.node("Sub", d.tensor(1.0), open_), d.tensor(-1e4))
    q, k, v = (heads_of(d, linear(d, "x", width, width), heads, width) for _ in range(3))
    scores = d.node("MatMul", q, d.node("Transpose", k, perm=[0, 1, 3, 2]))
    scores = d.node("Div", scores, d.tensor(np.sqrt(width / heads)))
    weights = softmax(d, d.node("Add", scores, penalty))
    mixed = d.node("Transpose", d.node("MatMul", weights, v), perm=[0, 2, 1, 3])
    mixed = d.node("Reshape", mixed, d.ints(0, 0, width))
    x = layer_norm(d, d.node("Add", linear(d, mixed, width, width), "x"), width)
    up = linear(d, x, width, 32)
    bell = d.node("Erf", d.node("Div", up, d.tensor(np.sqrt(2.0))))
    gelu = d.node("Mul", d.node("Mul", up, d.node("Add", bell, d.tensor(1.0))), d.tensor(0.5))
    y = layer_norm(d, d.node("Add", linear(d, gelu, 32, width), x), width)
    d.node("Identity", y, out="y")
    return {
        "dims": {"A": {"batch": 2, "length": 6}, "B": {"batch": 3, "length": 4}},
        "fill": {"mask": {"kind": "padding"}},
    }


def rotate(d, x, cosine, sine, half):
    """Rotary position embedding by halves."""
    low = d.node("Slice", x, d.ints(0), d.ints(half), d.ints(-1))
    high = d.node("Slice", x, d.ints(half), d.ints(2 * half), d.ints(-1))
    turned = d.node("Concat", d.node("Neg", high), low, axis=-1)
    return d.node("Add", d.node("Mul", x, cosine), d.node("Mul", turned, sine))


@maker
def block_decoder(d):
    """A decoder block with a cache: RMS norm, rotary embedding, a causal mask made by
    Range and Where, Softmax, tanh gelu, and a gated silu."""
    width, heads, size = 16, 2, 8
    d.input("x", ["batch", "new", width])
    d.input("past_key", ["batch", heads, "past", size])
    d.input("past_value", ["batch", heads, "past", size])
    d.output("y", ["batch", "new", width])
    d.output("key", ["batch", heads, "past + new", size])
    d.output("value", ["batch", heads, "past + new", size])
    zero, one, two = (d.tensor(i, np.int64) for i in range(3))
    new = d.node("Gather", d.node("Shape", "x"), one)
    past = d.node("Gather", d.node("Shape", "past_key"), two)
    total = d.node("Add", past, new)
    places = d.node("Range", past, total, one)
    everywhere = d.node("Range", zero, total, one)
    frequency = d.tensor((10000.0 ** -(np.arange(size // 2) / (size // 2)))[None, :])
    column = d.node("Unsqueeze", d.node("Cast", places, to=F32), d.ints(1))
    angle = d.node("MatMul", column, frequency)
    angle = d.node("Concat", angle, angle, axis=-1)
    cosine, sine = d.node("Cos", angle), d.node("Sin", angle)
    normed = rms_norm(d, "x", width)
    joint = d.node("MatMul", normed, d.weight(width, 3 * width))
    q, k, v = d.node("Split", joint, d.ints(width, width, width), axis=-1, out=3)
    q, k, v = (heads_of(d, t, heads, width) for t in (q, k, v))
    q, k = (rotate(d, t, cosine, sine, size // 2) for t in (q, k))
    k = d.node("Concat", "past_key", k, axis=2, out="key")
    v = d.node("Concat", "past_value", v, axis=2, out="value")
    scores = d.node("MatMul", q, d.node("Transpose", k, perm=[0, 1, 3, 2]))
    scores = d.node("Mul", scores, d.tensor(size**-0.5))
    allowed = d.node(
        "LessOrEqual",
        d.node("Unsqueeze", everywhere, d.ints(0)),
        d.node("Unsqueeze", places, d.ints(1)),
    )
    scores = d.node("Where", allowed, scores, d.tensor(np.finfo(np.float32).min))
    mixed = d.node("MatMul", d.node("Softmax", scores, axis=-1), v)
    mixed = d.node(
        "Reshape", d.node("Transpose", mixed, perm=[0, 2, 1, 3]), d.ints(0, 0, width)
    )
    x = d.node("Add", "x", d.node("MatMul", mixed, d.weight(width, width)))
    normed = rms_norm(d, x, width)
    gate, up = (d.node("MatMul", normed, d.weight(width, 24)) for _ in range(2))
    silu = d.node("Mul", gate, d.node("Sigmoid", gate))
    x = d.node("Add", x, d.node("MatMul", d.node("Mul", silu, up), d.weight(24, width)))
    t = linear(d, x, width, width)
    cube = d.node("Mul", d.node("Pow", t, d.tensor(3.0)), d.tensor(0.044715))
    bent = d.node("Tanh", d.node("Mul", d.node("Add", t, cube), d.tensor(np.sqrt(2 / np.pi))))
    gelu = d.node("Mul", d.node("Mul", d.tensor(0.5), t), d.node("Add", d.tensor(1.0), bent))
    d.node("Add", x, gelu, out="y")
    return {
        "dims": {
            "A": {"batch": 1, "new": 5, "past": 0},
            "B": {"batch": 2, "new": 1, "past": 4},
            "C": {"batch": 2, "new": 3, "past": 2},
        }
    }


@maker
def conv_batch_norm(d):
    """Convolutions with batch norms to fold: plain, grouped, depthwise, dilated,
    transposed; Pad to absorb; hard swish and swish written out; a residual."""
    d.input("image", ["N", 4, 16, 16])
    d.output("y", ["N", 10])

    def norm(x, channels):
        gain = d.tensor(1 + 0.2 * d.rng.standard_normal(channels))
        shift, mean = d.weight(channels, std=0.2), d.weight(channels, std=0.2)
        variance = d.tensor(0.5 + d.rng.random(channels))
        return d.node("BatchNormalization", x, gain, shift, mean, variance, epsilon=1e-5)

    x = d.node("Pad", "image", d.ints(0, 0, 1, 1, 0, 0, 1, 1), d.tensor(0.0))
    x = norm(d.node("Conv", x, d.weight(8, 4, 3, 3), d.weight(8, std=0.1), strides=[2, 2]), 8)
    x = d.node("Relu", x)
    y = norm(d.node("Conv", x, d.weight(8, 1, 3, 3), group=8, pads=[1, 1, 1, 1]), 8)
    hard = d.node("Clip", d.node("Add", y, d.tensor(3.0)), d.tensor(0.0), d.tensor(6.0))
    y = d.node("Div", d.node("Mul", y, hard), d.tensor(6.0))
    y = norm(
        d.node("Conv", y, d.weight(8, 4, 3, 3), group=2, dilations=[2, 2], pads=[2, 2, 2, 2]), 8
    )
    x = d.node("Add", x, y)
    x = d.node("Mul", x, d.node("Sigmoid", x))
    x = norm(d.node("ConvTranspose", x, d.weight(8, 6, 2, 2, std=0.3), strides=[2, 2]), 6)
    x = d.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    x = d.node(
        "Add", d.node("Mul", x, d.tensor(1.5)), d.tensor(d.rng.standard_normal((1, 6, 1, 1)))
    )
    x = d.node("Flatten", d.node("ReduceMean", x, axes=[2, 3], keepdims=1))
    d.node("Gemm", x, d.weight(10, 6), d.weight(10), transB=1, out="y")
    return {"dims": {"A": {"N": 2}, "B": {"N": 1}}}


@maker
def tidy_me(d):
    """Work for the basic passes: shape arithmetic, constants, twins, transposes that
    cancel, casts there and back, Dropout, slices of everything, unused results."""
    d.input("x", ["batch", "length", 8])
    d.output("y", ["batch", "length * 2", 4])
    d.output("z", ["batch", "length", 8])
    one = d.tensor(1, np.int64)
    size = d.node("Shape", "x")
    batch = d.node("Unsqueeze", d.node("Gather", size, d.tensor(0, np.int64)), d.ints(0))
    length = d.node("Gather", d.node("Shape", "x"), one)
    double = d.node("Unsqueeze", d.node("Mul", length, d.tensor(2, np.int64)), d.ints(0))
    folded = d.node("Div", d.node("Mul", d.ints(6), d.ints(4)), d.ints(6))
    shape = d.node("Concat", batch, double, folded, axis=0)
    a = d.node("Reshape", "x", shape)
    b = d.node("Reshape", "x", shape)
    there = d.node("Transpose", a, perm=[0, 2, 1])
    back = d.node("Transpose", there, perm=[0, 2, 1])
    zero = d.node("Mul", d.node("Constant", value_float=0.0), d.tensor(5.0))
    c = d.node("Add", d.node("Add", back, zero), d.node("Identity", b))
    c = d.node("Cast", d.node("Cast", c, to=F64), to=F32)
    c, _ = d.node("Dropout", c, d.tensor(0.5), out=2)
    everything = d.node("Slice", c, d.ints(0), d.ints(2**63 - 1), d.ints(1), d.ints(1))
    d.node("Mul", everything, d.tensor(1.0), out="y")
    e1, e2 = d.node("Exp", "x"), d.node("Exp", "x")
    left, right = d.node("Sigmoid", e1), d.node("Sigmoid", e2)
    d.node("TopK", left, d.ints(1), out=2)
    filled = d.node(
        "Expand",
        d.tensor([[1.0]]),
        d.node(
            "ConstantOfShape", d.ints(1), value=numpy_helper.from_array(np.array([8], np.int64))
        ),
    )
    d.node("Div", d.node("Mul", left, right), filled, out="z")
    return {"dims": {"A": {"batch": 2, "length": 3}, "B": {"batch": 1, "length": 5}}}


@maker
def data_sized(d):
    """Sizes that depend on values: NonZero, Compress, Unique, Range, a box choice."""
    d.opset = 18
    d.input("x", ["N", 4])
    d.input("many", [], I64)
    d.output("where", [2, "hits"], I64)
    d.output("rows", ["R", 4])
    d.output("kinds", ["K"], I64)
    d.output("ramp", ["many"], I64)
    d.output("boxes", ["M", 3], I64)
    d.output("spread", ["N", 4])
    positive = d.node("Greater", "x", d.tensor(0.5))
    d.node("NonZero", positive, out="where")
    lead = d.node(
        "Squeeze", d.node("Slice", positive, d.ints(0), d.ints(1), d.ints(1)), d.ints(1)
    )
    d.node("Compress", "x", lead, axis=0, out="rows")
    rounded = d.node("Cast", d.node("Floor", "x"), to=I64)
    d.node("Unique", rounded, sorted=1, out="kinds")
    d.node("Range", d.tensor(0, np.int64), "many", d.tensor(2, np.int64), out="ramp")
    corner = d.node("Slice", "x", d.ints(0), d.ints(2), d.ints(1))
    extent = d.node("Exp", d.node("Slice", "x", d.ints(2), d.ints(4), d.ints(1)))
    boxes = d.node(
        "Unsqueeze", d.node("Concat", corner, d.node("Add", corner, extent), axis=1), d.ints(0)
    )
    score = d.node(
        "Unsqueeze",
        d.node("Sigmoid", d.node("ReduceSum", "x", d.ints(1), keepdims=0)),
        d.ints(0, 1),
    )
    d.node(
        "NonMaxSuppression",
        boxes,
        score,
        d.ints(4),
        d.tensor([0.3]),
        d.tensor([0.4]),
        out="boxes",
    )
    _, order = d.node("TopK", "x", d.ints(2), axis=1, out=2)
    updates = d.node("Cast", order, to=F32)
    d.node("ScatterElements", "x", order, updates, axis=1, reduction="add", out="spread")
    return {
        "dims": {"A": {"N": 7}, "B": {"N": 3}},
        "fill": {"many": {"kind": "fill", "value": 9}},
        "fill_in": {
            "B": {
                "many": {"kind": "fill", "value": 0},
                "x": {"kind": "uniform", "low": -3.0, "high": -1.0},
            }
        },
    }


@maker
def corner_arithmetic(d):
    """Division and remainder of both signs, overflow, shifts, rounding to even,
    NaN and infinities, negative zero, saturating casts."""
    d.opset = 18
    d.input("a", ["N"], I32)
    d.input("b", ["N"], I32)
    d.input("x", ["N"])
    for op, name in (("Div", "quotient"), ("Mul", "product"), ("Mod", "remainder")):
        d.output(name, ["N"], I32)
        d.node(op, "a", "b", out=name)
    as_float = [d.node("Cast", v, to=F32) for v in ("a", "b")]
    d.output("fmod", ["N"])
    d.node("Mod", *as_float, fmod=1, out="fmod")
    special = d.tensor([np.nan, np.inf, -np.inf, -0.0, 0.0, 2.5])
    halves = d.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5])
    for op in ("Round", "Floor", "Ceil", "Sign", "Reciprocal", "Sqrt", "Relu"):
        d.output(op.lower(), ["twelve + N"])
        d.node(op, d.node("Concat", special, halves, "x", axis=0), out=op.lower())
    for op, name in (("Min", "least"), ("Max", "most"), ("Add", "sum"), ("Pow", "power")):
        d.output(name, [6])
        d.node(op, special, halves, out=name)
    d.output("is_nan", [6], BOOL)
    d.node("IsNaN", special, out="is_nan")
    d.output("shifted", ["N"], TensorProto.UINT32)
    small = d.node("Cast", d.node("Abs", "b"), to=TensorProto.UINT32)
    d.node(
        "BitShift",
        d.node("Cast", d.node("Abs", "a"), to=TensorProto.UINT32),
        small,
        direction="LEFT",
        out="shifted",
    )
    d.output("bits", ["N"], I32)
    d.node("BitwiseXor", "a", d.node("BitwiseNot", "b"), out="bits")
    d.output("levels", ["N"], U8)
    d.node("QuantizeLinear", "x", d.tensor(0.01), d.tensor(128, np.uint8), out="levels")
    return {
        "dims": {"A": {"N": 6}, "B": {"N": 6}},
        "fill": {
            "a": {"kind": "values", "of": [7, -7, 7, -7, 2147483647, 0]},
            "b": {"kind": "values", "of": [2, 2, -2, -2, 3, 5]},
        },
        "fill_in": {"B": {"b": {"kind": "values", "of": [1, -1, 3, -3, 7, 11]}}},
    }


# Ranks of the outputs of index_gymnastics that are not 3.
RANKS = {"gathered": 4, "picked": 2, "best": 2, "grown": 4, "deep": 4}


@maker
def index_gymnastics(d):
    """Gather and scatter in all forms, negative steps, Einsum, Resize, Trilu, OneHot,
    DepthToSpace, Pad by reflection, CumSum, GatherND with batch dims."""
    d.opset = 18
    d.input("x", ["N", 4, 6])
    d.input("at", ["N", 2], I64)
    plans = {
        "reversed": ("Slice", ["x", d.ints(-1), d.ints(-100), d.ints(2), d.ints(-2)], {}),
        "gathered": ("Gather", ["x", d.tensor([[0, -1], [2, 1]], np.int64)], {"axis": 1}),
        "picked": ("GatherND", ["x", "at_index"], {"batch_dims": 1}),
        "triangle": ("Trilu", ["x", d.tensor(1, np.int64)], {"upper": 0}),
        "running": ("CumSum", ["x", d.tensor(-1, np.int64)], {"exclusive": 1, "reverse": 1}),
        "mirrored": ("Pad", ["x", d.ints(0, 1, 2, 0, 1, 3)], {"mode": "reflect"}),
        "product": ("Einsum", ["x", "x"], {"equation": "bij,bkj->bik"}),
        "tiled": ("Tile", ["x", d.ints(1, 2, 1)], {}),
        "best": ("ArgMax", ["x"], {"axis": -1, "keepdims": 0, "select_last_index": 1}),
        "hot": ("OneHot", ["at", d.tensor(4, np.int64), d.tensor([-1.0, 1.0])], {"axis": 1}),
        "grown": ("Resize", ["image", "", d.tensor([1.0, 1.0, 2.0, 1.5])], {"mode": "linear"}),
        "deep": ("SpaceToDepth", ["image"], {"blocksize": 2}),
    }
    d.node("Unsqueeze", "at", d.ints(2), out="pairs")
    d.node(
        "Concat", "pairs", d.node("Add", "pairs", d.tensor(1, np.int64)), axis=2, out="at_index"
    )
    d.node("Unsqueeze", "x", d.ints(1), out="image")
    for name, (op, operands, attributes) in plans.items():
        d.node(op, *operands, out=name, **attributes)
        d.output(name, [None] * RANKS.get(name, 3), I64 if op == "ArgMax" else F32)
    return {
        "dims": {"A": {"N": 3}, "B": {"N": 1}},
        "fill": {"at": {"kind": "tokens", "low": 0, "high": 3}},
    }
