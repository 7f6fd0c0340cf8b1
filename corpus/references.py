#!/usr/bin/env python3
"""Run the corpus models in ONNX Runtime and keep inputs and outputs as references.

Models are those of .corpus/models and .corpus/generated. Each runs on the cases of
its recipe (inputs.py), on one thread, with graph optimisations off and with all on.
Written below .corpus/references:

    ID.CASE.npz     in:NAME    an input
                    out:NAME   an output, optimisations off
                    opt:NAME   the same output, optimisations on
    reference.json  names, dtypes, shapes, and per output the floor

A sequence is kept as NAME[0], NAME[1] ..., a list of maps as NAME.keys and
NAME.values; an optional without value has no array. Strings are NumPy strings.

The two runs of ONNX Runtime seldom agree to the last bit. Their gap is kept as the
floor of each output: floor_abs in the output's own unit, floor_rel divided by the
output's largest finite magnitude. Tests must not ask for less.

A model is DEAD if no output changes when the inputs come from another seed: its
references would prove nothing. What is already there and not older than its model is
left alone.

Exit status: 0 done, 1 a model failed or is dead, 2 wrong usage.
"""

import argparse
import fnmatch
import json
import multiprocessing
import platform
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import onnxruntime as ort

import inputs
from common import (
    DONE,
    FAILED,
    STORE,
    CorpusError,
    digest,
    read_manifest,
    run,
    shown,
    write_json,
)

# Raised when the files or the ways to draw inputs change.
LAYOUT = 1
SEED, OTHER_SEED = 20, 21
DTYPES = {
    "bool": "bool",
    "double": "float64",
    "float": "float32",
    "float16": "float16",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "string": "object",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
}


def find_models(models, generated):
    """All models on disk: {id: (path, recipe)}; a recipe may say "cannot_run"."""
    found = {}
    for package in read_manifest():
        for model in package.models:
            path = model.path(models)
            if path.is_file():
                found[model.id] = (path, model.facts)
    for path in sorted(generated.glob("*.onnx")):
        recipe = path.with_suffix(".recipe.json")
        if not recipe.is_file():
            raise CorpusError(f"{shown(path)} has no recipe: run corpus/generate.py again")
        found[path.stem] = (path, json.loads(recipe.read_text(encoding="utf-8")))
    return dict(sorted(found.items()))


