#!/usr/bin/env python3
"""Write small ONNX models, one for each corner of the format that needs testing.

They cover subgraphs and captures, sequences and optionals, local functions, text, the
ways to store weights, types of two to eight bits, unusual names and dims, operators of
other domains, and subgraphs that optimisation passes look for. Seeds are fixed, so a
file has the same bytes whenever it is written. Each model lies in .corpus/generated/NAME.onnx with
NAME.recipe.json, the recipe for its inputs (inputs.py); "cannot_run" in it says why
ONNX Runtime does not run the model.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import fnmatch
import os
import zlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, checker, helper, numpy_helper

from common import DONE, FAILED, STORE, run, shown, write_json

F32, F16, BF16, F64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.DOUBLE,
)
I32, I64, U8, I8 = (
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.INT8,
)
BOOL, STRING = TensorProto.BOOL, TensorProto.STRING
MS, ML = "com.microsoft", "ai.onnx.ml"
LIMIT = 200_000
MAKERS = {}


def maker(function):
    """Register a function that fills a Draft and returns the recipe."""
    MAKERS[function.__name__] = function
    return function


class Draft:
    """A graph under construction: the main one, a subgraph, or a function's body."""

    def __init__(self, name, opset=17, ir_version=8, parent=None):
        self.name, self.opset, self.ir_version = name, opset, ir_version
        self.root = parent or self
        self.domains = {}
        self.functions = []
        self.counter = 0
        self.nodes, self.weights, self.sparse = [], [], []
        self.inputs, self.outputs, self.values = [], [], []
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def fresh(self, stem):
        """A value name that nothing else in the model has."""
        self.root.counter += 1
        return f"{stem.lower()}_{self.root.counter}"

    def input(self, name, dims=(), dtype=F32):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def output(self, name, dims=None, dtype=F32):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def node(self, op, *inputs, out=None, domain="", name="", **attributes):
        """Append a node; returns the name of its output, or a list for several.

        out: a name, a list of names, or a number of outputs.
        """
        if domain:
            self.root.domains.setdefault(domain, 1)
        if isinstance(out, int):
            names = [self.fresh(op) for _ in range(out)]
        elif isinstance(out, list):
            names = out
        else:
            names = [out or self.fresh(op)]
        self.nodes.append(
            helper.make_node(op, inputs, names, name=name, domain=domain, **attributes)
        )
        return names if isinstance(out, (int, list)) else names[0]

    def tensor(self, values, dtype=np.float32, name=None):
        """An initializer with these values."""
        array = np.asarray(values, dtype=dtype)
        name = name or self.fresh("k")
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        """A one-dimensional int64 initializer."""
        return self.tensor(values, np.int64)

    def weight(self, *shape, std=None, name=None):
        """A float initializer drawn from the draft's seed, scaled by fan-in."""
        fan_in = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        scale = std if std is not None else float(fan_in) ** -0.5
        drawn = scale * self.rng.standard_normal(shape)
        return self.tensor(drawn, np.float32, name or self.fresh("w"))

    def low_bit(self, values, dtype, dims=None):
        """An initializer of a type that NumPy does not have."""
        name = self.fresh("k")
        flat = np.asarray(values).ravel().tolist()
        dims = list(dims if dims is not None else np.shape(values))
        self.weights.append(helper.make_tensor(name, dtype, dims, flat))
        return name

    def body(self, name):
        """A draft for a subgraph of one of this graph's nodes."""
        draft = Draft(name, self.opset, self.ir_version, parent=self.root)
        return draft

    def function(
        self, domain, name, inputs, outputs, nodes, attributes=(), defaults=(), **more
    ):
        """Add a local function to the model."""
        self.root.domains.setdefault(domain, 1)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(domain, 1)]
        made = helper.make_function(
            domain,
            name,
            inputs,
            outputs,
            nodes,
            opsets,
            list(attributes),
            list(defaults),
            **more,
        )
        self.functions.append(made)

    def graph(self):
        return helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            self.weights,
            value_info=self.values,
            sparse_initializer=self.sparse,
        )

    def model(self):
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(d, v) for d, v in self.domains.items() if d]
        return helper.make_model(
            self.graph(),
            opset_imports=opsets,
            ir_version=self.ir_version,
            producer_name="airconv-corpus",
            functions=self.functions,
        )


