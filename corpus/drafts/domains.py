"""Models of operators of other domains."""

import numpy as np
from onnx import helper, numpy_helper

from .draft import F32, I64, ML, MS, STRING, maker


@maker
def contrib_fused(d):
    """What ONNX Runtime's own optimiser writes: fused products, norms, activations."""
    d.input("x", ["B", "S", 16])
    d.output("y", ["B", "S", 16])
    d.output("skip", ["B", "S", 16])
    d.output("scores", ["B", "S", "S"])
    ones = d.tensor(1 + 0.1 * d.rng.standard_normal(16))
    norm = d.node("LayerNormalization", "x", ones, d.weight(16, std=0.1), epsilon=1e-5)
    d.node("FusedMatMul", norm, norm, domain=MS, alpha=0.25, transB=1, out="scores")
    up = d.node(
        "BiasGelu", d.node("MatMul", norm, d.weight(16, 32)), d.weight(32, std=0.1), domain=MS
    )
    fast = d.node("FastGelu", up, d.weight(32, std=0.1), domain=MS)
    quick = d.node("QuickGelu", fast, alpha=1.702, domain=MS)
    gelu = d.node("Gelu", quick, domain=MS)
    down = d.node("MatMul", gelu, d.weight(32, 16))
    d.node(
        "SkipLayerNormalization", down, "x", ones, d.weight(16, std=0.1), d.weight(16, std=0.1),
        domain=MS, epsilon=1e-5, out=["y", "", "", "skip"],
    )  # fmt: skip
    return {"dims": {"A": {"B": 2, "S": 5}, "B": {"B": 1, "S": 3}}}