def open_session(path, optimise):
    """A single-threaded session with all graph optimisations, or none."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    )
    options.use_deterministic_compute = True
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def signature(session):
    """What inputs.draw needs: {input: (dtype, dims)}."""
    made = {}
    for value in session.get_inputs():
        element = value.type.removeprefix("tensor(").removesuffix(")")
        if element not in DTYPES:
            raise CorpusError(f"input {value.name}: NumPy cannot make a {value.type}")
        made[value.name] = (DTYPES[element], value.shape)
    return made


def flatten(name, value):
    """An output as (key, array) pairs that .npz can hold."""
    if value is None:
        return []
    if isinstance(value, np.ndarray):
        text = value.dtype == object
        return [(name, value.astype(np.str_) if text else value)]
    if isinstance(value, list) and value and isinstance(value[0], dict):
        keys = list(value[0])
        rows = [[row[key] for key in keys] for row in value]
        return [(f"{name}.keys", np.array(keys)), (f"{name}.values", np.array(rows))]
    if isinstance(value, list):
        pairs = [flatten(f"{name}[{i}]", item) for i, item in enumerate(value)]
        return [pair for group in pairs for pair in group]
    if isinstance(value, (bool, int, float, str, np.generic)):
        return [(name, np.array(value))]
    raise CorpusError(f"output {name}: cannot keep a {type(value).__name__}")


def call(session, feeds):
    """Run once: {key: array} over all outputs."""
    names = [value.name for value in session.get_outputs()]
    results = zip(names, session.run(names, feeds), strict=True)
    return dict(pair for name, value in results for pair in flatten(name, value))


def is_number(array):
    return array.dtype.kind in "fiub"


def magnitude(array):
    """The largest finite magnitude in an array, 0 if there is none."""
    if not is_number(array):
        return 0.0
    numbers = np.abs(array.astype(np.float64))
    return float(numbers[np.isfinite(numbers)].max(initial=0.0))


def distance(a, b):
    """The largest absolute difference; infinite if the arrays are not comparable."""
    if a is None or b is None or a.shape != b.shape:
        return float("inf")
    if not (is_number(a) and is_number(b)):
        return 0.0 if np.array_equal(a, b) else float("inf")
    if a.dtype.kind in "iub" and np.array_equal(a, b):
        return 0.0
    left, right = a.astype(np.float64), b.astype(np.float64)
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = np.where(same, 0.0, np.abs(left - right))
    return float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0))


def describe(array):
    """dtype and shape for reference.json."""
    dtype = "string" if array.dtype.kind in "UO" else array.dtype.name
    return {"dtype": dtype, "shape": list(array.shape)}


def compare(plain, optimised, other):
    """The entries of all outputs of a case: {key: facts}."""
    entries = {}
    for key, array in plain.items():
        gap = distance(array, optimised.get(key))
        largest = magnitude(array)
        entries[key] = {
            **describe(array),
            "largest": largest,
            "floor_abs": gap,
            "floor_rel": gap / largest if largest else gap,
            "finite": array.dtype.kind != "f" or bool(np.isfinite(array).all()),
            "moves": distance(array, other.get(key)) > 0,
        }
    return entries


def run_case(sessions, recipe, case, file):
    """Run one case, write its arrays, return its entry."""
    plain, optimised = sessions
    shapes = signature(plain)
    feeds = inputs.draw(shapes, recipe, case, SEED)
    out, opt = call(plain, feeds), call(optimised, feeds)
    other = call(plain, inputs.draw(shapes, recipe, case, OTHER_SEED))
    given = dict(pair for name, value in feeds.items() for pair in flatten(name, value))
    arrays = {}
    for prefix, group in (("in", given), ("out", out), ("opt", opt)):
        arrays.update({f"{prefix}:{key}": array for key, array in group.items()})
    # A dict of keyword arguments would clash with `file` and the like.
    partial = file.with_name(file.name + ".partial")
    with partial.open("wb") as sink:
        np.savez(sink, **arrays)
    partial.replace(file)
    return {
        "file": file.name,
        "inputs": {key: describe(array) for key, array in given.items()},
        "outputs": compare(out, opt, other),
    }


def run_model(name, path, recipe, dest):
    """Run all cases of a model and return its entry."""
    sessions = open_session(path, False), open_session(path, True)
    cases = {
        case: run_case(sessions, recipe, case, dest / f"{name}.{case}.npz")
        for case in inputs.cases(recipe)
    }
    outputs = [facts for case in cases.values() for facts in case["outputs"].values()]
    entry = stamp(path, recipe)
    entry["floor_abs"] = max((o["floor_abs"] for o in outputs), default=0.0)
    entry["floor_rel"] = max((o["floor_rel"] for o in outputs), default=0.0)
    entry["dead"] = not any(o["moves"] for o in outputs) and bool(sessions[0].get_inputs())
    entry["cases"] = cases
    return entry


class Worker:
    """A process of its own for the runs, so that a crash takes only one model along."""

    def __init__(self):
        self.pool = None

    def run(self, *arguments):
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(1, mp_context=context, initializer=prepare)
        try:
            return self.pool.submit(run_model, *arguments).result()
        except BrokenProcessPool as error:
            self.pool = None
            raise CorpusError("ONNX Runtime crashed") from error

    def close(self):
        if self.pool is not None:
            self.pool.shutdown()


def prepare():
    """Keep ONNX Runtime from talking."""
    ort.set_default_logger_severity(4)


def stamp(path, recipe):
    """What an entry depends on; if it is unchanged, the entry is kept."""
    drawn = {key: recipe[key] for key in ("dims", "fill", "fill_in") if key in recipe}
    return {"model": path.name, "sha256": digest(path), "recipe": drawn}


def still_right(entry, path, recipe, dest):
    """Whether an entry of an earlier run can stay."""
    if entry is None or entry["dead"]:
        return False
    wanted = stamp(path, recipe)
    files = [dest / case["file"] for case in entry["cases"].values()]
    newest = max((f.stat().st_mtime for f in path.parent.glob(f"{path.stem}*.bin")), default=0)
    return all(entry.get(key) == value for key, value in wanted.items()) and all(
        file.is_file() and file.stat().st_mtime >= newest for file in files
    )


def environment():
    """What the numbers depend on besides the models."""
    return {
        "layout": LAYOUT,
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
    }


def load_record(path):
    """The record of an earlier run, or an empty one if it is of another world."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    if any(record.get(key) != value for key, value in environment().items()):
        record = {**environment(), "models": {}}
    return record


