#!/usr/bin/env python3
"""Writes ONNX models as PyTorch programs, runs them in PyTorch, and compares with ONNX Runtime.

usage: torch_onnx.py [--match TEXT] [--programs DIR --references DIR] [--torch PYTHON]
                     [--table FILE] [...]

Models come from .corpus (fetch.py, generate.py), with ONNX Runtime's outputs (references.py), and
from below the folders given with --programs, named FILE or FOLDER__FILE, their references
NAME.CASE.npz from those given with --references. Each is written as NAME.pt2, which
`torch.export.load` reads, and as NAME.pt, which `torch.jit.load` reads; torch_check.py runs them
on the inputs of each reference, in a process of the Python that has torch (.torch, torchvision too
where models pick boxes). What is written and what it gives stays below WORK.

A result agrees if it is within 1e-4 of the greatest element of an output, or as near as the model
allows. How near that is, its floor, is the greatest of

    own      how far ONNX Runtime is from itself, with its optimisations and without;
    a bit    how far its outputs go when each number of the inputs and the weights is moved to the
             next one of its dtype, up or down, in several draws: what one rounding does;
    exactly  how far it is from the outcome in f64.

The later ones are measured only where those before do not explain a difference.

--table FILE writes the results as a page. Ends with status 1 if something does not load, does not
run or differs.
"""

import argparse
import collections
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from candle_crates import (
    CLOSE,
    Failure,
    airconv,
    arrays_of,
    cell,
    compare,
    distance,
    given,
    inputs_of,
    inspect,
    missing,
    references,
    refusal,
    widened,
)
from common import DONE, FAILED, ROOT, STORE, CorpusError, run, shown

FORMS = ("pt2", "pt")
# How often inputs and weights are moved by a bit.
DRAWS = 8
# What has constants folded before a program is written.
FOLDED = ("--opt", "basic")
FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def models(args):
    """What is to be tried: {name: (file, references)}."""
    found = {}
    for path in sorted((STORE / "models").glob("*/*.onnx")):
        found[f"{path.parent.name}__{path.stem}"] = (path, [STORE / "references"])
    for path in sorted((STORE / "generated").glob("*.onnx")):
        found[path.stem] = (path, [STORE / "references"])
    for folder in args.programs:
        for path in sorted(folder.rglob("*.onnx")):
            inside = path.relative_to(folder).parts
            name = path.stem if len(inside) == 1 else f"{inside[0]}__{path.stem}"
            found.setdefault(name, (path, args.references))
    return {n: (p, references(n, f)) for n, (p, f) in found.items() if args.match in n}


# Writing.


def by_position(program, reference, target, left=None):
    """Stores a reference as torch_check.py wants it, with the inputs in `left` or all."""
    feeds = inputs_of(program, reference) if left is None else left
    arrays = {f"in_{i}": feeds[n] for i, n in enumerate(n for n in program["inputs"] if n in feeds)}
    wanted = {kind: arrays_of(reference, kind, list(program["outputs"])) for kind in ("out", "opt")}
    for i, name in enumerate(program["outputs"]):
        for kind, found in wanted.items():
            if name in found and found[name].dtype.kind not in "US":
                arrays[f"{kind}_{i}"] = found[name]
    if not any(key.startswith("out_") for key in arrays):
        raise Failure("no reference", "there is nothing to compare with")
    np.savez(target, **arrays)


def write(args, path, target, fixed=()):
    """Writes a program; raises with what is missing."""
    said, status, stderr = airconv(args, path, *fixed, "-o", target)
    if status == 4 and target.exists():
        raise Failure("refused", "and yet something was written")
    if status:
        raise Failure("refused" if status == 4 else "not written", refusal(said, stderr))


