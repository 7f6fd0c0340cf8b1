#!/usr/bin/env python3
"""Judge models that were written from the corpus.

usage: judge_models.py CORPUS WRITTEN LEVEL

Each WRITTEN/<id>.<LEVEL>.onnx has to pass the full checker where the original does, and to
give the reference outputs of CORPUS/references in ONNX Runtime (optimisations off, one
thread): the same bits at level `none` for originals of opset 13 and later, else within the
floor of the model, the distance between ONNX Runtime's own runs with and without its
optimisations. Exit code 1 when one does not.
"""

import collections
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

ort.set_default_logger_severity(4)

# Below this relative distance nothing is called different: a few units of f32.
LEAST = 1e-5
# The floor of one sample says little of another; four of it is still the same model.
FLOORS = 4.0


def original_of(corpus, model):
    """The file that an id stands for."""
    if "__" in model:
        package, name = model.split("__", 1)
        return corpus / "models" / package / f"{name}.onnx"
    return corpus / "generated" / f"{model}.onnx"


def opset(path):
    model = onnx.load(path, load_external_data=False)
    return max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=99)


def checks(path):
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:
        return str(error).splitlines()[0]
    return None


def distance(got, want):
    """How far two arrays are apart, over the largest magnitude; infinite when not comparable."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape or got.dtype.kind != want.dtype.kind:
        return np.inf
    if want.dtype.kind not in "fiubc" or want.size == 0:
        return 0.0 if got.tolist() == want.tolist() else np.inf
    got, want = got.astype(np.float64), want.astype(np.float64)
    if not np.array_equal(np.isfinite(got), np.isfinite(want)):
        return np.inf
    finite = np.isfinite(want)
    if not finite.any():
        return 0.0
    largest = max(np.abs(want[finite]).max(), 1e-30)
    return np.abs(got[finite] - want[finite]).max() / largest


def flatten(value):
    """ONNX Runtime's outputs as arrays by key suffix, as the references name them."""
    if isinstance(value, np.ndarray):
        return {"": value.astype(str) if value.dtype == object else value}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        keys = sorted(value[0])
        return {
            ".keys": np.array(keys),
            ".values": np.array([[row[k] for k in keys] for row in value]),
        }
    if isinstance(value, list):
        return {f"[{i}]": np.asarray(v) for i, v in enumerate(value)}
    return {"": np.asarray(value)}


def judge(path, references, exact):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    for reference in references:
        arrays = np.load(reference)
        feeds = {}
        for spec in session.get_inputs():
            key = f"in:{spec.name}"
            if key in arrays:
                value = arrays[key]
                feeds[spec.name] = value.astype(object) if value.dtype.kind == "U" else value
        for spec, value in zip(session.get_outputs(), session.run(None, feeds)):
            for suffix, got in flatten(value).items():
                name = spec.name + suffix
                if f"out:{name}" not in arrays:
                    continue
                plain, tuned = arrays[f"out:{name}"], arrays[f"opt:{name}"]
                apart = distance(got, plain)
                if exact and apart != 0.0:
                    return f"`{name}` is not the same but {apart:.1e} apart"
                floor = distance(tuned, plain)
                nearest = min(apart, distance(got, tuned))
                if nearest > max(LEAST, FLOORS * floor):
                    return f"`{name}` is {nearest:.1e} apart, the floor is {floor:.1e}"
    return None


def main():
    corpus, written, level = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    known = json.loads((corpus / "references" / "reference.json").read_text())
    counts, failed = collections.Counter(), []
    for path in sorted(written.glob(f"*.{level}.onnx")):
        model = path.name.removesuffix(f".{level}.onnx")
        original = original_of(corpus, model)
        wrong = checks(str(path))
        if wrong and not checks(str(original)):
            failed.append(f"{model}: {wrong}")
            continue
        references = sorted((corpus / "references").glob(f"{model}.?.npz"))
        if not references:
            reason = known.get("cannot_run", {}).get(model, "no references were made")
            print(f"not run: {model}: {reason}")
            counts["not run"] += 1
            continue
        exact = level == "none" and opset(original) >= 13
        try:
            wrong = judge(path, references, exact)
        except Exception as error:
            wrong = str(error).splitlines()[0]
        if wrong:
            failed.append(f"{model}: {wrong}")
        counts["exact" if exact else "within the floor"] += not wrong
    print(dict(counts), *failed, sep="\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
