#!/usr/bin/env python3
"""Writes models as candle crates, compiles and runs them, and compares with what others computed.

usage: candle_crates.py [--executor] [--match TEXT] [--programs DIR --references DIR]
                        [--exported DIR] [--table FILE] [...]

ONNX models come from .corpus (fetch.py, generate.py) with ONNX Runtime's outputs (references.py)
and from folders given with --programs, their references NAME.CASE.npz from those given with
--references; PyTorch's exported programs from the folders given with --exported, which hold
NAME.npz, NAME.ref.npz and NAME.other.npz beside NAME.pt2, by default those that torch_models.py
wrote. Arrays are `in:NAME`, `out:NAME`, `opt:NAME` or, by
position, `in_0`, `out_0`, `opt_0`; `opt` is the same output as another run gave it.

Each model becomes a crate, is compiled with `cargo build --examples`, all with one target folder
so that candle compiles once, is looked at by clippy and rustfmt, and its example runs on the inputs
of each reference. With --executor nothing is compiled: `airconv run --executor candle` makes the same calls in process.
What was found is kept in WORK/record.json; a crate that was right and comes out as it did is not
tried again.

--table FILE writes the results as a page. Ends with status 1 if something does not build, warns,
does not run or differs.
"""

import argparse
import collections
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np

from common import DONE, FAILED, ROOT, STORE, CorpusError, digest, run, shown, write_json

FIXTURES = ROOT / "converters/torch/tests/data"
# How far outputs may be from the reference, relative to the greatest element.
CLOSE = 1e-4
# The same for programs that compute in few bits, which each order of the same steps rounds
# differently, and programs that quantise between steps, where one step more or less shows.
NARROW = {"f16": 2e-2, "bf16": 1e-1, "quantised": 2e-2}
ELEMENTS = {
    "float32": "F32",
    "float64": "F64",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "uint32": "U32",
    "uint8": "U8",
    "bool": "U8",
    "void16": "BF16",
}
ARRAYS = {
    "F32": np.float32,
    "F64": np.float64,
    "F16": np.float16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "U32": np.uint32,
    "U8": np.uint8,
}
# Dtypes that NumPy lacks, as ml_dtypes calls them.
SMALL = {
    "bf16": "bfloat16",
    "f8e4m3fn": "float8_e4m3fn",
    "f8e4m3fnuz": "float8_e4m3fnuz",
    "f8e5m2": "float8_e5m2",
    "f8e5m2fnuz": "float8_e5m2fnuz",
    "f8e8m0": "float8_e8m0fnu",
    "f4e2m1": "float4_e2m1fn",
    "i4": "int4",
    "u4": "uint4",
    "i2": "int2",
    "u2": "uint2",
}
# How crates are compiled: what is generated without optimising, candle with.
QUICK = [
    *("--config", "profile.dev.opt-level=0", "--config", "profile.dev.debug=false"),
    *("--config", "profile.dev.incremental=false"),
    *("--config", 'profile.dev.package."*".opt-level=2'),
]
# The most lines of a file.
LONGEST = 1000
# Models whose numbers are not those of the reference, and why.
KNOWN = {
    "corner_arithmetic": "it gives `relu` a NaN, of which candle makes 0",
    "ml_gp_regressor": "its sums cancel: ONNX Runtime itself is 1e-4 from the result in f64",
    "text2tashkeel__bilstm.int8": "each step of its LSTM quantises the state anew, where a last bit"
    " decides a step; the hub's interpreter differs by 1e-3",
}
# The two forms in which a model is tried.
AS_A_CRATE, IN_PROCESS = "as a crate", "in process"
GOOD = ("agrees", "agrees closely")


class Failure(Exception):
    """A model failed; the first argument is the verdict, the second says why."""


