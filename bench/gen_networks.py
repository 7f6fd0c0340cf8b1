#!/usr/bin/env python3
"""Write well-known networks with random weights, and single patterns, for bench/native.

    resnet50, mobilenetv2    images 1x3x224x224, batch norms folded into convolutions
    bert-base                12 layers of width 768, 128 tokens
    product-256, -512        one matrix product with constant right side
    chain-K-N                K elementwise ops on N floats, among them tanh and sigmoid
    arithmetic-K-N           the same of sums, products and maxima alone

Weights are drawn from fixed seeds and scaled so that activations keep their magnitude.
They lie in .corpus/bench/networks; a model that is already there is left alone.

Exit status: 0 done, 2 wrong usage.
"""

import argparse
import os
import zlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model

ROOT = Path(__file__).resolve().parent.parent
DEST = ROOT / ".corpus" / "bench" / "networks"
OPSET = 20
CHAIN = ("Mul", "Add", "Tanh", "Mul", "Sigmoid", "Add", "Mul", "Sub", "Relu", "Add")
ARITHMETIC = ("Mul", "Add", "Relu", "Mul", "Sub", "Mul", "Add", "Relu", "Sub", "Mul")
PATTERNS = ("product-", "chain-", "arithmetic-")


class Draft:
    """A graph under construction, in which a value is its name."""

    def __init__(self, name):
        self.name = name
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.nodes, self.weights = [], []

    def constant(self, array):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def weight(self, *shape, fan=None):
        scale = np.sqrt(1.0 / fan) if fan else 0.02
        return self.constant(self.rng.normal(0, scale, shape).astype(np.float32))

    def node(self, op, *inputs, **attributes):
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def save(self, inputs, output, path):
        self.nodes.append(helper.make_node("Identity", [output], ["output"]))
        given = [helper.make_tensor_value_info(*spec) for spec in inputs]
        result = [helper.make_tensor_value_info("output", TensorProto.FLOAT, None)]
        graph = helper.make_graph(self.nodes, self.name, given, result, self.weights)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        part = path.with_suffix(".part")
        save_model(model, part)
        os.replace(part, path)