def reference(node, **renamed):
    """Make attributes of a function's node refer to attributes of the function."""
    for attribute, (source, kind) in renamed.items():
        made = onnx.AttributeProto(name=attribute, ref_attr_name=source, type=kind)
        node.attribute.append(made)
    return node


# Control flow


@maker
def if_thermostat(d):
    """If in If in If; captures from every level; branches of different shape."""
    d.input("reading", ["N", 6])
    d.output("setting", ["A", "B"])
    d.output("count", [], I64)
    mean = d.node("ReduceMean", "reading", keepdims=0)
    scaled = d.node("Mul", "reading", d.tensor(2.5))
    weight = d.weight(6, 3, name="blend")

    hot = d.body("hot")
    peak = hot.node("ReduceMax", scaled, keepdims=0)
    extreme = hot.node("Greater", peak, hot.tensor(8.0))
    boiling = hot.body("boiling")
    capped = boiling.node("Min", scaled, peak)
    boiling.node("MatMul", capped, weight, out="o_boiling")
    boiling.node("Shape", capped, out="s_boiling")
    warm = hot.body("warm")
    few = warm.node("Less", mean, warm.tensor(0.4))
    mild, brisk = warm.body("mild"), warm.body("brisk")
    mild.node("Sub", "reading", peak, out="o_mild")
    brisk.node("Transpose", scaled, perm=[1, 0], out="o_brisk")
    for side, result in ((mild, "o_mild"), (brisk, "o_brisk")):
        side.output(result)
    warm.node("If", few, then_branch=mild.graph(), else_branch=brisk.graph(), out="o_warm")
    warm.node("Shape", "o_warm", out="s_warm")
    for side, result in ((boiling, "boiling"), (warm, "warm")):
        side.output(f"o_{result}")
        side.output(f"s_{result}", [2], I64)
    hot.node(
        "If",
        extreme,
        then_branch=boiling.graph(),
        else_branch=warm.graph(),
        out=["o_hot", "s_hot"],
    )
    hot.output("o_hot")
    hot.output("s_hot", [2], I64)

    cold = d.body("cold")
    cold.node("Neg", "reading", out="o_cold")
    cold.node("Shape", scaled, out="s_cold")
    cold.output("o_cold")
    cold.output("s_cold", [2], I64)

    positive = d.node("Greater", mean, d.tensor(0.0))
    sizes = d.node(
        "If",
        positive,
        then_branch=hot.graph(),
        else_branch=cold.graph(),
        out=["setting", "sizes"],
    )[1]
    d.node("ReduceProd", sizes, keepdims=0, out="count")
    return {
        "dims": {"A": {"N": 5}, "B": {"N": 3}, "C": {"N": 2}, "D": {"N": 4}},
        "fill": {"reading": {"kind": "normal", "mean": 3.0}},
        "fill_in": {
            "B": {"reading": {"kind": "uniform", "low": -0.2, "high": 0.8}},
            "C": {"reading": {"kind": "normal", "mean": -2.0}},
            "D": {"reading": {"kind": "uniform", "low": 0.5, "high": 1.5}},
        },
    }