def models(args):
    """What is to be tried: (name, file, references)."""
    found = {}
    known = [STORE / "references"]
    for path in sorted((STORE / "models").glob("*/*.onnx")):
        name = f"{path.parent.name}__{path.stem}"
        found[name] = (path, references(name, known))
    for path in sorted((STORE / "generated").glob("*.onnx")):
        found[path.stem] = (path, references(path.stem, known))
    for folder in args.programs:
        for path in sorted(folder.glob("*.onnx")):
            found[path.stem] = (path, references(path.stem, args.references))
    for folder in args.exported:
        for path in sorted(folder.glob("*.pt2")):
            found[path.name] = (path, references(path.stem, [folder]))
    chosen = [n for n in found if args.match in n and not any(s in n for s in args.skip)]
    return [(n, *found[n]) for n in chosen]


def references(name, folders):
    """The files of arrays of a model; a name without its last parts may have them too."""
    for folder in folders:
        stem = name
        while True:
            found = [folder / f"{stem}{end}" for end in (".npz", ".ref.npz", ".other.npz")]
            found += sorted(folder.glob(f"{glob_safe(stem)}.?.npz"))
            found = [path for path in found if path.is_file()]
            if found or "." not in stem:
                break
            stem = stem.rsplit(".", 1)[0]
        if found:
            return found
    return []


def glob_safe(name):
    return re.sub(r"([*?\[])", r"[\1]", name)


def arrays_of(path, kind, names):
    """The arrays of one kind by name. Those by position stand for the first of the names in ONNX
    models, whose weights may be inputs too; in exported programs state comes before the inputs
    that the caller gives, and after the outputs."""
    with np.load(path, allow_pickle=False) as file:
        out = {name: file[f"{kind}:{name}"] for name in names if f"{kind}:{name}" in file.files}
        count = sum(bool(re.fullmatch(rf"{kind}_\d+", key)) for key in file.files)
        first = len(names) - count if kind == "in" and path_is_exported(path) else 0
        for position, name in enumerate(names[first:]):
            if f"{kind}_{position}" in file.files:
                out[name] = file[f"{kind}_{position}"]
        return out


def path_is_exported(path):
    """Whether a file of arrays belongs to an exported program."""
    return path.name.endswith((".ref.npz", ".other.npz")) or path.with_suffix(".pt2").is_file()


def airconv(args, *arguments, timeout=600):
    """Runs the program; its JSON and whether it succeeded."""
    command = [str(args.airconv), *map(str, arguments), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise Failure("does not run", f"no end after {timeout} s") from None
    try:
        said = json.loads((done.stdout.strip() or done.stderr.strip()).splitlines()[-1])
    except (ValueError, IndexError):
        try:
            said = json.loads(done.stdout)
        except ValueError:
            said = {}
    return said, done.returncode, done.stderr


def inspect(args, path):
    """The inputs and outputs of a program, and what limits how well two runs of it can agree."""
    said, status, stderr = airconv(args, "inspect", path)
    if status:
        raise Failure("not read", stderr.strip()[-300:])
    narrow = None
    if any("quant" in op or op.endswith("_integer") for op in said["ops"]):
        narrow = "quantised"
    else:
        printed = [str(args.airconv), "print", str(path)]
        text = subprocess.run(printed, capture_output=True, text=True, check=False).stdout
        narrow = next((t for t in ("bf16", "f16") if re.search(rf"\b{t}\[", text)), None)
    return {
        "inputs": {value["name"]: value["type"].split("[")[0] for value in said["inputs"]},
        "sizes": {value["name"]: sizes(value["type"]) for value in said["inputs"]},
        "outputs": {value["name"]: value["type"].split("[")[0] for value in said["outputs"]},
        "narrow": narrow,
    }


def sizes(text):
    """The sizes of a type, `f32[N, 3]`, as texts."""
    inside = text.partition("[")[2].rpartition("]")[0]
    return [size.strip() for size in inside.split(",")] if inside else []


def given(program, feeds):
    """Arguments that fix the sizes of inputs and the integers among them, and what is left to be
    given: for models in which these decide what ranks values have."""
    arguments, left = [], {}
    for name, array in feeds.items():
        for size, number in zip(program["sizes"][name], array.shape):
            if re.fullmatch(r"[A-Za-z_]\w*", size) and f"{size}={number}" not in arguments:
                arguments += ["--dim", f"{size}={number}"]
        if array.ndim == 0 and array.dtype.kind in "iu":
            arguments += ["--bind", f"{name}={array}"]
        else:
            left[name] = array
    return arguments, left


def refusal(said, stderr):
    """What is missing, as the program says it: its messages and the ops that they name."""
    messages = [d["message"] for d in said.get("diagnostics", []) if d["severity"] == "error"]
    if not messages:
        messages = [line for line in stderr.splitlines() if line.startswith("error")]
    return messages or [stderr.strip()[-300:] or "no reason given"]


def write_crate(args, path, folder, fixed=()):
    """Writes the crate; raises with the full list of what is missing."""
    shutil.rmtree(folder, ignore_errors=True)
    said, status, stderr = airconv(args, path, *fixed, "-o", folder)
    if status == 0:
        return
    if status != 4:
        raise Failure("not written", "; ".join(refusal(said, stderr)))
    if folder.exists():
        raise Failure("refused", "and yet something was written")
    raise Failure("refused", refusal(said, stderr))


def cargo(args, folder, *arguments):
    """Runs cargo on a crate: the executable, the errors and warnings about the crate itself, and
    what else it said if it failed."""
    command = ["cargo", *arguments, "--message-format=json", *QUICK]
    command += ["--offline"] * args.offline
    environment = {**os.environ, "CARGO_TARGET_DIR": str(args.work / "target")}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=environment, check=False
    )
    executable, said = None, []
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable"):
            executable = Path(message["executable"])
        if message.get("reason") == "compiler-message" and str(folder) in message["package_id"]:
            level = message["message"]["level"]
            if level in ("error", "warning"):
                said.append(message["message"]["rendered"].strip())
    return executable, said, done.stderr.strip()[-500:] if done.returncode else None