def conv(g, x, wide, out, kernel=1, stride=1, groups=1, act=None):
    """A convolution with bias, and what follows it."""
    fan = wide // groups * kernel * kernel
    w = g.weight(out, wide // groups, kernel, kernel, fan=fan / 2 if act else fan)
    bias = g.weight(out)
    x = g.node("Conv", x, w, bias, strides=[stride] * 2, pads=[kernel // 2] * 4, group=groups)
    if act == "relu":
        x = g.node("Relu", x)
    if act == "relu6":
        x = g.node("Clip", x, g.constant(np.float32(0)), g.constant(np.float32(6)))
    return x


def classify(g, x, wide):
    x = g.node("Flatten", g.node("GlobalAveragePool", x))
    return g.node("Gemm", x, g.weight(1000, wide, fan=wide), g.weight(1000), transB=1)


def images(g, body, path):
    g.save([("input", TensorProto.FLOAT, [1, 3, 224, 224])], body(g, "input"), path)


def resnet50(g, x):
    x = conv(g, x, 3, 64, 7, 2, act="relu")
    x = g.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    wide = 64
    for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = conv(g, x, wide, width, act="relu")
            y = conv(g, y, width, width, 3, step, act="relu")
            y = conv(g, y, width, 4 * width)
            if block == 0:
                x = conv(g, x, wide, 4 * width, stride=step)
            x = g.node("Relu", g.node("Add", y, x))
            wide = 4 * width
    return classify(g, x, wide)


def mobilenetv2(g, x):
    x = conv(g, x, 3, 32, 3, 2, act="relu6")
    wide = 32
    plan = (
        (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
        (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
    )  # fmt: skip
    for factor, out, blocks, stride in plan:
        for block in range(blocks):
            step = stride if block == 0 else 1
            inner = wide * factor
            y = conv(g, x, wide, inner, act="relu6") if factor > 1 else x
            y = conv(g, y, inner, inner, 3, step, groups=inner, act="relu6")
            y = conv(g, y, inner, out)
            x = g.node("Add", x, y) if step == 1 and wide == out else y
            wide = out
    return classify(g, conv(g, x, wide, 1280, act="relu6"), 1280)


def linear(g, x, wide, out):
    return g.node("Add", g.node("MatMul", x, g.weight(wide, out, fan=wide)), g.weight(out))


def norm(g, x, wide):
    ones, zeros = np.ones(wide, np.float32), np.zeros(wide, np.float32)
    return g.node("LayerNormalization", x, g.constant(ones), g.constant(zeros), epsilon=1e-12)


def bert(g, path, layers=12, wide=768, heads=12, tokens=128, words=30522):
    def split(x, order):
        shape = g.constant(np.array([1, tokens, heads, wide // heads]))
        return g.node("Transpose", g.node("Reshape", x, shape), perm=order)

    ids = g.node("Gather", g.weight(words, wide), "input_ids")
    x = norm(g, g.node("Add", ids, g.weight(1, tokens, wide)), wide)
    mask = g.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = g.node("Sub", g.constant(np.float32(1)), mask)
    mask = g.node("Mul", mask, g.constant(np.float32(-1e4)))
    mask = g.node("Unsqueeze", mask, g.constant(np.array([1, 2])))
    scale = g.constant(np.float32((wide // heads) ** -0.5))
    flat = g.constant(np.array([1, tokens, wide]))
    for _ in range(layers):
        q = split(linear(g, x, wide, wide), [0, 2, 1, 3])
        k = split(linear(g, x, wide, wide), [0, 2, 3, 1])
        v = split(linear(g, x, wide, wide), [0, 2, 1, 3])
        scores = g.node("Add", g.node("Mul", g.node("MatMul", q, k), scale), mask)
        y = g.node("MatMul", g.node("Softmax", scores, axis=-1), v)
        y = g.node("Reshape", g.node("Transpose", y, perm=[0, 2, 1, 3]), flat)
        x = norm(g, g.node("Add", linear(g, y, wide, wide), x), wide)
        y = linear(g, g.node("Gelu", linear(g, x, wide, 4 * wide)), 4 * wide, wide)
        x = norm(g, g.node("Add", y, x), wide)
    spec = [(name, TensorProto.INT64, [1, tokens]) for name in ("input_ids", "attention_mask")]
    g.save(spec, x, path)


def product(g, n, path):
    y = g.node("MatMul", "input", g.weight(n, n, fan=n))
    g.save([("input", TensorProto.FLOAT, [n, n])], y, path)


def chain(g, ops, n, path):
    x = "input"
    for op in ops:
        two = op in ("Mul", "Add", "Sub")
        x = g.node(op, x, g.constant(np.float32(g.rng.uniform(0.5, 1.5)))) if two else g.node(op, x)
    g.save([("input", TensorProto.FLOAT, [n])], x, path)


def makers():
    """What makes a model, by the model's name."""
    out = {
        "resnet50": lambda g, path: images(g, resnet50, path),
        "mobilenetv2": lambda g, path: images(g, mobilenetv2, path),
        "bert-base": bert,
    }
    for n in (256, 512):
        out[f"product-{n}"] = lambda g, path, n=n: product(g, n, path)
    for ops in (2, 3, 5, 10):
        for n in (1 << 10, 1 << 15, 1 << 18, 1 << 22):
            for kind, all_ops in (("chain", CHAIN), ("arithmetic", ARITHMETIC)):
                some = all_ops[:ops]
                # Up to two ops the chains are the same.
                if ops > 2 or kind == "chain":
                    out[f"{kind}-{ops}-{n}"] = lambda g, path, some=some, n=n: chain(g, some, n, path)
    return out


def make(names=None):
    """The paths of the models of these names, or of all; those that are missing are written."""
    DEST.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, maker in makers().items():
        if names is not None and name not in names:
            continue
        path = DEST / f"{name}.onnx"
        if not path.exists():
            maker(Draft(name), path)
        paths.append(path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*makers(), []], metavar="NAME", help="all, unless named")
    for path in make(parser.parse_args().names or None):
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