@maker
def loop_newton(d):
    """Loops with and without a trip count and a condition; scan outputs; captures."""
    d.input("x", [4])
    d.input("limit", [], I64)
    d.output("root", [4])
    d.output("steps", ["S", 4])
    d.output("rounds", [], I64)
    d.output("powers", ["P", 2])
    target = d.node("Add", d.node("Abs", "x"), d.tensor(0.5))

    body = d.body("improve")
    body.input("i", [], I64)
    body.input("go_in", [], BOOL)
    body.input("guess", [4])
    body.input("done", [], I64)
    quotient = body.node("Div", target, "guess")
    better = body.node(
        "Mul", body.node("Add", "guess", quotient), body.tensor(0.5), out="better"
    )
    change = body.node(
        "ReduceMax", body.node("Abs", body.node("Sub", better, "guess")), keepdims=0
    )
    body.node("Greater", change, body.tensor(1e-4), out="go_out")
    body.node("Add", "done", body.tensor(1, np.int64), out="done_out")
    body.node("Identity", "guess", out="trace")
    body.output("go_out", [], BOOL)
    body.output("better", [4])
    body.output("done_out", [], I64)
    body.output("trace", [4])
    yes = d.tensor(True, np.bool_)
    zero = d.tensor(0, np.int64)
    d.node(
        "Loop", "limit", yes, target, zero, body=body.graph(), out=["root", "rounds", "steps"]
    )

    # No condition at all: a for loop, in which a vector of two doubles each time.
    doubling = d.body("doubling")
    doubling.input("j", [], I64)
    doubling.input("c", [], BOOL)
    doubling.input("v", [2])
    doubling.node("Identity", "c", out="c_out")
    doubling.node("Add", "v", "v", out="v_out")
    doubling.node("Mul", "v", doubling.tensor([1.0, -1.0]), out="emitted")
    doubling.output("c_out", [], BOOL)
    doubling.output("v_out", [2])
    doubling.output("emitted", [2])
    start = d.node("Slice", "x", d.ints(0), d.ints(2))
    d.node("Loop", "limit", "", start, body=doubling.graph(), out=["last_power", "powers"])
    return {
        "dims": {"A": {}, "B": {}, "C": {}},
        "fill": {
            "x": {"kind": "normal", "std": 9.0},
            "limit": {"kind": "fill", "value": 12},
        },
        "fill_in": {
            "B": {"limit": {"kind": "fill", "value": 2}},
            "C": {"limit": {"kind": "fill", "value": 0}},
        },
    }


@maker
def loop_in_loop(d):
    """A Loop in a Loop in an If, with values of all levels in the innermost body."""
    d.input("grid", ["R", "C"])
    d.output("table", ["R", "C"])
    d.output("total", [])
    sizes = d.node("Shape", "grid")
    height = d.node("Gather", sizes, d.tensor(0, np.int64))
    width = d.node("Gather", sizes, d.tensor(1, np.int64))
    mean = d.node("ReduceMean", "grid", keepdims=0)

    outer = d.body("rows")
    outer.input("r", [], I64)
    outer.input("rc", [], BOOL)
    outer.input("sum_in", [])
    row = outer.node("Gather", "grid", "r", axis=0)
    inner = outer.body("columns")
    inner.input("c", [], I64)
    inner.input("cc", [], BOOL)
    inner.input("run_in", [])
    cell = inner.node("Gather", row, "c", axis=0)
    offset = inner.node("Sub", cell, mean)
    place = inner.node("Cast", inner.node("Add", "r", "c"), to=F32)
    inner.node("Add", "run_in", inner.node("Mul", offset, place), out="run_out")
    inner.node("Identity", "cc", out="cc_out")
    inner.node("Tanh", "run_out", out="shown")
    inner.output("cc_out", [], BOOL)
    inner.output("run_out", [])
    inner.output("shown", [])
    outer.node("Loop", width, "rc", "sum_in", body=inner.graph(), out=["sum_out", "line"])
    outer.node("Identity", "rc", out="rc_out")
    outer.output("rc_out", [], BOOL)
    outer.output("sum_out", [])
    outer.output("line", ["w"])
    d.node(
        "Loop",
        height,
        d.tensor(True, np.bool_),
        d.tensor(0.0),
        body=outer.graph(),
        out=["total", "table"],
    )
    return {"dims": {"A": {"R": 4, "C": 3}, "B": {"R": 1, "C": 6}}}