def report(entry):
    """One line about a model that ran."""
    cases = " ".join(entry["cases"])
    outputs = [o for case in entry["cases"].values() for o in case["outputs"].values()]
    notes = "" if all(o["finite"] for o in outputs) else "  not all finite"
    return f"cases {cases}  floor {entry['floor_abs']:.1e} / {entry['floor_rel']:.1e}{notes}"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="*", metavar="PATTERN", help="ids that match")
    parser.add_argument("--force", action="store_true", help="make all anew")
    parser.add_argument("--quiet", action="store_true", help="print only what is new")
    for name in ("models", "generated", "references"):
        parser.add_argument(
            f"--{name}",
            type=Path,
            default=STORE / name,
            metavar="FOLDER",
            help=f"default: .corpus/{name}",
        )
    args = parser.parse_args(argv)
    args.references.mkdir(parents=True, exist_ok=True)
    found = find_models(args.models, args.generated)
    chosen = {name: f for name, f in found.items() if fnmatch.fnmatch(name, args.only)}
    if not chosen:
        raise CorpusError("no model found: run corpus/fetch.py and corpus/generate.py")

    index = args.references / "reference.json"
    record = load_record(index)
    worker = Worker()
    ran, kept, dead, failed, refused = 0, 0, [], [], {}
    for number, (name, (path, recipe)) in enumerate(chosen.items(), 1):
        head = f"[{number:2}/{len(chosen)}] {name}:"
        if recipe.get("cannot_run"):
            refused[name] = recipe["cannot_run"]
            continue
        if not args.force and still_right(
            record["models"].get(name), path, recipe, args.references
        ):
            kept += 1
            if not args.quiet:
                print(f"{head} kept")
            continue
        record["models"].pop(name, None)
        try:
            entry = worker.run(name, path, recipe, args.references)
        except Exception as error:  # ONNX Runtime has a class for every mishap
            failed.append(name)
            print(f"{head} FAILED: {str(error).strip().splitlines()[0]}", flush=True)
            continue
        ran += 1
        record["models"][name] = entry
        if entry["dead"]:
            dead.append(name)
        print(f"{head} {'DEAD  ' if entry['dead'] else ''}{report(entry)}", flush=True)
    worker.close()
    record["models"] = {n: e for n, e in sorted(record["models"].items()) if n in found}
    record["cannot_run"] = dict(
        sorted((n, r["cannot_run"]) for n, (_, r) in found.items() if r.get("cannot_run"))
    )
    write_json(index, record)

    for name, reason in refused.items():
        print(f"not run: {name} ({reason})")
    print(
        f"{len(chosen)} models: {ran} run, {kept} kept, {len(refused)} not runnable, "
        f"{len(failed)} failed, {len(dead)} dead; references in {shown(args.references)}"
    )
    for name in dead:
        print(f"DEAD: {name}: its outputs are the same for other inputs", file=sys.stderr)
    for name in failed:
        print(f"FAILED: {name}", file=sys.stderr)
    return FAILED if failed or dead else DONE


if __name__ == "__main__":
    run(main)
