"""Models of sequences, optionals, functions and strings."""

import numpy as np
import onnx
from onnx import helper

from .draft import BOOL, F32, I64, ML, STRING, Draft, maker, reference


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