@maker
def scan_filter(d):
    """Scan along another axis, backwards, with two states and two outputs."""
    d.input("signal", ["channels", "time"])
    d.input("gain", ["time"])
    d.output("state", ["channels"])
    d.output("smooth", ["channels", "time"])
    d.output("power", ["time"])
    body = d.body("biquad")
    for name in ("p1", "p2", "x"):
        body.input(name, ["channels"])
    body.input("g", [])
    feedback = body.node("Mul", "p1", body.tensor(0.6))
    damping = body.node("Mul", "p2", body.tensor(-0.25))
    drive = body.node("Mul", "x", "g")
    body.node("Sum", drive, feedback, damping, out="now")
    body.node("Identity", "p1", out="then")
    body.node("Identity", "now", out="kept")
    body.node("ReduceL2", "now", keepdims=0, out="level")
    for name in ("now", "then", "kept"):
        body.output(name, ["channels"])
    body.output("level", [])
    first = d.node("Gather", "signal", d.tensor(0, np.int64), axis=1)
    rest = d.node("Mul", first, d.tensor(0.5))
    d.node(
        "Scan",
        first,
        rest,
        "signal",
        "gain",
        body=body.graph(),
        num_scan_inputs=2,
        scan_input_axes=[1, 0],
        scan_input_directions=[1, 1],
        scan_output_axes=[1, 0],
        scan_output_directions=[0, 1],
        out=["state", "before", "smooth", "power"],
    )
    return {"dims": {"A": {"channels": 3, "time": 11}, "B": {"channels": 1, "time": 1}}}


@maker
def rnn_lengths(d):
    """LSTM, GRU and RNN: sequence lengths, peepholes, clipping, missing outputs."""
    h = 4
    d.input("x", ["T", "B", 5])
    d.input("lengths", ["B"], I32)
    d.output("both", ["T", "B", 2 * h])
    d.output("cell", [2, "B", h])
    d.output("gru", [1, "B", h])
    d.output("rnn", ["T", 1, "B", h])
    w = [d.weight(2, 4 * h, 5), d.weight(2, 4 * h, h), d.weight(2, 8 * h, std=0.2)]
    peep = d.weight(2, 3 * h, std=0.3)
    y, _, _ = d.node(
        "LSTM", "x", *w, "lengths", "", "", peep,
        hidden_size=h, direction="bidirectional", clip=2.0, out=["y", "", "cell"],
    )  # fmt: skip
    turned = d.node("Transpose", y, perm=[0, 2, 1, 3])
    d.node("Reshape", turned, d.ints(0, 0, -1), out="both")
    g = [d.weight(1, 3 * h, 5), d.weight(1, 3 * h, h), d.weight(1, 6 * h, std=0.2)]
    d.node(
        "GRU", "x", *g, "lengths",
        hidden_size=h, direction="reverse", linear_before_reset=1, out=["", "gru"],
    )  # fmt: skip
    r = [d.weight(1, h, 5), d.weight(1, h, h)]
    d.node("RNN", "x", *r, hidden_size=h, activations=["Relu"], out="rnn")
    return {
        "dims": {"A": {"T": 6, "B": 3}, "B": {"T": 2, "B": 1}},
        "fill_in": {
            "A": {"lengths": {"kind": "values", "of": [6, 2, 4]}},
            "B": {"lengths": {"kind": "values", "of": [2]}},
        },
    }


@maker
def rnn_states(d):
    """LSTM in both directions from given states, then GRU, as PyTorch's layers are written."""
    h = 4
    d.input("x", ["T", "B", 5])
    d.input("h", [2, "B", h])
    d.input("c", [2, "B", h])
    d.output("y", ["T", "B", h])
    d.output("cell", [2, "B", h])
    w = [d.weight(2, 4 * h, 5), d.weight(2, 4 * h, h), d.weight(2, 8 * h, std=0.2)]
    both, _, _ = d.node(
        "LSTM", "x", *w, "", "h", "c",
        hidden_size=h, direction="bidirectional", out=["both", "", "cell"],
    )  # fmt: skip
    turned = d.node("Transpose", both, perm=[0, 2, 1, 3])
    joined = d.node("Reshape", turned, d.ints(0, 0, -1))
    g = [d.weight(1, 3 * h, 2 * h), d.weight(1, 3 * h, h), d.weight(1, 6 * h, std=0.2)]
    states, _ = d.node(
        "GRU", joined, *g, hidden_size=h, linear_before_reset=1, out=["states", ""]
    )
    d.node("Squeeze", states, d.ints(1), out="y")
    return {"dims": {"A": {"T": 6, "B": 3}, "B": {"T": 2, "B": 1}}}