def write_all(args, name, path, found, program):
    """Writes a model in each form, with the references that it is to be run on: {form: [name of a
    program]}, or {form: failure}. What is refused is tried once more with constants folded. Where
    the inputs decide ranks, each case is a program of its own, of given sizes."""
    written = {}
    for form in FORMS:
        target = args.work / "programs" / f"{name}.{form}"
        try:
            try:
                write(args, path, target)
            except Failure as failure:
                try:
                    write(args, path, target, FOLDED)
                except Failure:
                    raise failure from None
                program["folded"] = True
            written[form] = [name]
        except Failure as failure:
            written[form] = failure
            if "unknown rank" in str(failure.args[1]) or "rank of" in str(failure.args[1]):
                written[form] = write_sized(args, name, path, found, program, form)
    if any(names == [name] for names in written.values()):
        for reference in found:
            by_position(program, reference, args.work / "references" / reference.name)
    return written


def write_sized(args, name, path, found, program, form):
    """A program for the sizes of each reference."""
    names = []
    for reference in found:
        case = f"{name}.{reference.name.split('.')[-2]}.sized"
        fixed, left = given(program, inputs_of(program, reference))
        try:
            write(args, path, args.work / "programs" / f"{case}.{form}", fixed)
            by_position(program, reference, args.work / "references" / f"{case}.npz", left)
        except Failure as failure:
            return failure
        names.append(case)
    return names


# Running.


def run_all(args):
    """Runs all that was written; {file: what torch_check.py said about it}."""
    folders = [args.work / "programs", "--references", args.work / "references"]
    command = [args.torch, ROOT / "corpus/torch_check.py", *folders, "--save", args.work / "outputs"]
    command = list(map(str, command))
    # Sums that are split over threads have other last bits.
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    said = {}
    for line in done.stdout.splitlines():
        file, _, verdict = line.partition(" ")
        said[file] = verdict.strip()
    return said


def outputs_of(args, file, program, reference):
    """What a program gave: {output: array}."""
    path = args.work / "outputs" / f"{file}.{reference}"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as stored:
        outputs = enumerate(program["outputs"])
        return {name: stored[f"out_{i}"] for i, name in outputs if f"out_{i}" in stored.files}


def measured(args, names, form, program, found, said):
    """How far the outputs of programs are from the references, and ONNX Runtime from itself."""
    worst, own, compared = 0.0, 0.0, 0
    for reference in found:
        for name in names:
            file = f"{name}.{form}"
            stored = reference.name if not name.endswith(".sized") else f"{name}.npz"
            if name.endswith(".sized") and reference.name.split(".")[-2] != name.split(".")[-2]:
                continue
            outputs = outputs_of(args, file, program, stored)
            if outputs is None:
                raise Failure("does not run", said.get(file, "it ended PyTorch"))
            apart, floor, count = compare(outputs, reference, program["outputs"])
            worst, own, compared = max(worst, apart), max(own, floor), compared + count
    if not compared:
        raise Failure("no reference", "there is nothing to compare with")
    return worst, own


# Floors.


def each_tensor(graph):
    """All constant tensors of a graph and of the graphs within it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t
            elif attribute.type == onnx.AttributeProto.GRAPH:
                yield from each_tensor(attribute.g)


def nudged(array, rng):
    """An array with each number moved to the next one, up or down; zeros stay."""
    if array.dtype not in (np.float32, np.float16, np.float64):
        return array
    towards = np.where(rng.random(array.shape) < 0.5, -np.inf, np.inf).astype(array.dtype)
    return np.where(np.isfinite(array) & (array != 0), np.nextafter(array, towards), array)


def nudged_model(path, rng):
    """A model with its weights moved by a bit; single numbers stay."""
    model = onnx.load(path)
    for tensor in each_tensor(model.graph):
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16) and np.prod(tensor.dims) > 1:
            moved = nudged(numpy_helper.to_array(tensor), rng)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    return model


def session(model):
    """A session without optimisations."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])


def farthest(names, arrays, program, reference):
    """How far outputs are from those of a reference."""
    want = arrays_of(reference, "out", list(program["outputs"]))
    worst = 0.0
    for name, array in zip(names, arrays):
        if name in want and isinstance(array, np.ndarray) and array.dtype.kind in "fiub":
            dtype = program["outputs"][name]
            worst = max(worst, distance(widened(array, dtype), widened(want[name], dtype)))
    return worst


