#!/usr/bin/env python3
"""Loads programs in PyTorch, runs them, and compares with what others computed.

usage: torch_check.py FOLDER [--references DIR] [--originals DIR] [--match TEXT] [--only NAMES]
                      [--decompose] [--compile [BACKEND]] [--save DIR] [--rtol R] [--verbose]

FOLDER holds the programs: NAME.pt2, archives of torch.export, and NAME.pt, TorchScript.
References are NAME.npz, NAME.ref.npz or NAME.CASE.npz in
FOLDER or DIR, with `in_0`, `in_1` ... and `out_0`, `out_1` ... by position; `opt_0` ... are the
same outputs as another run gave them. With --originals, programs of the same name there are run
too, at the reference's size and, where a size is dynamic, at another one.

--only takes names without endings, with commas between. --decompose also runs each exported
program after `run_decompositions()`, saves that and loads it again; --compile runs it under
`torch.compile`, with the backend `inductor`, which needs a C++ compiler, or another one. --save
stores what programs gave for a reference as DIR/PROGRAM.REFERENCE, with `out_0` ... by position.

Prints one line per program and a summary; ends with status 1 if a result is wrong or a program
does not run. Needs torch (torch_setup.sh); nothing is fetched.
"""

import argparse
import collections
import io
import pathlib
import sys
import traceback
import warnings

import numpy as np
import torch

try:  # its operators
    import torchvision  # noqa: F401
except ImportError:
    pass

# How often the distance between two runs of who made the reference an output may be off: the
# distance of one sample says little of another.
FLOORS = 4.0
NARROW = {torch.float16: 2e-2, torch.bfloat16: 1e-1}


def references(name, folders):
    """The reference files of a program; a name without its last parts has them too."""
    for folder in folders:
        stems = [name]
        while "." in stems[-1]:
            stems.append(stems[-1].rsplit(".", 1)[0])
        for stem in stems:
            found = [folder / f"{stem}.npz", folder / f"{stem}.ref.npz"]
            found += sorted(folder.glob(f"{stem}.?.npz"))
            found = [p for p in found if p.is_file()]
            if found:
                return found
    return []


def flat(value):
    """All tensors and numbers of nested containers, in order."""
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in flat(v)]
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in flat(v)]
    return [] if value is None else [value]


def user_inputs(program):
    """The types of the inputs that the caller gives."""
    nodes = {n.name: n for n in program.graph.nodes if n.op == "placeholder"}
    return [nodes[n].meta.get("val") if n in nodes else None for n in program.graph_signature.user_inputs]


def tensors_of(program, arrays):
    """Arrays as the arguments that a program takes."""
    out = []
    for kind, array in zip(user_inputs(program), arrays):
        if not isinstance(kind, torch.Tensor):
            out.append(array.item() if array.ndim == 0 else array)
            continue
        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.itemsize == 2 and array.dtype.kind in "uV" and kind.dtype == torch.bfloat16:
            out.append(torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16))
        else:
            out.append(torch.from_numpy(array.copy()).to(kind.dtype))
    return out