# Sequences and optionals


@maker
def sequence_cards(d):
    """Split, insert, erase, pick and join; positions that count from the end."""
    d.input("deck", ["N", 3])
    d.input("cut", ["K"], I64)
    d.input("at", [], I64)
    d.output("joined", ["M", 3])
    d.output("picked", ["P", 3])
    d.output("stacked", [2, "Q", 3])
    d.output("left", [], I64)
    parts = d.node("SplitToSequence", "deck", "cut", axis=0)
    picked = d.node("SequenceAt", parts, "at", out="picked")
    doubled = d.node("Mul", picked, d.tensor(2.0))
    longer = d.node("SequenceInsert", parts, doubled, d.tensor(0, np.int64))
    shorter = d.node("SequenceErase", longer, d.tensor(-1, np.int64))
    d.node("ConcatFromSequence", shorter, axis=0, out="joined")
    d.node("SequenceLength", shorter, out="left")
    pair = d.node("SequenceConstruct", picked, doubled)
    d.node("ConcatFromSequence", pair, axis=0, new_axis=1, out="stacked")
    return {
        "dims": {"A": {"N": 7, "K": 3}, "B": {"N": 4, "K": 2}},
        "fill_in": {
            "A": {
                "cut": {"kind": "values", "of": [2, 4, 1]},
                "at": {"kind": "fill", "value": 1},
            },
            "B": {
                "cut": {"kind": "values", "of": [1, 3]},
                "at": {"kind": "fill", "value": -2},
            },
        },
    }


@maker
def sequence_map_loop(d):
    """SequenceMap with an additional tensor; a Loop that carries a sequence; a
    sequence as graph output; rows split without a size input."""
    d.input("rows", ["N", 4])
    d.input("shift", [4])
    d.output("mapped", ["N", 4])
    d.output("grown", ["G", 4])
    row = d.node("SplitToSequence", "rows", axis=0, keepdims=1)
    body = d.body("each")
    body.input("one", [1, 4])
    body.input("by", [4])
    body.node("Softplus", body.node("Add", "one", "by"), out="mine")
    body.output("mine", [1, 4])
    moved = d.node("SequenceMap", row, "shift", body=body.graph())
    d.node("ConcatFromSequence", moved, axis=0, out="mapped")

    def sequence_info(name):
        kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(F32, None))
        return helper.make_value_info(name, kind)

    grow = d.body("grow")
    grow.input("i", [], I64)
    grow.input("c", [], BOOL)
    grow.inputs.append(sequence_info("held"))
    grow.node("Identity", "c", out="c_out")
    item = grow.node("SequenceAt", row, "i")
    step = grow.node("Cast", "i", to=F32)
    grow.node("SequenceInsert", "held", grow.node("Add", item, step), out="held_out")
    grow.output("c_out", [], BOOL)
    grow.outputs.append(sequence_info("held_out"))
    none = d.node("SequenceEmpty", dtype=F32)
    count = d.node("SequenceLength", row)
    grown = d.node("Loop", count, d.tensor(True, np.bool_), none, body=grow.graph(), out="pile")
    d.outputs.append(sequence_info("pile"))
    d.node("ConcatFromSequence", grown, axis=0, out="grown")
    return {"dims": {"A": {"N": 3}, "B": {"N": 1}}}