def floor_of_a_bit(path, program, found):
    """What one rounding of the inputs and the weights does."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(DRAWS):
        made = session(nudged_model(path, rng))
        names = [output.name for output in made.get_outputs()]
        for reference in found:
            feeds = {n: nudged(a, rng) for n, a in inputs_of(program, reference).items()}
            worst = max(worst, farthest(names, made.run(None, feeds), program, reference))
    return worst


def widen_tensor(tensor):
    if tensor.data_type in FLOATS:
        wide = numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))


def widen_node(node):
    """Makes a node one of f64."""
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i in FLOATS:
            attribute.i = TensorProto.DOUBLE
        if attribute.type == onnx.AttributeProto.GRAPH:
            widen_graph(attribute.g)
        if attribute.type == onnx.AttributeProto.TENSOR:
            widen_tensor(attribute.t)
    if node.op_type == "Constant" and node.attribute[0].name in ("value_float", "value_floats"):
        attribute = node.attribute[0]
        number = attribute.f if attribute.name == "value_float" else list(attribute.floats)
        wide = numpy_helper.from_array(np.array(number, np.float64))
        node.attribute[0].CopyFrom(helper.make_attribute("value", wide))


def widen_graph(graph):
    """Makes a graph one of f64."""
    for tensor in graph.initializer:
        widen_tensor(tensor)
    for value in [*graph.input, *graph.output, *graph.value_info]:
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    for node in graph.node:
        widen_node(node)


def floor_of_f64(path, program, found):
    """How far ONNX Runtime is from the outcome in f64, by itself where it has such kernels, by
    the evaluator of the onnx package where it has not."""
    model = onnx.load(path)
    widen_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            widen_node(node)
    try:
        evaluator = session(model)
    except Exception:  # of ONNX Runtime's own classes
        evaluator = ReferenceEvaluator(model)
    names = [output.name for output in model.graph.output]
    worst = 0.0
    for reference in found:
        feeds = {
            name: array.astype(np.float64) if array.dtype.kind == "f" else array
            for name, array in inputs_of(program, reference).items()
        }
        worst = max(worst, farthest(names, evaluator.run(None, feeds), program, reference))
    return worst


def floors(path, program, found, own, apart):
    """The floors of a model, as many as it takes to explain a difference: {name: floor}."""
    out = {"own": own}
    for name, measure in (("a bit", floor_of_a_bit), ("exactly", floor_of_f64)):
        if apart <= max(CLOSE, *out.values()):
            break
        try:
            out[name] = measure(path, program, found)
        except Exception as error:  # what runs it has a class for every mishap
            print(f"  the floor `{name}` cannot be measured: {str(error).splitlines()[0][:200]}")
    return out


# All of it.


def attempt(args):
    """All models that are chosen, through all of it: {name: entry}."""
    chosen = models(args)
    if not chosen:
        raise CorpusError("no model found: run corpus/fetch.py and corpus/generate.py")
    for folder in ("programs", "references", "outputs"):
        shutil.rmtree(args.work / folder, ignore_errors=True)
        (args.work / folder).mkdir(parents=True)
    programs, results = {}, {}
    for name, (path, found) in chosen.items():
        try:
            programs[name] = inspect(args, path)
            results[name] = write_all(args, name, path, found, programs[name])
        except Failure as failure:
            results[name] = dict.fromkeys(FORMS, failure)
    said = run_all(args)
    for name, written in results.items():
        path, found = chosen[name]
        results[name] = judged(args, path, found, programs.get(name), written, said)
        print(f"{name}: {line(results[name])}", flush=True)
    return results


def judged(args, path, found, program, written, said):
    """What becomes of a model in each form, and its floors."""
    program = program or {}
    entry = {"floors": {}, "narrow": program.get("narrow"), "sized": False}
    entry["folded"] = program.get("folded", False)
    apart, own = {}, 0.0
    for form, names in written.items():
        try:
            if isinstance(names, Failure):
                raise names
            entry["sized"] |= any(name.endswith(".sized") for name in names)
            apart[form], own = measured(args, names, form, program, found, said)
        except Failure as failure:
            entry[form] = {"verdict": failure.args[0], "distance": None, "why": failure.args[1]}
    if apart:
        entry["floors"] = floors(path, program, found, own, max(apart.values()))
    for form, far in apart.items():
        good = far <= max(CLOSE, *entry["floors"].values())
        entry[form] = {"verdict": "agrees" if good else "differs", "distance": far}
    return entry


def verdict(entry):
    far = "" if entry["distance"] is None else f" ({entry['distance']:.0e})"
    return f"{entry['verdict']}{far}"


def remark(entry):
    """What there is to say about a model."""
    why = [entry[form].get("why") for form in FORMS if entry[form].get("why")][:1]
    why = ["; ".join(w) if isinstance(w, list) else w for w in why]
    notes = [entry["narrow"], "with sizes given" if entry["sized"] else None]
    notes.append("with `--opt basic`" if entry["folded"] else None)
    return "; ".join(why or [note for note in notes if note])


def floor_text(entry):
    return ", ".join(f"{name} {floor:.0e}" for name, floor in entry["floors"].items())


def line(entry):
    parts = [f"{form} {verdict(entry[form])}" for form in FORMS]
    return "; ".join([*parts, floor_text(entry), remark(entry)]).rstrip("; ")


def page(results):
    """The results as Markdown."""
    counts = collections.Counter(entry[form]["verdict"] for entry in results.values() for form in FORMS)
    judged_forms = sum(counts.values()) - counts["refused"] - counts["no reference"]
    lines = [
        "# ONNX models in PyTorch",
        "",
        "What `corpus/torch_onnx.py` found when it wrote ONNX models as `.pt2` and as TorchScript and"
        f" ran them in PyTorch: of {judged_forms} programs {counts['agrees']} give what ONNX Runtime"
        " gave.",
        "",
        f"*agrees*: within {CLOSE:.0e} of the greatest element, or within the model's floor: how far"
        " ONNX Runtime is from itself with its optimisations and without (*own*), what moving each"
        " number of its inputs and weights by one bit does to its outputs (*a bit*), or how far it"
        " is from the outcome in f64 (*exactly*), each measured where those before do not explain a"
        " difference. In parentheses: the greatest difference relative to the greatest element."
        " *refused*: PyTorch lacks something, all of which was named, and nothing was written.",
        "",
        "| model | .pt2 | TorchScript | floor | |",
        "|---|---|---|---|---|",
    ]
    for name, entry in results.items():
        cells = [name, *(verdict(entry[form]) for form in FORMS), floor_text(entry), remark(entry)]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    absent = missing([entry["pt2"] for entry in results.values()])
    if absent:
        lines += ["", "## What is missing", "", "| why | what (models) |", "|---|---|"]
        lines += [f"| {cell(why)} | {cell(what)} |" for why, what in grouped(absent)]
    return "\n".join(lines) + "\n"


def grouped(absent):
    """What is missing by reason: [(reason, ops and in how many models)]."""
    reasons = collections.defaultdict(list)
    for text, count in absent:
        op, _, why = text.partition(" cannot be written: ")
        if not why:
            op, _, why = text.partition(": ")
        reasons[why].append(f"{op} ({count})")
    return [(why, ", ".join(ops)) for why, ops in sorted(reasons.items(), key=lambda r: -len(r[1]))]


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--airconv", type=Path, default=ROOT / "target/fast/airconv")
    parser.add_argument("--torch", type=Path, default=ROOT / ".torch/venv/bin/python")
    parser.add_argument("--match", default="", metavar="TEXT", help="names that contain it")
    parser.add_argument("--programs", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--references", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--work", type=Path, default=STORE / "torch", metavar="DIR")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the results as a page")
    args = parser.parse_args(argv)
    args.work = args.work.resolve()
    for path in (args.airconv, args.torch):
        if not path.is_file():
            raise CorpusError(f"there is no {shown(path)}")
    results = attempt(args)
    if args.table:
        args.table.write_text(page(results), encoding="utf-8")
    verdicts = collections.Counter(entry[form]["verdict"] for entry in results.values() for form in FORMS)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    return FAILED if set(verdicts) - {"agrees", "refused", "no reference"} else DONE


if __name__ == "__main__":
    run(main)
