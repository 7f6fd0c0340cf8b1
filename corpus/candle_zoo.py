#!/usr/bin/env python3
"""Compares captured candle models with candle: as ONNX in ONNX Runtime, and as candle crates.

usage: candle_zoo.py FOLDER [--crate NAME ...] [--airconv FILE] [--work DIR] [--offline]

FOLDER is what converters/candle/zoo/run leaves: NAME.recording with the inputs NAME.in.npz and the
outputs NAME.out.npz that candle itself gave, and failed.txt with what was not recorded. Each
recording becomes FOLDER/onnx/NAME.onnx, which ONNX Runtime runs on those inputs. What ONNX Runtime
cannot compute, or computes in other types, is run by the hub's interpreter instead.

Prints a row of a table in Markdown for each: nodes, symbolic sizes, and the greatest difference
from candle relative to the greatest element. With --crate the ONNX file of that model goes back: it
is written as a candle crate, compiled and run (candle_crates.py), and compared with candle's outputs
and with those of ONNX Runtime.

Ends with status 1 if a model fails or is more than 1e-4 from candle; what is refused is named.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime

import candle_crates
from candle_crates import CLOSE, Failure
from common import DONE, FAILED, ROOT, STORE, CorpusError, run


def load(path):
    """The arrays of an .npz file by name; what NumPy has no type for is raw bytes."""
    with np.load(path) as file:
        return dict(file)


def apart(ours, candle):
    """The greatest difference of arrays by name, relative to the greatest element of each."""
    if set(ours) != set(candle):
        raise Failure("differs", f"outputs are {sorted(ours)} instead of {sorted(candle)}")
    worst = 0.0
    for name, array in ours.items():
        distance = candle_crates.distance(array, candle[name])
        if distance > CLOSE:
            raise Failure("differs", f"`{name}` differs by {distance:.1e}")
        worst = max(worst, distance)
    return worst


def reasons(answer, stderr):
    """Why the program failed, with the places in candle's sources that it names."""
    out = []
    for diagnostic in answer.get("diagnostics", []):
        if diagnostic["severity"] == "error":
            places = [place.rpartition("/src/")[2] for place in diagnostic["at"][:1]]
            out.append(" ".join([diagnostic["message"], *(f"(`{place}`)" for place in places)]))
    return out or candle_crates.refusal(answer, stderr)


def said(args, *arguments):
    """What the program says as JSON; raises with its reasons if it fails."""
    answer, status, stderr = candle_crates.airconv(args, *arguments)
    if status:
        raise Failure("refused" if status == 4 else "fails", "; ".join(reasons(answer, stderr)))
    return answer


def by_onnx_runtime(path, feeds):
    """The outputs of ONNX Runtime by name."""
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, feeds)))
    except Exception as error:  # ONNX Runtime's errors share no other class.
        raise Failure("not run", str(error).splitlines()[0][:120]) from None


def by_interpreter(args, recording, given):
    """The outputs of the hub's interpreter by name."""
    made = args.folder / "onnx/made.npz"
    said(args, "run", recording, "--executor", "interpreter", "--inputs", given, "--outputs", made)
    return load(made)


def widened(arrays, types):
    """Arrays of dtypes that NumPy lacks as float32."""
    return {name: candle_crates.widened(a, types.get(name)) for name, a in arrays.items()}


class Model:
    """A captured model: its files, and what was found out about it."""

    def __init__(self, args, name):
        self.name = name
        self.recording = args.folder / f"{name}.recording"
        self.given = args.folder / f"{name}.in.npz"
        self.onnx = args.folder / "onnx" / f"{name}.onnx"
        self.feeds = load(self.given)
        self.nodes, self.sizes = "-", "-"

    def row(self, found):
        return f"| {self.name} | {self.nodes} | {self.sizes} | {found} |"

    def convert(self, args):
        """Writes the ONNX file; the types of the outputs by name."""
        said(args, self.recording, "-o", self.onnx)
        about = said(args, "inspect", self.onnx)
        self.nodes = about["nodes"]
        self.sizes = ", ".join(about["symbols"]) or "fixed"
        return {value["name"]: value["type"].split("[")[0] for value in about["outputs"]}

    def compare(self, args):
        """What there is to say of the distance from candle."""
        types = self.convert(args)
        candle = widened(load(args.folder / f"{self.name}.out.npz"), types)
        try:
            ours = by_onnx_runtime(str(self.onnx), self.feeds)
            distance = apart(ours, candle)
        except Failure as failure:
            ours = widened(by_interpreter(args, self.recording, self.given), types)
            distance = apart(ours, candle)
            return f"{distance:.1e} in the interpreter; ONNX Runtime: {failure.args[1]}"
        self.keep("A", candle)
        self.keep("B", ours)
        return f"{distance:.1e}"

    def keep(self, letter, outputs):
        """Keeps inputs and outputs as candle_crates.py reads them."""
        arrays = {f"in:{name}": array for name, array in self.feeds.items()}
        arrays |= {f"out:{name}": array for name, array in outputs.items()}
        np.savez(self.onnx.with_suffix(f".{letter}.npz"), **arrays)

    def as_a_crate(self, args):
        """The entry of candle_crates.py for the crate made of the ONNX file."""
        found = candle_crates.references(self.name, [self.onnx.parent])
        return candle_crates.attempt(args, self.name, self.onnx, found, self.onnx.parent, None)


def rows(args):
    """Prints the rows of the table; whether all is well."""
    good = True
    for path in sorted(args.folder.glob("*.recording")):
        model = Model(args, path.stem)
        try:
            found = model.compare(args)
        except Failure as failure:
            good &= failure.args[0] == "refused"
            found = f"{failure.args[0]}: {failure.args[1]}"
        print(model.row(candle_crates.cell(found)), flush=True)
    failed = args.folder / "failed.txt"
    for line in failed.read_text(encoding="utf-8").splitlines() if failed.is_file() else []:
        name, _, why = line.partition("\t")
        print(f"| {name} | - | - | candle itself fails: {candle_crates.cell(why[:120])} |")
    return good


def crates(args):
    """Prints what came of the crates that are asked for; whether all agree."""
    good = True
    for name in args.crate:
        entry = Model(args, name).as_a_crate(args)
        good &= entry["verdict"] == "agrees"
        print(f"as a crate again, {candle_crates.line(name, entry)}", file=sys.stderr)
    return good


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--crate", action="append", default=[], metavar="NAME")
    parser.add_argument("--airconv", type=Path, default=ROOT / "target/fast/airconv")
    parser.add_argument("--work", type=Path, default=STORE / "candle", metavar="DIR")
    parser.add_argument("--offline", action="store_true", help="cargo fetches nothing")
    args = parser.parse_args(argv)
    args.folder, args.work = args.folder.resolve(), args.work.resolve()
    args.executor, args.force = False, True
    if not args.airconv.is_file():
        raise CorpusError(f"there is no {args.airconv}")
    (args.folder / "onnx").mkdir(exist_ok=True)
    (args.work / "crates").mkdir(parents=True, exist_ok=True)
    good = rows(args)
    return DONE if crates(args) and good else FAILED


if __name__ == "__main__":
    run(main)
