#!/usr/bin/env python3
"""What becomes of the cases that torch_cases.py makes: a page, and a sample for the tests.

usage: torch_operators.py page CASES RESULTS > converters/torch/OPERATORS.md
       torch_operators.py pack CASES converters/torch/tests/data/operators.zip

CASES is the folder of cases, RESULTS what the example `torch_cases` printed about it. The
sample has one case per operator, without what a program says about where it was traced; equal
cases make equal bytes. Standard library only.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import collections
import io
import json
import re
import sys
import zipfile
import zlib
from pathlib import Path

LARGEST = 48 << 10
EPOCH = (1980, 1, 1, 0, 0, 0)


CASE = re.compile(r"__(f32|i64|bool|f64|f16|bf16|c64|i32|u8)_\d+(\.d)?(\.pt2)?$")


def operator_of(case):
    """The entry of the database that a case is of."""
    return CASE.sub("", case)


def dtype_of(case):
    """The dtype of the arguments of a case."""
    match = CASE.search(case)
    return match[1] if match else "-"


# The page.


def verdicts(path):
    """(verdict, case, reason) of every line of the results."""
    for line in path.read_text().splitlines():
        if match := re.match(r"(pass|refused|WRONG) (\S+?)\.pt2:? ?(.*)", line):
            yield match.groups()


def short_reason(reason):
    """What stands in the way, without counts and names of values."""
    parts = []
    for part in reason.split("; "):
        part = re.sub(r" cannot be read( \(\d+ times\))?", "", part)
        part = re.sub(r": there is no rule for it", ": no rule", part)
        parts.append(part)
    return "; ".join(dict.fromkeys(parts))


def not_exported(folder):
    """How often PyTorch could not make a case, by reason."""
    reasons = collections.Counter()
    for path in sorted(folder.glob("status*.jsonl")):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry["status"] not in ("begun", "all", "ok", "random"):
                reasons[f"{entry['status']}: {entry.get('reason', '').split(':')[0]}"] += 1
    return reasons


def rows(counts):
    """Rows of a table of counts, the greatest first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"| {count} | {what} |" for what, count in ordered]


def page(folder, results):
    """The page as text."""
    by_operator = collections.defaultdict(collections.Counter)
    by_dtype = collections.defaultdict(collections.Counter)
    reasons = collections.defaultdict(set)
    blocking = collections.Counter()
    for verdict, case, reason in verdicts(results):
        operator = operator_of(case)
        by_operator[operator][verdict] += 1
        by_dtype[dtype_of(case)][verdict] += 1
        if verdict != "pass":
            text = short_reason(reason)
            reasons[operator].add(text)
            for part in set(text.split("; ")):
                blocking[part] += 1
    counts = sum(by_operator.values(), collections.Counter())
    total = sum(counts.values())
    passing = sum(1 for c in by_operator.values() if set(c) == {"pass"})
    some = sum(1 for c in by_operator.values() if c["pass"])
    lines = [
        "# PyTorch operators",
        "",
        "Made by `corpus/torch_operators.py` from PyTorch's database of operators: up to three",
        "seeded samples of arguments per operator and dtype are exported by `torch.export`, as",
        "they are and decomposed, read, run on the interpreter, and compared with what PyTorch",
        "gave.",
        "",
        f"{total} cases of {len(by_operator)} operators: {counts['pass']} pass "
        f"({100 * counts['pass'] / max(total, 1):.1f} %), {counts['refused']} are refused, "
        f"{counts['WRONG']} are wrong. Of {passing} operators all cases pass, of {some} some.",
        "",
        "| dtype | cases | pass | refused | wrong |",
        "|---|---|---|---|---|",
    ]
    for dtype, count in sorted(by_dtype.items()):
        numbers = [sum(count.values()), count["pass"], count["refused"], count["WRONG"]]
        lines.append(f"| {dtype} | " + " | ".join(map(str, numbers)) + " |")
    lines += [
        "",
        "## What stands in the way",
        "",
        "| cases | reason |",
        "|---|---|",
    ]
    lines += rows(blocking)
    lines += ["", "## What PyTorch does not export", "", "| cases | reason |", "|---|---|"]
    lines += rows(not_exported(folder))
    lines += ["", "## By operator", "", "| operator | pass | of | refused |", "|---|---|---|---|"]
    for name in sorted(by_operator):
        count = by_operator[name]
        why = "<br>".join(sorted(reasons[name]))
        mark = " **wrong**" if count["WRONG"] else ""
        lines.append(f"| `{name}` | {count['pass']} | {sum(count.values())} | {why}{mark} |")
    return "\n".join(lines) + "\n"


# The sample.


def stored(files, method):
    """A zip archive of these files, the same bytes every time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zip_file:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = method
            zip_file.writestr(info, data, compresslevel=9)
    return out.getvalue()


def without_origin(graph):
    """Leaves out what a graph says about where its nodes come from."""
    for node in graph["nodes"]:
        node["metadata"] = {}
        for item in node["inputs"]:
            if "as_graph" in item["arg"]:
                without_origin(item["arg"]["as_graph"]["graph"])


def slim(path):
    """A program with what reading it needs."""
    files = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            inner = name.split("/", 1)[1]
            if inner.startswith("data/sample_inputs"):
                continue
            data = archive.read(name)
            if inner == "models/model.json":
                program = json.loads(data)
                without_origin(program["graph_module"]["graph"])
                program.pop("guards_code", None)
                data = json.dumps(program, separators=(",", ":"), sort_keys=True).encode()
            files[f"case/{inner}"] = data
    return stored(files, zipfile.ZIP_STORED)


def renewed(path):
    """An .npz without the time at which it was written."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return stored(files, zipfile.ZIP_STORED)


def reference(path):
    """The file with inputs and outputs of a case."""
    return path.with_name(path.name.split(".")[0] + ".npz")


def is_whole(path):
    """Whether a program was written to its end."""
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("models/model.json") for name in archive.namelist())


def sample(folder):
    """One small case per operator: any dtype and form, by the checksum of the operator's name."""
    by_operator = collections.defaultdict(list)
    for path in sorted(folder.glob("*.pt2")):
        if not is_whole(path):
            continue
        other = reference(path)
        if other.is_file() and path.stat().st_size + other.stat().st_size < LARGEST:
            by_operator[operator_of(path.name)].append(path)
    for name, paths in sorted(by_operator.items()):
        # Every second case is of f32, as most programs are.
        plain = [p for p in paths if "__f32_" in p.name] or paths
        number = zlib.crc32(name.encode())
        choice = plain if number & 1 else paths
        yield choice[(number >> 1) % len(choice)]


def pack(folder, target):
    """Writes the sample; gives the number of cases."""
    files = {}
    for path in sample(folder):
        name = path.name.removesuffix(".pt2").replace(".", "~")
        files[f"{name}.pt2"] = slim(path)
        files[f"{name}.npz"] = renewed(reference(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(stored(files, zipfile.ZIP_DEFLATED))
    return len(files) // 2


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["page", "pack"])
    parser.add_argument("cases", type=Path)
    parser.add_argument("other", type=Path, help="results of the cases, or the archive to write")
    args = parser.parse_args()
    if args.what == "page":
        sys.stdout.write(page(args.cases, args.other))
    else:
        print(f"{pack(args.cases, args.other)} cases in {args.other}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
