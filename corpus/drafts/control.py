"""Models of control flow: branches, loops, scans, and recurrent layers."""

import numpy as np

from .draft import BOOL, F32, I32, I64, maker


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