def resized(program, tensors):
    """Arguments of another size where sizes are dynamic; None where none is."""
    sizes, changed, out = {}, False, []
    for kind, tensor in zip(user_inputs(program), tensors):
        if not isinstance(kind, torch.Tensor) or not isinstance(tensor, torch.Tensor):
            out.append(tensor)
            continue
        shape = []
        for symbol, size in zip(kind.shape, tensor.shape):
            if isinstance(symbol, torch.SymInt) and str(symbol).isidentifier():
                if str(symbol) not in sizes:
                    sizes[str(symbol)] = size + (1 if size < 32 else 32)
                size = sizes[str(symbol)]
                changed = True
            elif isinstance(symbol, torch.SymInt):
                return None
            shape.append(size)
        count = int(np.prod(shape))
        data = tensor.reshape(-1)
        if not len(data):
            return None
        out.append(data.repeat(-(-count // len(data)))[:count].reshape(shape).clone())
    return out if changed else None


def run(module, tensors):
    with torch.no_grad():
        return [t for t in flat(module(*[t.clone() if isinstance(t, torch.Tensor) else t for t in tensors]))]


def as_array(value):
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.detach()
    narrow = value.dtype in NARROW or (value.is_floating_point() and value.itemsize == 1)
    return value.float().numpy() if narrow else value.numpy()


def bfloat(array):
    return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16).float().numpy()


def difference(got, want, also, rtol):
    """What is wrong with an output; an empty text if nothing is."""
    limit = max(rtol, NARROW.get(getattr(got, "dtype", None), 0))
    if isinstance(got, torch.Tensor) and want.dtype.kind in "uV":
        if got.dtype == torch.bfloat16:
            want = bfloat(want)
        elif got.is_floating_point() and got.itemsize == 1:
            want = torch.from_numpy(want.view(np.uint8).copy()).view(got.dtype).float().numpy()
    got = as_array(got)
    if got.shape != want.shape:
        return f"shape {got.shape} instead of {want.shape}"
    if want.dtype.kind not in "fc":
        if want.dtype.kind == "b" or got.dtype.kind == "b":
            bad = int((got.astype(bool) != want.astype(bool)).sum())
            return f"{bad} of {want.size} differ" if bad else ""
        step = np.abs(got.astype(np.float64) - want.astype(np.float64))
        if not step.size or not step.max():
            return ""
        loose = also is not None and (step <= np.abs(also.astype(np.float64) - want.astype(np.float64)).max()).all()
        return "" if loose else f"{int((step > 0).sum())} of {want.size} differ by up to {step.max():g}"
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    got, want = got.astype(wide), want.astype(wide)
    if (np.isnan(got) != np.isnan(want)).any():
        return "NaN in other places"
    with np.errstate(all="ignore"):
        equal = (got == want) | np.isnan(want)
        step = np.where(equal, 0, np.abs(got - want))
        finite = np.abs(want[np.isfinite(want)])
        scale = max(finite.max(), 1e-30) if finite.size else 1.0
        close = step <= 1e-7 + limit * np.abs(want)
        floor = 0.0
        if also is not None and also.shape == want.shape:
            floor = FLOORS * np.nanmax(np.abs(also.astype(wide) - want), initial=0) / scale
    worst = np.nanmax(step, initial=0) / scale
    return "" if close.all() or worst <= max(limit / 10, floor) else f"off by {worst:.1e} of the greatest"


def compare(got, data, rtol):
    wanted = sorted((k for k in data if k.startswith("out_") and k[4:].isdigit()), key=lambda k: int(k[4:]))
    for name in wanted:
        k = int(name[4:])
        if k >= len(got):
            return f"there is no output {k}"
        also = data[f"opt_{k}"] if f"opt_{k}" in data else None
        bad = difference(got[k], data[name], also, rtol)
        if bad:
            return f"output {k}: {bad}"
    return ""


def load(file):
    with np.load(file, allow_pickle=True) as stored:
        return {k: stored[k] for k in stored.files}


def outcome(path, file, module, tensors, data, options):
    """Runs a program on a reference; what is wrong with what it gives, which is kept if asked for."""
    got = run(module, tensors)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        arrays = {f"out_{i}": as_array(value) for i, value in enumerate(got)}
        np.savez(options.save / f"{path.name}.{file.name}", **arrays)
    return compare(got, data, options.rtol)


def arguments(data):
    names = sorted((k for k in data if k.startswith("in_")), key=lambda k: int(k[3:]))
    return [data[k] for k in names]


def variants(program, options):
    """A program as it is and as it is after what else was asked for."""
    yield "", program.module()
    if options.decompose:
        core = program.run_decompositions()
        yield "decomposed: ", core.module()
        buffer = io.BytesIO()
        torch.export.save(core, buffer)
        buffer.seek(0)
        yield "saved again: ", torch.export.load(buffer).module()
    if options.compile:
        yield "compiled: ", torch.compile(program.module(), backend=options.compile)


def scripted_arguments(arrays):
    """Arrays as the arguments of a TorchScript program."""
    out = []
    for array in arrays:
        array = np.ascontiguousarray(array).reshape(array.shape)
        if array.dtype.itemsize == 2 and array.dtype.kind == "V":
            out.append(torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16))
        else:
            out.append(torch.from_numpy(array.copy()))
    return out


def check_script(path, options):
    """The verdict on a TorchScript program."""
    folders = [path.parent] + ([options.references] if options.references else [])
    module = torch.jit.load(path)
    files = references(path.name[: -len(".pt")], folders)
    wrong = []
    for file in files:
        data = load(file)
        tensors = scripted_arguments(arguments(data))
        if bad := outcome(path, file, module, tensors, data, options):
            wrong.append(f"WRONG {file.name}: {bad}")
    return [*wrong, f"agrees ({len(files)})" if files else "loads, no reference"][0]


def check(path, options):
    folders = [path.parent] + ([options.references] if options.references else [])
    files = references(path.name[: -len(".pt2")], folders)
    original = options.originals and options.originals / path.name
    original = torch.export.load(original) if original and original.is_file() else None
    if not files:
        program = torch.export.load(path)
        return "loads, no reference"
    program = torch.export.load(path)
    sizes, wrong = 0, []
    for label, module in variants(program, options):
        for file in files:
            data = load(file)
            if any(v.dtype.kind in "UO" for v in data.values()):
                return "skip: strings"
            tensors = tensors_of(program, arguments(data))
            if bad := outcome(path, file, module, tensors, data, options):
                wrong.append(f"WRONG {label}{file.name}: {bad}")
            sizes += 1
            other = resized(original, tensors) if original is not None else None
            if other is None:
                continue
            want = {f"out_{i}": as_array(v) for i, v in enumerate(run(original.module(), other))}
            if bad := compare(run(module, other), want, options.rtol):
                wrong.append(f"WRONG {label}at another size: {bad}")
            sizes += 1
    return [*wrong, f"agrees ({sizes})"][0]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--references", type=pathlib.Path)
    parser.add_argument("--originals", type=pathlib.Path)
    parser.add_argument("--match", default="")
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--decompose", action="store_true")
    parser.add_argument("--compile", nargs="?", const="inductor")
    parser.add_argument("--save", type=pathlib.Path)
    parser.add_argument("--rtol", type=float, default=1e-3)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    counts = collections.Counter()
    paths = [p for ending in ("pt2", "pt") for p in sorted(options.folder.glob(f"*.{ending}"))]
    for path in paths:
        if options.match not in path.name or options.only and path.stem not in options.only:
            continue
        try:
            verdict = (check if path.suffix == ".pt2" else check_script)(path, options)
        except Exception as error:
            if options.verbose:
                traceback.print_exc()
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            verdict = f"FAILS {type(error).__name__}: {(lines or [''])[-1][:200]}"
        counts[verdict.split()[0]] += 1
        print(f"{path.name:60s} {verdict}", flush=True)
    print(dict(counts))
    return 1 if counts["WRONG"] or counts["FAILS"] else 0


if __name__ == "__main__":
    sys.exit(main())