@maker
def contrib_matmul_nbits(d):
    """MatMulNBits: weights of 4 bits in blocks, with and without zero points."""
    d.input("x", ["N", 32])
    d.output("y", ["N", 6])
    d.output("z", ["N", 6])
    columns, depth, block = 6, 32, 16
    packed = d.tensor(d.rng.integers(0, 256, (columns, depth // block, block // 2)), np.uint8)
    scales = d.tensor(0.02 + 0.02 * d.rng.random(columns * depth // block))
    attributes = {"K": depth, "N": columns, "bits": 4, "block_size": block, "domain": MS}
    d.node("MatMulNBits", "x", packed, scales, out="y", **attributes)
    points = d.tensor(d.rng.integers(0, 256, columns), np.uint8)
    d.node("MatMulNBits", "x", packed, scales, points, out="z", **attributes)
    return {"dims": {"A": {"N": 4}, "B": {"N": 1}}}


@maker
def contrib_quantised(d):
    """QLinearAdd, QLinearMul, QLinearSigmoid, FusedConv, QGemm of com.microsoft."""
    d.input("x", [2, 3, 6, 6])
    d.output("y", [2, 4, 6, 6])
    d.output("logits", [2, 5])
    conv = d.node(
        "FusedConv", "x", d.weight(4, 3, 3, 3), d.weight(4, std=0.1), domain=MS,
        activation="LeakyRelu", activation_params=[0.1], pads=[1, 1, 1, 1], kernel_shape=[3, 3],
    )  # fmt: skip
    step, point = d.tensor(0.02), d.tensor(110, np.uint8)
    q = d.node("QuantizeLinear", conv, step, point)
    twice = d.node(
        "QLinearAdd", q, step, point, q, step, point, d.tensor(0.04), point, domain=MS
    )
    both = d.node(
        "QLinearMul",
        twice,
        d.tensor(0.04),
        point,
        q,
        step,
        point,
        d.tensor(0.05),
        point,
        domain=MS,
    )
    s = d.node(
        "QLinearSigmoid",
        both,
        d.tensor(0.05),
        point,
        d.tensor(1 / 256),
        d.tensor(0, np.uint8),
        domain=MS,
    )
    d.node("DequantizeLinear", s, d.tensor(1 / 256), d.tensor(0, np.uint8), out="y")
    flat = d.node("Flatten", q)
    kernel = d.tensor(d.rng.integers(-50, 50, (144, 5)), np.int8)
    out = d.node(
        "QGemm", flat, step, point, kernel, d.tensor(0.01), d.tensor(0, np.int8), "",
        d.tensor(0.1), d.tensor(128, np.uint8), domain=MS, alpha=1.0,
    )  # fmt: skip
    d.node("DequantizeLinear", out, d.tensor(0.1), d.tensor(128, np.uint8), out="logits")
    return {"dims": {"A": {}}}


def forest(rng, trees, features, classes, depth=3):
    """Attributes of a TreeEnsembleClassifier of full binary trees."""
    made = {key: [] for key in (
        "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes",
        "nodes_truenodeids", "nodes_falsenodeids", "nodes_missing_value_tracks_true",
        "class_treeids", "class_nodeids", "class_ids", "class_weights",
    )}  # fmt: skip
    inner = 2**depth - 1
    for tree in range(trees):
        for node in range(2 * inner + 1):
            leaf = node >= inner
            row = (
                tree,
                node,
                0 if leaf else int(rng.integers(features)),
                0.0 if leaf else float(np.float32(rng.normal())),
                "LEAF" if leaf else "BRANCH_LEQ",
                0 if leaf else 2 * node + 1,
                0 if leaf else 2 * node + 2,
                int(rng.integers(2)),
            )
            for key, value in zip(list(made)[:8], row, strict=True):
                made[key].append(value)
            for label in range(classes if leaf else 0):
                made["class_treeids"].append(tree)
                made["class_nodeids"].append(node)
                made["class_ids"].append(label)
                made["class_weights"].append(float(np.float32(rng.random() / trees)))
    return made


@maker
def ml_forest(d):
    """Scaler, TreeEnsembleClassifier with string labels, LabelEncoder, ZipMap."""
    d.domains[ML] = 3
    d.input("features", ["N", 5])
    d.output("label", ["N"], STRING)
    d.output("number", ["N"], I64)
    d.output("scores", ["N", 3])
    scaled = d.node(
        "Scaler",
        "features",
        domain=ML,
        offset=[0.1, -0.2, 0.0, 0.3, 0.0],
        scale=[1.0, 2.0, 0.5, 1.0, 3.0],
    )
    names = ["ash", "birch", "cedar"]
    d.node(
        "TreeEnsembleClassifier", scaled, domain=ML, classlabels_strings=names,
        post_transform="SOFTMAX", out=["label", "scores"], **forest(d.rng, 6, 5, 3),
    )  # fmt: skip
    d.node(
        "LabelEncoder", "label", domain=ML,
        keys_strings=names, values_int64s=[10, 20, 30], default_int64=0, out="number",
    )  # fmt: skip
    d.node("ZipMap", "scores", domain=ML, classlabels_strings=names, out="table")
    kind = helper.make_map_type_proto(STRING, helper.make_tensor_type_proto(F32, []))
    d.outputs.append(helper.make_value_info("table", helper.make_sequence_type_proto(kind)))
    return {"dims": {"A": {"N": 6}, "B": {"N": 1}}}


@maker
def ml_linear(d):
    """Imputer, Normalizer, LinearClassifier, LinearRegressor, Binarizer, OneHotEncoder."""
    d.domains[ML] = 1
    d.input("features", ["N", 4])
    d.input("colour", ["N"], I64)
    d.output("label", ["N"], I64)
    d.output("probability", ["N", 3])
    d.output("value", ["N", 1])
    d.output("bits", ["N", 4])
    filled = d.node(
        "Imputer",
        "features",
        domain=ML,
        imputed_value_floats=[0.5],
        replaced_value_float=float("nan"),
    )
    unit = d.node("Normalizer", filled, domain=ML, norm="L2")
    draw = lambda n: d.rng.normal(size=n).astype(np.float32).tolist()  # noqa: E731
    d.node(
        "LinearClassifier", unit, domain=ML, coefficients=draw(12), intercepts=draw(3),
        classlabels_ints=[4, 5, 9], multi_class=0, post_transform="LOGISTIC", out=["label", "probability"],
    )  # fmt: skip
    coded = d.node("OneHotEncoder", "colour", domain=ML, cats_int64s=[1, 2, 3], zeros=1)
    both = d.node("Concat", unit, coded, axis=1)
    d.node(
        "LinearRegressor", both, domain=ML, coefficients=draw(7), intercepts=[0.25], out="value"
    )
    d.node("Binarizer", unit, domain=ML, threshold=0.2, out="bits")
    return {
        "dims": {"A": {"N": 5}, "B": {"N": 2}},
        "fill": {"colour": {"kind": "tokens", "low": 0, "high": 5}},
    }


@maker
def unknown_operator(d):
    """An operator that nobody knows, with every kind of attribute, between known ones."""
    d.domains["org.example.custom"] = 2
    d.input("x", ["N", 4])
    d.output("y", ["N", 4])
    d.output("side", ["S"])
    inner = d.body("inner")
    inner.node("Abs", "x", out="inner_out")
    inner.output("inner_out")
    before = d.node("Relu", "x")
    d.node(
        "Mystery", before, "", d.weight(4, 4), domain="org.example.custom", name="riddle",
        strength=0.5, count=3, mode="soft", ratios=[0.25, 0.75], sizes=[1, 2, 3],
        labels=["a", "b"], body=inner.graph(),
        table=numpy_helper.from_array(np.arange(4, dtype=np.float32), "table"),
        out=["found", "side"],
    )  # fmt: skip
    d.node("Neg", "found", out="y")
    return {"dims": {"A": {"N": 2}}, "cannot_run": "org.example.custom::Mystery exists nowhere"}
