"""Models of the ways to store weights, and of names, dims and metadata."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .draft import BOOL, F16, F32, F64, I64, ML, MS, U8, maker


# How weights are stored


@maker
def sparse_weights(d):
    """Sparse initializers with indices of both kinds, and a sparse Constant."""
    d.input("x", ["N", 8])
    d.output("y", ["N", 5])

    def sparse(name, dims, indices):
        count = len(indices)
        values = numpy_helper.from_array(d.rng.standard_normal(count).astype(np.float32), name)
        places = numpy_helper.from_array(np.array(indices, np.int64), f"{name}_places")
        return helper.make_sparse_tensor(values, places, dims)

    d.sparse.append(sparse("by_row", [8, 6], [[0, 1], [1, 0], [3, 5], [5, 2], [6, 3], [7, 4]]))
    d.sparse.append(sparse("flat", [6, 5], [0, 7, 9, 13, 21, 28]))
    hidden = d.node("MatMul", "x", "by_row")
    straight = d.node("MatMul", hidden, "flat")
    few = d.node("Constant", sparse_value=sparse("", [5], [1, 4]))
    d.node("Add", straight, few, out="y")
    return {"dims": {"A": {"N": 3}, "B": {"N": 1}}}


@maker
def typed_encodings(d):
    """The same kinds of constant in typed fields, raw bytes and attribute forms,
    with dims that are empty or hold zeros."""
    d.input("x", ["N", 4])
    d.output("y", ["N", 4])
    d.output("nothing", [0, 4])
    d.output("flags", [4], BOOL)
    d.output("half", [4], F16)
    d.output("wide", [4], F64)
    d.output("whole", [6], I64)

    def typed(name, dtype, dims, values, raw=False):
        d.weights.append(helper.make_tensor(name, dtype, dims, values, raw=raw))
        return name

    a = typed("float_data", F32, [4], [0.5, -1.0, 2.0, 3.5e-41])
    b = typed("raw_float", F32, [], np.float32(0.25).tobytes(), raw=True)
    typed("half", F16, [4], [0.1, -65504.0, 6e-8, 1.0])
    d.weights.append(numpy_helper.from_array(np.array([1.5, -0.0, 1e300, 3.0]), "wide"))
    flags = typed("bool_data", BOOL, [4], [True, False, True, True])
    d.node("Not", flags, out="flags")
    typed("empty", F32, [0, 4], [])
    d.node("Concat", "empty", "empty", axis=0, out="nothing")
    bytes_u8 = typed("bytes", U8, [2], [200, 7])
    shorts = typed("shorts", TensorProto.INT16, [2], [-300, 300])
    longs = typed("longs", TensorProto.UINT64, [2], [2**53, 1])
    as_long = [d.node("Cast", t, to=I64) for t in (bytes_u8, shorts, longs)]
    d.node("Concat", *as_long, axis=0, out="whole")
    c = d.node("Constant", value_floats=[1.0, 2.0, 3.0, 4.0])
    e = d.node("Constant", value_float=0.125)
    k = d.node("Cast", d.node("Constant", value_ints=[4, 3, 2, 1]), to=F32)
    one = d.node("Cast", d.node("Constant", value_int=1), to=F32)
    shape = d.node("Constant", value=numpy_helper.from_array(np.array([1, 4], np.int64)))
    filled = d.node(
        "ConstantOfShape", shape, value=numpy_helper.from_array(np.array([0.75], np.float32))
    )
    d.node("Identity", d.node("Sum", "x", a, b, c, e, k, one, filled), out="y")
    return {"dims": {"A": {"N": 2}, "B": {"N": 0}}}


@maker
def external_two_files(d):
    """Weights in two other files, at offsets, one without a length, some inline."""
    d.input("x", ["N", 48])
    d.output("y", ["N", 16])
    hidden = d.node(
        "Relu", d.node("Gemm", "x", d.weight(48, 48, name="w_a0"), d.weight(48, name="w_b0"))
    )
    hidden = d.node(
        "Tanh", d.node("Gemm", hidden, d.weight(48, 48, name="w_a1"), d.weight(48, name="w_b1"))
    )
    d.node("Gemm", hidden, d.weight(48, 16, name="w_a2"), d.weight(16, name="inline"), out="y")
    return {"dims": {"A": {"N": 4}, "B": {"N": 1}}, "external": True}


@maker
def overridable_defaults(d):
    """Initializers that are graph inputs too: a caller may replace them."""
    d.input("x", ["N", 5])
    d.input("scale", [5])
    d.input("count", [1], I64)
    d.output("y", ["N", 5])
    d.output("top", ["N", "k"])
    d.tensor([1.0, 2.0, -1.0, 0.5, 3.0], name="scale")
    d.tensor([2], np.int64, name="count")
    d.node("Mul", "x", "scale", out="y")
    d.node("TopK", "y", "count", axis=1, out=["top", "places"])
    return {"dims": {"A": {"N": 3}, "B": {"N": 1}}}


@maker
def opset7_classic(d):
    """Operator set 7 and IR version 3, when every weight was an input as well."""
    d.opset, d.ir_version = 7, 3
    d.input("image", [1, 3, 12, 12])
    d.output("score", [1, 6])

    def old(name, *shape, std=None, positive=False):
        d.weight(*shape, std=std, name=name)
        if positive:
            tensor = d.weights[-1]
            array = np.abs(numpy_helper.to_array(tensor)) + 0.5
            tensor.CopyFrom(numpy_helper.from_array(array, name))
        return d.input(name, list(shape))

    x = d.node(
        "Conv",
        "image",
        old("cw", 4, 3, 3, 3),
        old("cb", 4),
        kernel_shape=[3, 3],
        auto_pad="SAME_UPPER",
    )
    norm = [
        old("gamma", 4, std=1.0),
        old("beta", 4, std=0.3),
        old("mu", 4, std=0.2),
        old("var", 4, positive=True),
    ]
    x = d.node("BatchNormalization", x, *norm, spatial=1, epsilon=1e-3)
    x = d.node("Selu", x)
    x = d.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 0, 0])
    x = d.node("Upsample", x, mode="nearest", scales=[1.0, 1.0, 2.0, 2.0])
    x = d.node("AveragePool", x, kernel_shape=[3, 3], strides=[3, 3], count_include_pad=1)
    x = d.node("LRN", x, size=3, alpha=0.01)
    x = d.node("Dropout", x, ratio=0.3)
    d.tensor([1, 64], np.int64, name="flat")
    d.input("flat", [2], I64)
    x = d.node("Reshape", x, "flat")
    x = d.node("Gemm", x, old("fw", 64, 6), old("fb", 6), alpha=0.7, beta=0.5)
    x = d.node("Unsqueeze", d.node("Squeeze", x, axes=[0]), axes=[0])
    d.node("Softmax", x, axis=1, out="score")
    return {"dims": {"A": {}}}


# Names, dims, metadata


@maker
def dims_of_all_kinds(d):
    """Named, unnamed, negative and repeated dims; scalars; outputs without shape."""
    d.input("named", ["batch", "width"])
    d.input("unnamed", [None, 3])
    d.input("negative", [-1, 3])
    d.input("scalar", [])
    d.input("same", ["batch", 2])
    d.output("a", ["batch", "width + 2"])
    d.output("b", [None, 3])
    d.output("c", None)
    d.output("rank", [], I64)
    d.node("Concat", "named", "same", axis=1, out="a")
    d.node("Concat", "unnamed", "negative", axis=0, out="b")
    d.node("Mul", "negative", "scalar", out="c")
    d.node("Size", d.node("Shape", "b"), out="rank")
    return {
        "dims": {
            "A": {"batch": 2, "width": 5, "unnamed[0]": 1, "negative[0]": 4},
            "B": {"batch": 1, "width": 1, "unnamed[0]": 3, "negative[0]": 2},
        },
        "unchecked": "the checker wants a shape on every output, ONNX Runtime does not",
    }


def annotate(thing, number):
    """A documentation text and a few properties on anything that has them."""
    if hasattr(thing, "doc_string"):
        thing.doc_string = f"Note {number}.\n\tTwo lines, “quotes”, 注."
    for key, value in ((f"key {number}", "value; with = signs"), ("empty", "")):
        thing.metadata_props.add(key=key, value=value)


def add_metadata(model):
    """Annotate a model everywhere that the format allows."""
    model.domain, model.model_version = "org.example.corpus", 7
    model.producer_version = "1.2-rc3"
    graph, function = model.graph, model.functions[0]
    things = [model, graph, function, *graph.node, *function.node]
    things += [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for number, thing in enumerate(things):
        annotate(thing, number)
    for dim, word in zip(
        graph.input[0].type.tensor_type.shape.dim, ("DATA_BATCH", "DATA_FEATURE")
    ):
        dim.denotation = word
    graph.input[0].type.denotation = "TENSOR"
    scale = onnx.TensorAnnotation(tensor_name="w")
    scale.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="s")
    graph.quantization_annotation.append(scale)


@maker
def metadata_everywhere(d):
    """Texts, properties and denotations on all things; imports that nothing uses."""
    d.opset, d.ir_version = 21, 10
    d.function(
        "corpus.meta",
        "Twice",
        ["a"],
        ["b"],
        [helper.make_node("Add", ["a", "a"], ["b"], name="inner")],
    )
    d.domains |= {
        MS: 1,
        ML: 5,
        "com.microsoft.nchwc": 1,
        "ai.onnx.preview.training": 1,
        "org.unknown": 3,
    }
    d.input("x", ["n", 3])
    d.output("y", ["n", 3])
    d.weight(3, 3, name="w")
    d.tensor(0.5, name="s")
    m = d.node("MatMul", "x", "w", name="product", out="m")
    d.values.append(helper.make_tensor_value_info("m", F32, ["n", 3]))
    scaled = d.node("Mul", m, "s", name="scaling")
    d.node("Twice", scaled, domain="corpus.meta", name="call", out="y")
    return {"dims": {"A": {"n": 2}, "B": {"n": 5}}, "finish": add_metadata}


@maker
def awkward_names(d):
    """Names with colons, slashes, quotes, blanks, other scripts, great length;
    names that look like numbers or keywords; a node without a name."""
    long = "very/long/scope/" * 25 + "end:0"
    d.input("x:0", ["dim with blank", 4])
    d.input("%1", [4])
    d.output("if", ["dim with blank", 4])
    d.output('out/πλάτος;"quoted"', ["dim with blank", 4])
    d.output("42", ["?", "width:0"])
    a = d.node("Add", "x:0", "%1", name="13", out=long)
    b = d.node("Mul", a, d.tensor(0.5, name="w{0}\\n"), name="graph", out="tab\there")
    d.node("Sin", b, name="", out="if")
    d.node("Cos", b, name="für/каждый", out='out/πλάτος;"quoted"')
    d.node("Sub", "if", 'out/πλάτος;"quoted"', out="42")
    return {"dims": {"A": {"dim with blank": 3}, "B": {"dim with blank": 1}}}


@maker
def straight_through(d):
    """Inputs and weights that are outputs, an input that nothing uses, dead nodes,
    one value under two output names."""
    d.input("kept", ["N"])
    d.input("unused", ["M", 2])
    d.output("kept", ["N"])
    d.output("weight", [3])
    d.output("copy", ["N"])
    d.output("twin", ["N"])
    d.tensor([1.0, 2.0, 3.0], name="weight")
    d.tensor([9.0] * 10, name="idle")
    d.node("Identity", "kept", out="copy")
    d.node("Identity", "copy", out="twin")
    d.node("Exp", "kept")
    return {"dims": {"A": {"N": 3, "M": 1}, "B": {"N": 1, "M": 2}}}
