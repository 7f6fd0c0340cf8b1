#!/usr/bin/env python3
"""Lay out the ONNX backend node tests that the installed onnx package carries.

Each case becomes .corpus/node/CASE/ with model.onnx and test_data_set_N/*.pb, and
.corpus/node/index.json says what is in them. Files are hard links to those of the
package where the file system allows, files of equal content are stored once;
elsewhere they are copies. Nothing is done when the layout is already right.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import collections
import hashlib
import json
import os
import shutil
from pathlib import Path

import onnx
from onnx import AttributeProto, TensorProto

from common import DONE, STORE, CorpusError, run, shown, write_json

# Raised when the index or the layout changes, so that old ones are made anew.
LAYOUT = 1
# Tolerances of onnx's own test runner.
RTOL, ATOL = 1e-3, 1e-7
# Ops whose results come from a random generator that no two runtimes share.
RANDOM = {
    "Bernoulli",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def package_data():
    """The folder of node tests in the installed onnx package."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
    if not any(folder.glob("*/model.onnx")):
        raise CorpusError(
            f"onnx {onnx.__version__} has no node test files; "
            "run corpus/setup.sh and use .venv/bin/python"
        )
    return folder


class Linker:
    """Puts files in place: by hard link if it can, once per content."""

    def __init__(self):
        self.by_content = {}
        self.files = self.linked = 0

    def place(self, source, target):
        content = source.read_bytes()
        key = hashlib.blake2b(content, digest_size=16).digest()
        first = self.by_content.setdefault(key, source)
        self.files += 1
        try:
            os.link(first, target)
            self.linked += 1
        except OSError:  # another file system, or one link too many
            shutil.copyfile(source, target)
            self.by_content[key] = target


def lay_out(source, target, linker):
    """Copy one case; the folder appears under its name only when complete."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for file in sorted(source.rglob("*")):
        if file.is_file():
            place = partial / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            linker.place(file, place)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def nodes_of(nodes):
    """Nodes, and those of the graphs that they hold, at any depth."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from nodes_of(attribute.g.node)
            for graph in attribute.graphs:
                yield from nodes_of(graph.node)


def spell(kind):
    """A type in one word or a few: 'float', 'sequence of int64'."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        name = TensorProto.DataType.Name(getattr(kind, which).elem_type).lower()
        return name if which == "tensor_type" else f"sparse {name}"
    if which in ("sequence_type", "optional_type"):
        inner = spell(getattr(kind, which).elem_type)
        return f"{which.removesuffix('_type')} of {inner}"
    if which == "map_type":
        return f"map to {spell(kind.map_type.value_type)}"
    return "unknown"


def qualified(node):
    """DOMAIN::OP, or the op alone in the default domain."""
    return f"{node.domain}::{node.op_type}" if node.domain else node.op_type


def is_random(case, ops):
    """Whether the stored outputs hang on a random generator."""
    training_dropout = "Dropout" in ops and "training" in case and "zero" not in case
    return bool(RANDOM & set(ops)) or training_dropout


def describe(folder):
    """The index entry of one case."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    nodes = list(nodes_of(model.graph.node))
    for function in model.functions:
        nodes.extend(nodes_of(function.node))
    ops = sorted({qualified(node) for node in nodes})
    sets = sorted(folder.glob("test_data_set_*"))
    return {
        "ops": ops,
        "nodes": len(nodes),
        "ir_version": model.ir_version,
        "opset": {o.domain or "ai.onnx": o.version for o in model.opset_import},
        "inputs": {value.name: spell(value.type) for value in model.graph.input},
        "outputs": {value.name: spell(value.type) for value in model.graph.output},
        "expanded": "_expanded" in folder.name,
        "random": is_random(folder.name, ops),
        "data_sets": len(sets),
    }


def up_to_date(dest, names):
    """Whether an earlier run left exactly this layout."""
    try:
        index = json.loads((dest / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        index.get("layout") == LAYOUT
        and index.get("onnx") == onnx.__version__
        and list(index.get("cases", [])) == names
        and all((dest / name / "model.onnx").is_file() for name in names)
    )


def remove_strangers(dest, names):
    """Remove folders that belong to no case, and half-made ones."""
    wanted = set(names)
    for folder in dest.iterdir():
        if folder.is_dir() and folder.name not in wanted:
            shutil.rmtree(folder)


def summary(cases):
    """A few counts for people."""
    values = cases.values()
    opsets = collections.Counter(c["opset"].get("ai.onnx", "other") for c in values)
    common = ", ".join(f"{opset}: {n}" for opset, n in opsets.most_common(6))
    return (
        f"{len(cases)} cases, {sum(c['expanded'] for c in values)} of them expanded, "
        f"{sum(c['random'] for c in values)} random; "
        f"{len({op for c in values for op in c['ops']})} ops; opsets {common} ..."
    )


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--force", action="store_true", help="make it anew")
    parser.add_argument(
        "--dest",
        type=Path,
        default=STORE / "node",
        metavar="FOLDER",
        help="where cases go (default: .corpus/node)",
    )
    args = parser.parse_args(argv)
    data = package_data()
    names = sorted(path.parent.name for path in data.glob("*/model.onnx"))
    if not args.force and up_to_date(args.dest, names):
        print(f"{len(names)} node cases already in {shown(args.dest)}")
        return DONE
    args.dest.mkdir(parents=True, exist_ok=True)
    (args.dest / "index.json").unlink(missing_ok=True)
    remove_strangers(args.dest, names)
    linker, cases = Linker(), {}
    for name in names:
        lay_out(data / name, args.dest / name, linker)
        cases[name] = describe(data / name)
    index = {
        "layout": LAYOUT,
        "onnx": onnx.__version__,
        "rtol": RTOL,
        "atol": ATOL,
        "cases": cases,
    }
    write_json(args.dest / "index.json", index)
    print(summary(cases))
    print(
        f"{linker.files} files in {shown(args.dest)}, {linker.linked} as hard links, "
        f"{len(linker.by_content)} distinct"
    )
    return DONE


if __name__ == "__main__":
    run(main)