@maker
def optional_gate(d):
    """Optional values: made, asked for, opened; empty in one branch."""
    d.opset = 18
    d.input("x", ["N"])
    d.output("y", ["M"])
    d.output("full", [], BOOL)
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(F32, None))
    total = d.node("ReduceSum", "x", keepdims=0)
    given = d.node("Optional", "x")
    empty = d.node("Optional", type=helper.make_tensor_type_proto(F32, None))
    d.node("OptionalHasElement", given, out="full")
    hollow = d.node("OptionalHasElement", empty)
    usable = d.node("And", d.node("Greater", total, d.tensor(0.0)), d.node("Not", hollow))
    d.values.append(helper.make_value_info(given, kind))
    then, other = d.body("open"), d.body("shut")
    inside = then.node("OptionalGetElement", given)
    then.node("Mul", inside, then.tensor(3.0), out="a")
    other.node("Neg", total, out="minus")
    other.node("Unsqueeze", "minus", other.ints(0), out="b")
    then.output("a")
    other.output("b")
    d.node("If", usable, then_branch=then.graph(), else_branch=other.graph(), out="y")
    return {
        "dims": {"A": {"N": 5}, "B": {"N": 3}},
        "fill": {"x": {"kind": "normal", "mean": 1.0}},
        "fill_in": {"B": {"x": {"kind": "normal", "mean": -1.0}}},
    }


# Functions


@maker
def functions_nested(d):
    """Local functions: attribute references, defaults, calls in calls, a subgraph
    that captures, two domains, a missing optional input."""
    d.opset, d.ir_version = 18, 9
    kind = onnx.AttributeProto
    first, second = "corpus.blocks", "corpus.parts"
    leak = reference(helper.make_node("LeakyRelu", ["a"], ["b"]), alpha=("slope", kind.FLOAT))
    d.function(second, "Bend", ["a"], ["b"], [leak], ["slope"])
    bend = reference(
        helper.make_node("Bend", ["p"], ["q"], domain=second), slope=("slope", kind.FLOAT)
    )
    axis = reference(helper.make_node("Concat", ["x", "q"], ["z"]), axis=("side", kind.INT))
    d.function(
        first,
        "Widen",
        ["x", "w"],
        ["z"],
        [helper.make_node("MatMul", ["x", "w"], ["p"]), bend, axis],
        ["slope"],
        [helper.make_attribute("side", 1)],
        doc_string="x beside a bent projection of it",
    )
    d.functions[-1].opset_import.append(helper.make_opsetid(second, 1))
    larger = Draft("larger", 18)
    larger.node("Mul", "x", "s", out="kept")
    larger.output("kept")
    smaller = Draft("smaller", 18)
    smaller.node("Identity", "x", out="left")
    smaller.output("left")
    d.function(
        second,
        "Damp",
        ["x", "limit"],
        ["y"],
        [
            helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
            helper.make_node("Greater", ["top", "limit"], ["over"]),
            helper.make_node("Div", ["limit", "top"], ["s"]),
            helper.make_node(
                "If", ["over"], ["y"], then_branch=larger.graph(), else_branch=smaller.graph()
            ),
        ],
    )
    d.function(
        second,
        "Bounded",
        ["x", "low", "high"],
        ["y"],
        [helper.make_node("Clip", ["x", "low", "high"], ["y"])],
    )
    d.input("x", ["N", 4])
    d.output("y", ["N", 10])
    d.output("bounded", ["N", 10])
    wide = d.node("Widen", "x", d.weight(4, 3), domain=first, slope=0.1)
    again = d.node("Widen", wide, d.weight(7, 3), domain=first, slope=0.6, side=1)
    d.node("Damp", again, d.tensor(1.5), domain=second, out="y")
    d.node("Bounded", again, "", d.tensor(0.25), domain=second, out="bounded")
    return {
        "dims": {"A": {"N": 4}, "B": {"N": 2}},
        "fill_in": {"B": {"x": {"kind": "normal", "std": 0.1}}},
    }


# Strings


