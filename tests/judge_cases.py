#!/usr/bin/env python3
"""Judge models that were written from the ONNX node tests.

usage: judge_cases.py CASES WRITTEN [EXCEPT ...]

Each WRITTEN/<case>.onnx has to pass the full checker where the original does, and to give
the expected outputs in ONNX Runtime, or else in the reference evaluator, where the original
gives them. Exit code 1 when one does worse than its original; cases whose names start with
an EXCEPT are counted apart.
"""

import collections
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

ort.set_default_logger_severity(4)


def load_value(path, value_type):
    """The value in a .pb file, of the kind that the model declares."""
    data = path.read_bytes()
    if not data:
        return None
    kind = value_type.WhichOneof("value")
    if kind == "sequence_type":
        message = onnx.SequenceProto()
        message.ParseFromString(data)
        return numpy_helper.to_list(message)
    if kind == "optional_type":
        message = onnx.OptionalProto()
        message.ParseFromString(data)
        return numpy_helper.to_optional(message)
    message = onnx.TensorProto()
    message.ParseFromString(data)
    return numpy_helper.to_array(message)


def load_values(folder, stem, infos):
    paths = ((folder / f"{stem}_{i}.pb", info) for i, info in enumerate(infos))
    return [(info.name, load_value(p, info.type)) for p, info in paths if p.exists()]


def same(got, want):
    if isinstance(want, list):
        return len(got) == len(want) and all(map(same, got, want))
    if want is None or got is None:
        return want is None and got is None
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return False
    if want.dtype.kind in "OSU":
        return [str(x) for x in got.ravel()] == [str(x) for x in want.ravel()]
    if want.dtype.kind != "c":
        got, want = got.astype(np.float64), want.astype(np.float64)
    return bool(np.allclose(got, want, rtol=1e-3, atol=1e-7, equal_nan=True))


def passes_ort(path, feeds, want):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        got = session.run(None, feeds)
    except Exception:  # whatever it refuses, it refuses
        return False
    return all(map(same, got, want))


def passes_reference(path, feeds, want):
    try:
        got = ReferenceEvaluator(onnx.load(path)).run(None, feeds)
    except Exception:
        return False
    return all(map(same, got, want))


def passes_checker(path):
    try:
        onnx.checker.check_model(onnx.load(path), full_check=True)
    except Exception:
        return False
    return True


def judge(case, written):
    original = case / "model.onnx"
    if not passes_checker(written) and passes_checker(original):
        return "WORSE: checker"
    graph = onnx.load(original).graph
    data = case / "test_data_set_0"
    feeds = dict(load_values(data, "input", graph.input))
    want = [value for _, value in load_values(data, "output", graph.output)]
    for name, passes in (("ONNX Runtime", passes_ort), ("reference", passes_reference)):
        if passes(written, feeds, want):
            return name
        if passes(original, feeds, want):
            return f"WORSE: {name}"
    return "neither does the original"


def main():
    cases, folder = Path(sys.argv[1]), Path(sys.argv[2])
    counts = collections.Counter()
    for written in sorted(folder.glob("*.onnx")):
        if written.stem.startswith(tuple(sys.argv[3:])):
            counts["excepted"] += 1
            continue
        verdict = judge(cases / written.stem, str(written))
        counts[verdict] += 1
        if verdict.startswith("WORSE"):
            print(f"{verdict}: {written.stem}")
    print(dict(counts))
    sys.exit(any(v.startswith("WORSE") for v in counts))


if __name__ == "__main__":
    main()
