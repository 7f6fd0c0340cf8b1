#!/usr/bin/env python3
"""Write test cases from PyTorch's database of operators, each as an exported program.

The database (torch.testing's op_db) has samples of arguments for every operator and dtype.
A sample becomes a module whose inputs are the tensors among the arguments, which is exported:
NAME__DTYPE_SAMPLE.pt2, with --decompose also run through run_decompositions() as
NAME__DTYPE_SAMPLE.d.pt2, and inputs and outputs (in_0, in_1 ..., out_0, out_1 ...) in
NAME__DTYPE_SAMPLE.npz. Of narrow floats, wide_0 ... are what the operator gives for the same
inputs in float32: PyTorch rounds some intermediate results, which is right either way. Cases whose results are random or not initialised go to the folder
`random` below; their .npz files hold inputs only. What PyTorch cannot export is counted.

What was done stands in status.*.jsonl of the output folder, one line per case, and is not
done again, so a run can be stopped at any time and several shards can run side by side.

Needs torch, expecttest and numpy.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import fnmatch
import itertools
import json
import os
import re
import signal
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

DTYPES = {
    "f32": torch.float32,
    "i64": torch.int64,
    "bool": torch.bool,
    "f64": torch.float64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "c64": torch.complex64,
    "i32": torch.int32,
    "u8": torch.uint8,
}
# Operators whose results are whatever memory holds.
UNINITIALISED = re.compile(r"^(new_)?empty(_|$)|^resize_|^as_strided_scatter_unsafe$")
# Operators that give positions, by the number of that result: which of equal elements is meant
# is not specified.
POSITIONS = {
    "argsort": 0,
    "kthvalue": 1,
    "median": 1,
    "mode": 1,
    "nanmedian": 1,
    "sort": 1,
    "topk": 1,
}
MOST_SAMPLES = 100
MOST_ELEMENTS = 1 << 20
SECONDS = 90


class TooSlow(Exception):
    """A case took longer than it may."""


class OneCall(torch.nn.Module):
    """A call of an operator; the tensors among its arguments are inputs."""

    def __init__(self, op, args, kwargs):
        super().__init__()
        self.op = op
        leaves, self.spec = torch.utils._pytree.tree_flatten((args, kwargs))
        self.is_tensor = [isinstance(leaf, torch.Tensor) for leaf in leaves]
        self.tensors = [t.detach().contiguous() for t in leaves if isinstance(t, torch.Tensor)]
        self.constants = [None if isinstance(t, torch.Tensor) else t for t in leaves]

    def forward(self, *tensors):
        given = iter(tensors)
        leaves = [
            next(given) if tensor else constant
            for tensor, constant in zip(self.is_tensor, self.constants)
        ]
        args, kwargs = torch.utils._pytree.tree_unflatten(leaves, self.spec)
        return tuple(results(self.op(*args, **kwargs)))


def results(value):
    """The tensors and numbers of a result, in order."""
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in results(part)]
    return [] if value is None or isinstance(value, (str, torch.dtype)) else [value]


def name_of(op):
    """The name of an entry of the database, as part of a file name."""
    name = op.name if not op.variant_test_name else f"{op.name}-{op.variant_test_name}"
    return name.replace(".", "-").replace("/", "-")


def array(tensor):
    """A tensor as NumPy stores it; bfloat16 as raw bytes."""
    if not isinstance(tensor, torch.Tensor):
        return np.asarray(tensor)
    tensor = tensor.detach().resolve_conj().resolve_neg().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view("V2")
    return tensor.numpy()


def same(left, right):
    """Whether two results are equal bit by bit."""
    pairs = list(zip(left, right))
    return len(left) == len(right) and all(
        a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs
    )


def is_random(program):
    """Whether a program draws random numbers."""
    tags = (getattr(node.target, "tags", ()) for node in program.graph.nodes)
    return any(torch.Tag.nondeterministic_seeded in t for t in tags)


def constants(program):
    """Which results are constants of the program; they are no outputs of it."""
    args = [spec.arg for spec in program.graph_signature.output_specs]
    return [i for i, arg in enumerate(args) if type(arg).__name__ == "ConstantArgument"]


def unspecified(op, module):
    """The number of a result that depends on the order of equal elements, or -1."""
    position = POSITIONS.get(op.name, -1)
    if position < 0 or not module.tensors:
        return -1
    first = module.tensors[0]
    return position if first.unique().numel() < first.numel() else -1


def on_alarm(_signal, _frame):
    raise TooSlow(f"more than {SECONDS} seconds")


def spread(count, wanted):
    """Which samples of so many are taken: the first, the last, and some between."""
    order = [0, count - 1, count // 2, count // 4, 3 * count // 4]
    return list(dict.fromkeys(order))[:wanted]


class Writer:
    """Writes cases and remembers what was done."""

    def __init__(self, args):
        self.folder, self.decompose = args.out, args.decompose
        self.done = {}
        for path in sorted(self.folder.glob("status*.jsonl")):
            for line in path.read_text().splitlines():
                entry = json.loads(line)
                self.done[entry["case"]] = entry["status"]
        self.log = open(self.folder / f"status.{args.shard[0]}.jsonl", "a")

    def note(self, case, op, status, reason=""):
        """One line of the log."""
        line = {"case": case, "op": op, "status": status}
        if reason:
            line["reason"] = reason
        print(json.dumps(line), file=self.log, flush=True)
        self.done[case] = status

    def settle(self, case, op):
        """Whether the case is to be made now. One that was begun and not ended ended the run."""
        status = self.done.get(case)
        if status == "begun":
            self.note(case, op, "crash", "the process ended")
        if status is None:
            self.note(case, op, "begun")
        return status is None

    def operator(self, op, kind, wanted):
        """All cases of an operator and dtype."""
        name, dtype = name_of(op), DTYPES[kind]
        if dtype not in op.supported_dtypes("cpu"):
            return
        whole = f"{name}__{kind}"
        if self.done.get(f"{whole}#{wanted}{self.decompose}"):
            return
        torch.manual_seed(zlib.crc32(whole.encode()))
        np.random.seed(zlib.crc32(whole.encode()))
        try:
            samples = op.sample_inputs("cpu", dtype, requires_grad=False)
            samples = list(itertools.islice(samples, MOST_SAMPLES))
        except Exception as e:
            self.note(whole, name, "samples", short(e))
            return
        if samples:
            for at in spread(len(samples), wanted):
                self.case(op, f"{whole}_{at}", samples[at])
        self.note(f"{whole}#{wanted}{self.decompose}", name, "all")

    def case(self, op, case, sample):
        """One case, in both forms if asked for."""
        plain = self.settle(case, name_of(op))
        decomposed = self.decompose and self.settle(f"{case}.d", name_of(op))
        if not plain and not decomposed:
            return
        signal.alarm(SECONDS)
        try:
            status, reason = self.export(op, case, sample, plain, decomposed)
        except TooSlow as e:
            status, reason = "slow", str(e)
        except Exception as e:
            status, reason = "case", short(e)
        finally:
            signal.alarm(0)
        for wanted, form in [(plain, case), (decomposed, f"{case}.d")]:
            if wanted and self.done.get(form) == "begun":
                self.note(form, name_of(op), status, reason)

    def export(self, op, case, sample, plain, decomposed):
        """Runs, exports and saves; gives the status and the reason of a failure."""
        kwargs = dict(sample.kwargs)
        module = OneCall(op.op, (sample.input, *sample.args), kwargs).eval()
        if sum(t.numel() for t in module.tensors) > MOST_ELEMENTS:
            return "large", "the inputs are large"
        inputs = tuple(module.tensors)
        given = [array(t).copy() for t in inputs]
        first, second = self.eager(module, 1), self.eager(module, 2)
        try:
            program = torch.export.export(module, tuple(t.clone() for t in inputs))
        except TooSlow:
            raise
        except Exception as e:
            return "export", short(e)
        fixed = constants(program)
        outputs = [a for i, a in enumerate(first) if i not in fixed]
        kept = {f"out_{i}": a for i, a in enumerate(outputs) if i != unspecified(op, module)}
        wide = [a for i, a in enumerate(self.wide(module)) if i not in fixed]
        kept |= {
            f"wide_{i}": a for i, a in enumerate(wide) if a is not None and f"out_{i}" in kept
        }
        random = (
            not kept
            or UNINITIALISED.match(op.name)
            or is_random(program)
            or not same(first, second)
        )
        folder = self.folder / "random" if random else self.folder
        arrays = {f"in_{i}": a for i, a in enumerate(given)} | ({} if random else kept)
        np.savez(folder / f"{case}.npz", **arrays)
        if plain:
            self.save(program, folder / f"{case}.pt2")
            self.note(case, name_of(op), "random" if random else "ok")
        if decomposed:
            try:
                program = program.run_decompositions()
            except TooSlow:
                raise
            except Exception as e:
                return "decompose", short(e)
            self.save(program, folder / f"{case}.d.pt2")
            self.note(f"{case}.d", name_of(op), "random" if random else "ok")
        return "ok", ""

    @staticmethod
    def save(program, path):
        """Writes a program, whole or not at all."""
        try:
            torch.export.save(program, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @staticmethod
    def eager(module, seed):
        """What the operator gives, of copies of the inputs."""
        torch.manual_seed(seed)
        with torch.no_grad():
            return [array(t).copy() for t in module(*[t.clone() for t in module.tensors])]

    @staticmethod
    def wide(module):
        """What the operator gives in float32 where narrow floats are given, else nothing."""
        narrow = (torch.float16, torch.bfloat16)
        if not any(t.dtype in narrow for t in module.tensors):
            return []
        given = [t.float() if t.dtype in narrow else t.clone() for t in module.tensors]
        torch.manual_seed(1)
        try:
            with torch.no_grad():
                made = module(*given)
        except Exception:
            return []
        floats = [isinstance(t, torch.Tensor) and t.dtype == torch.float32 for t in made]
        return [array(t).copy() if f else None for t, f in zip(made, floats)]


def short(error):
    """The first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]


def shard_of(text):
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or int(match[1]) >= int(match[2]):
        raise argparse.ArgumentTypeError("a shard is I/N with I below N")
    return int(match[1]), int(match[2])


def fix_order():
    """Starts the script anew with a fixed order of sets, on which some samples depend."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main():
    fix_order()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--ops", default="*", help="only operators of this pattern")
    parser.add_argument("--dtypes", default="f32", help=f"of {','.join(DTYPES)}")
    parser.add_argument("--samples", type=int, default=1, help="samples per operator and dtype")
    parser.add_argument("--decompose", action="store_true", help="the decomposed form too")
    parser.add_argument("--shard", type=shard_of, default=(0, 1), help="I/N: every Nth operator")
    args = parser.parse_args()
    kinds = args.dtypes.split(",")
    if unknown := [k for k in kinds if k not in DTYPES]:
        parser.error(f"unknown dtypes: {', '.join(unknown)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, on_alarm)
    (args.out / "random").mkdir(parents=True, exist_ok=True)
    writer = Writer(args)
    index, count = args.shard
    ops = [op for op in op_db if fnmatch.fnmatch(name_of(op), args.ops)]
    for kind in kinds:
        for op in ops[index::count]:
            writer.operator(op, kind, args.samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