@maker
def strings_tags(d):
    """String tensors: split, match, join, compare, look up, normalise."""
    d.opset, d.ir_version = 20, 9
    d.domains[ML] = 4
    d.input("text", ["N"], STRING)
    d.output("words", ["N", "W"], STRING)
    d.output("count", ["N"], I64)
    d.output("matches", ["N"], BOOL)
    d.output("code", ["N"], I64)
    d.output("marked", ["N"], STRING)
    d.output("name", ["N"], STRING)
    d.output("upper", ["U"], STRING)
    d.output("is_red", ["N"], BOOL)
    d.node("StringSplit", "text", delimiter=" ", out=["words", "count"])
    d.node("RegexFullMatch", "text", pattern=r"[a-zé]+( \d+)?", out="matches")
    code = d.node(
        "LabelEncoder", "text", domain=ML,
        keys_strings=["red", "sea blue", "ünïcode"], values_int64s=[3, 5, 8], default_int64=-1,
        out="code",
    )  # fmt: skip
    d.node(
        "LabelEncoder", code, domain=ML,
        keys_int64s=[3, 5], values_strings=["warm", "cool"], default_string="none", out="name",
    )  # fmt: skip
    d.weights.append(helper.make_tensor("suffix", STRING, [], [b"!"]))
    d.weights.append(helper.make_tensor("wanted", STRING, [1], [b"red"]))
    d.node("StringConcat", "text", "suffix", out="marked")
    d.node("Equal", "text", "wanted", out="is_red")
    d.node(
        "StringNormalizer", "text",
        case_change_action="UPPER", stopwords=["red", "none"], is_case_sensitive=1, locale="C", out="upper",
    )  # fmt: skip
    words = ["red", "sea blue", "ünïcode", "abc 12", "two  gaps", ""]
    return {
        "dims": {"A": {"N": 6}, "B": {"N": 3}},
        "fill": {"text": {"kind": "pick", "of": words}},
    }


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


# Types of few bits


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


# Other domains


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


# What passes look for


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


# Writing


def externalise(model, dest, stem):
    """Move the weights named w_a* and w_b* of a model into two files beside it."""
    files = {"w_a": bytearray(), "w_b": bytearray(b"\0" * 64)}
    names = {key: f"{stem}_{key[-1]}.bin" for key in files}
    for tensor in model.graph.initializer:
        key = tensor.name[:3]
        if key not in files:
            continue
        content, raw = files[key], tensor.raw_data
        content += bytes(-len(content) % 256)
        place = {"location": names[key], "offset": len(content), "length": len(raw)}
        if tensor.name == "w_a0":
            del place["offset"]  # at the start, so it may be left out
        for entry, value in place.items():
            tensor.external_data.add(key=entry, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        content += raw
    for key, content in files.items():
        replace(dest / names[key], bytes(content))


def replace(path, content):
    """Write a file unless it already holds this; never leaves half of it."""
    if path.is_file() and path.read_bytes() == content:
        return False
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
    return True


def write(name, function, dest):
    """Make one model, check it, write it with its recipe; returns a line to print."""
    draft = Draft(name)
    recipe = {"dims": {}, **function(draft)}
    model = draft.model()
    finish = recipe.pop("finish", None)
    if finish:
        finish(model)
    if recipe.pop("external", False):
        externalise(model, dest, name)
    content = model.SerializeToString(deterministic=True)
    if len(content) >= LIMIT:
        raise ValueError(f"{len(content)} bytes, more than {LIMIT}")
    path = dest / f"{name}.onnx"
    changed = replace(path, content)
    recipe["about"] = " ".join(function.__doc__.split())
    write_json(dest / f"{name}.recipe.json", recipe)
    if "unchecked" not in recipe:
        checker.check_model(str(path))
    note = "  (ONNX Runtime cannot run it)" if "cannot_run" in recipe else ""
    return f"{'wrote' if changed else 'kept '} {len(content):6}  {name}{note}"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="list the models and stop")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names that match")
    parser.add_argument("--quiet", action="store_true", help="print only failures and counts")
    parser.add_argument(
        "--dest",
        type=Path,
        default=STORE / "generated",
        metavar="FOLDER",
        help="where models go (default: .corpus/generated)",
    )
    args = parser.parse_args(argv)
    chosen = {n: f for n, f in sorted(MAKERS.items()) if fnmatch.fnmatch(n, args.only)}
    if not chosen:
        parser.error(f"no model matches {args.only!r}")
    if args.list:
        for name, function in chosen.items():
            print(f"{name}: {' '.join(function.__doc__.split())}")
        return DONE
    args.dest.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, function in chosen.items():
        try:
            line = write(name, function, args.dest)
            if not args.quiet:
                print(line, flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} models in {shown(args.dest)}")
    return FAILED if failed else DONE


if __name__ == "__main__":
    run(main)