def lint(args, folder):
    """Raises where clippy or rustfmt has something to say about a crate, or a file is long."""
    _, said, failed = cargo(args, folder, "clippy", "--all-targets")
    if said or failed:
        raise Failure("warns", "\n".join(said[:3]) or failed)
    sources = sorted(folder.glob("*/**/*.rs"))
    # A crate below this repository is not to be formatted as the repository is.
    usual = ["--config", "max_width=100,use_small_heuristics=Default"]
    command = ["rustfmt", "--check", "--edition", "2024", *usual, *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure("warns", f"rustfmt would write it otherwise: {done.stdout.strip()[:300]}")
    for path in sources:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST:
            raise Failure("warns", f"{path.name} has {lines} lines")


def build(args, folder, lock):
    """Compiles the example of a crate; gives the executable."""
    if lock.is_file():
        shutil.copy(lock, folder / "Cargo.lock")
    executable, said, failed = cargo(args, folder, "build", "--example", "run")
    if failed or executable is None:
        raise Failure("does not build", "\n".join(said[:3]) or failed)
    if said:
        raise Failure("warns", "\n".join(said[:3]))
    lint(args, folder)
    if not lock.is_file():
        shutil.copy(folder / "Cargo.lock", lock)
    return executable


def as_type(array, dtype):
    """An array for an input; NumPy has no bfloat16, so references hold such arrays as float32."""
    if dtype != "bf16" or array.dtype != np.float32:
        return array
    wide = array.view(np.uint32).astype(np.uint64)
    narrow = (wide + 0x7FFF + ((wide >> 16) & 1)) >> 16
    return narrow.astype(np.uint16).view("V2")


def save_tensors(path, tensors):
    """Writes a safetensors file."""
    header, chunks, at = {}, [], 0
    for name, array in tensors.items():
        if array.dtype == np.int8:
            array = array.astype(np.int16)
        if array.dtype.name not in ELEMENTS:
            raise Failure("no reference", f"inputs are {array.dtype.name}")
        data = np.ascontiguousarray(array).tobytes()
        header[name] = {
            "dtype": ELEMENTS[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [at, at + len(data)],
        }
        chunks.append(data)
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def load_tensors(path):
    """Reads a safetensors file; bfloat16 as float32."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    out = {}
    for name, entry in json.loads(data[8 : 8 + length]).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        raw, shape = data[begin:end], entry["shape"]
        if entry["dtype"] == "BF16":
            out[name] = widened(np.frombuffer(raw, "V2").reshape(shape), "bf16")
        else:
            out[name] = np.frombuffer(raw, ARRAYS[entry["dtype"]]).reshape(shape)
    return out


def run_crate(executable, feeds, scratch):
    """Runs the example of a crate."""
    given, made = scratch / "in.safetensors", scratch / "out.safetensors"
    save_tensors(given, feeds)
    made.unlink(missing_ok=True)
    command = [str(executable), str(given), str(made)]
    environment = {**os.environ, "RUST_BACKTRACE": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failure("does not run", "no end after 600 s") from None
    if done.returncode:
        raise Failure("does not run", done.stderr.strip()[-300:])
    return load_tensors(made)


def run_executor(args, path, feeds, scratch, fixed=()):
    """Runs a program in process."""
    given, made = scratch / "in.npz", scratch / "out.npz"
    np.savez(given, **feeds)
    made.unlink(missing_ok=True)
    run_as = ("--executor", "candle", "--inputs", given, "--outputs", made)
    said, status, stderr = airconv(args, "run", path, *fixed, *run_as)
    if status == 4:
        raise Failure("refused", refusal(said, stderr))
    if status:
        why = refusal(said, stderr)
        raise Failure("does not run", "; ".join(why))
    with np.load(made, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def widened(array, dtype):
    """An array that was read; of dtypes that NumPy lacks, which come as raw bytes, as float32."""
    if array.dtype.kind != "V" or dtype not in SMALL:
        return array
    return array.view(getattr(ml_dtypes, SMALL[dtype])).astype(np.float32)


def distance(got, want):
    """How far two arrays are apart, relative to the greatest magnitude of the second."""
    if got.shape != want.shape:
        raise Failure("differs", f"shape {list(got.shape)} instead of {list(want.shape)}")
    if want.dtype.kind not in "fiub" or want.size == 0:
        return 0.0
    if got.dtype.kind not in "fiub":
        raise Failure("differs", f"{got.dtype} instead of {want.dtype}")
    if want.dtype.kind in "iub" and np.array_equal(got, want):
        return 0.0
    got, want = got.astype(np.float64), want.astype(np.float64)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if (np.isfinite(got) != np.isfinite(want)).any() or (~same & ~np.isfinite(want)).any():
        raise Failure("differs", "not finite at other places")
    with np.errstate(invalid="ignore", over="ignore"):
        gap = np.where(same, 0.0, np.abs(got - want)).max(initial=0.0)
    largest = np.abs(want[np.isfinite(want)]).max(initial=0.0)
    return float(gap / max(largest, 1e-30))


def compare(outputs, reference, names):
    """The greatest distance from a reference, and the greatest that it has from itself."""
    want, other = (arrays_of(reference, kind, list(names)) for kind in ("out", "opt"))
    worst, floor, compared = 0.0, 0.0, 0
    for name, dtype in names.items():
        if name not in want or want[name].dtype.kind in "US":
            continue
        array = widened(want[name], dtype)
        if name not in outputs:
            raise Failure("differs", f"there is no output `{name}`")
        again, got = widened(other.get(name, array), dtype), widened(outputs[name], dtype)
        try:
            worst = max(worst, min(distance(got, array), distance(got, again)))
        except Failure as failure:
            raise Failure(failure.args[0], f"`{name}`: {failure.args[1]}") from None
        floor = max(floor, distance(again, array))
        compared += 1
    return worst, floor, compared


def judge(worst, floor, narrow):
    if worst <= max(CLOSE, floor):
        return "agrees"
    if worst <= NARROW.get(narrow, 0.0):
        return "agrees closely"
    return "differs"


def inputs_of(program, reference):
    """The inputs of a reference."""
    feeds = arrays_of(reference, "in", list(program["inputs"]))
    if any(array.dtype.kind in "USO" for array in feeds.values()):
        raise Failure("no reference", "inputs are text")
    return {name: as_type(array, program["inputs"][name]) for name, array in feeds.items()}


def run_all(execute, program, found):
    """Runs a model on each of its references: the verdict, the distance, and the floor."""
    worst, floor, compared = 0.0, 0.0, 0
    for reference in found:
        feeds = inputs_of(program, reference)
        apart, own, count = compare(execute(feeds), reference, program["outputs"])
        worst, floor, compared = max(worst, apart), max(floor, own), compared + count
    if not compared:
        raise Failure("no reference", "there is nothing to compare with")
    return judge(worst, floor, program["narrow"]), worst, floor


def attempt(args, name, path, found, scratch, last):
    """One model through all of it: its entry in the record; the last one where nothing changed."""
    entry = {"verdict": None, "distance": None, "floor": None}
    entry["made of"] = {"model": digest(path), "references": [digest(r) for r in found]}
    stem = re.sub("[^A-Za-z0-9]+", "_", name).lower()
    folder = args.work / "crates" / f"{stem}-candle"

    def compiled(feeds, fixed=()):
        if fixed:
            write_crate(args, path, folder, fixed)
        return run_crate(build(args, folder, args.work / "Cargo.lock"), feeds, scratch)

    def in_process(feeds, fixed=()):
        return run_executor(args, path, feeds, scratch, fixed)

    execute = in_process if args.executor else compiled
    try:
        program = inspect(args, path)
        entry["narrow"] = program["narrow"]
        try:
            if args.executor:
                entry["made of"]["airconv"] = digest(args.airconv)
            else:
                write_crate(args, path, folder)
                entry["made of"]["crate"] = tree_digest(folder)
            known = last is not None and last["made of"] == entry["made of"]
            if known and last["verdict"] in GOOD and not args.force:
                return last
            result = run_all(execute, program, found)
        except Failure as failure:
            if failure.args[0] != "refused" or "unknown rank" not in str(failure.args[1]):
                raise
            # Its inputs decide ranks: each case is a program of its own.
            entry["given"] = "sizes"

            def fixed(feeds):
                arguments, left = given(program, feeds)
                return execute(left, arguments)

            result = run_all(fixed, program, found)
        entry["verdict"], entry["distance"], entry["floor"] = result
    except Failure as failure:
        entry["verdict"], entry["why"] = failure.args
    for left in (args.work / "target/debug/examples").glob("run*"):
        left.unlink() if left.is_file() else shutil.rmtree(left)
    return entry


def tree_digest(folder):
    """A digest of all files of a folder."""
    parts = [f"{p.relative_to(folder)} {digest(p)}" for p in sorted(folder.rglob("*")) if p.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def attempt_all(args):
    """All models that are chosen, in the form that is asked for: {name: {form: entry}}."""
    chosen = models(args)
    if not chosen:
        raise CorpusError("no model found: run corpus/fetch.py and corpus/generate.py")
    (args.work / "crates").mkdir(parents=True, exist_ok=True)
    index = args.work / "record.json"
    record = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else {}
    form = IN_PROCESS if args.executor else AS_A_CRATE
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, path, found) in enumerate(chosen, 1):
            if args.no_attempt:
                break
            known = record.setdefault(name, {})
            known[form] = attempt(args, name, path, found, Path(scratch), known.get(form))
            write_json(index, record)
            print(f"[{number}/{len(chosen)}] {line(name, known[form])}", flush=True)
    return {name: record[name] for name, _, _ in chosen if name in record}


def line(name, entry):
    """An entry in a line."""
    apart = "" if entry["distance"] is None else f" {entry['distance']:.1e}"
    return f"{name}: {entry['verdict']}{apart} {remark(name, entry)}".rstrip()


def remark(name, entry):
    """What there is to say about an entry."""
    known = KNOWN.get(name) if entry["verdict"] == "differs" else None
    notes = [known, entry.get("narrow"), "with sizes given" if entry.get("given") else None]
    why = entry.get("why", ", ".join(note for note in notes if note))
    if isinstance(why, list):
        return "; ".join(why)
    return f"{why}; {known}" if known and "why" in entry else why


def missing(entries):
    """What is missing and in how many models, most frequent first."""
    count = collections.Counter()
    for entry in entries:
        if entry["verdict"] == "refused":
            count.update({re.sub(r" \(\d+ times\)", "", why) for why in entry["why"]})
    return sorted(count.items(), key=lambda item: (-item[1], item[0]))


def cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def verdict_cell(entry):
    """A verdict with the distance behind it."""
    if entry is None:
        return ""
    apart = "" if entry["distance"] is None else f" ({entry['distance']:.0e})"
    return f"{entry['verdict']}{apart}"


def share(results, form):
    """How many agree of those that could be judged."""
    tried = [r[form] for r in results.values() if form in r]
    judged = [e for e in tried if e["verdict"] != "no reference"]
    good = sum(entry["verdict"] in GOOD for entry in judged)
    return f"{good} of {len(judged)}"


def page(results):
    """The results as Markdown."""
    lines = [
        "# Models on candle",
        "",
        "What `corpus/candle_crates.py` found when it tried them. As crates, compiled and run,"
        f" {share(results, AS_A_CRATE)} give what ONNX Runtime or PyTorch gave; in process, by the"
        f" same calls, {share(results, IN_PROCESS)}.",
        "",
        f"*agrees*: within {CLOSE:.0e} of the greatest element, or as near as two runs of ONNX"
        " Runtime, optimised and not, are to each other. *agrees closely*: as near as programs are"
        " that compute in few bits (f16, bf16) or quantise between steps. *refused*: something is"
        " missing; all of it was named and nothing was written. In parentheses: the greatest"
        " difference relative to the greatest element. An empty cell was not tried.",
        "",
        "| model | as a crate | in process | |",
        "|---|---|---|---|",
    ]
    for name, forms in results.items():
        entries = [forms.get(form) for form in (AS_A_CRATE, IN_PROCESS)]
        notes = next((remark(name, e) for e in entries if e is not None), "")
        lines.append(f"| {cell(name)} | {' | '.join(map(verdict_cell, entries))} | {cell(notes)} |")
    last = [forms.get(AS_A_CRATE) or forms.get(IN_PROCESS) for forms in results.values()]
    absent = missing(last)
    if absent:
        lines += ["", "## What is missing", "", "| what | models |", "|---|---|"]
        lines += [f"| {cell(what)} | {count} |" for what, count in absent]
    return "\n".join(lines) + "\n"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--airconv", type=Path, default=ROOT / "target/fast/airconv")
    parser.add_argument("--executor", action="store_true", help="run in process, compile nothing")
    parser.add_argument("--match", default="", metavar="TEXT", help="names that contain it")
    parser.add_argument("--skip", default=[], action="append", metavar="TEXT", help="names without")
    parser.add_argument("--programs", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--references", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--exported", type=Path, action="append", metavar="DIR")
    parser.add_argument("--work", type=Path, default=STORE / "candle", metavar="DIR")
    parser.add_argument("--no-attempt", action="store_true", help="write what is on record only")
    parser.add_argument("--force", action="store_true", help="do all anew")
    parser.add_argument("--offline", action="store_true", help="cargo fetches nothing")
    parser.add_argument("--table", type=Path, metavar="FILE", help="write the results as a page")
    args = parser.parse_args(argv)
    args.exported = [FIXTURES] if args.exported is None else args.exported
    args.work = args.work.resolve()
    if not args.airconv.is_file():
        raise CorpusError(f"there is no {shown(args.airconv)}: build it with --features candle")
    results = attempt_all(args)
    if args.table:
        args.table.write_text(page(results), encoding="utf-8")
    form = IN_PROCESS if args.executor else AS_A_CRATE
    verdicts = collections.Counter(r[form]["verdict"] for r in results.values() if form in r)
    print(", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items())))
    return FAILED if set(verdicts) - {*GOOD, "refused", "no reference"} else DONE


if __name__ == "__main__":
    run(main)
