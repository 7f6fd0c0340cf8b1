#!/usr/bin/env python3
"""Write small ONNX models, one for each corner of the format that needs testing.

They cover subgraphs and captures, sequences and optionals, local functions, text, the
ways to store weights, types of two to eight bits, unusual names and dims, operators of
other domains, and subgraphs that optimisation passes look for. Seeds are fixed, so a
file has the same bytes whenever it is written. Each model lies in .corpus/generated/NAME.onnx with
NAME.recipe.json, the recipe for its inputs (inputs.py); "cannot_run" in it says why
ONNX Runtime does not run the model.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import fnmatch
import os
from pathlib import Path

from onnx import TensorProto, checker

from common import DONE, FAILED, STORE, run, shown, write_json
from drafts import MAKERS, Draft

# The most bytes of a model.
LIMIT = 200_000


def externalise(model, dest, stem):
    """Move the weights named w_a* and w_b* of a model into two files beside it."""
    files = {"w_a": bytearray(), "w_b": bytearray(b"\0" * 64)}
    names = {key: f"{stem}_{key[-1]}.bin" for key in files}
    for tensor in model.graph.initializer:
        key = tensor.name[:3]
        if key not in files:
            continue
        content, raw = files[key], tensor.raw_data
        content += bytes(-len(content) % 256)
        place = {"location": names[key], "offset": len(content), "length": len(raw)}
        if tensor.name == "w_a0":
            del place["offset"]  # at the start, so it may be left out
        for entry, value in place.items():
            tensor.external_data.add(key=entry, value=str(value))
        tensor.data_location = TensorProto.EXTERNAL
        tensor.ClearField("raw_data")
        content += raw
    for key, content in files.items():
        replace(dest / names[key], bytes(content))


def replace(path, content):
    """Write a file unless it already holds this; never leaves half of it."""
    if path.is_file() and path.read_bytes() == content:
        return False
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
    return True


def write(name, function, dest):
    """Make one model, check it, write it with its recipe; returns a line to print."""
    draft = Draft(name)
    recipe = {"dims": {}, **function(draft)}
    model = draft.model()
    finish = recipe.pop("finish", None)
    if finish:
        finish(model)
    if recipe.pop("external", False):
        externalise(model, dest, name)
    content = model.SerializeToString(deterministic=True)
    if len(content) >= LIMIT:
        raise ValueError(f"{len(content)} bytes, more than {LIMIT}")
    path = dest / f"{name}.onnx"
    changed = replace(path, content)
    recipe["about"] = " ".join(function.__doc__.split())
    write_json(dest / f"{name}.recipe.json", recipe)
    if "unchecked" not in recipe:
        checker.check_model(str(path))
    note = "  (ONNX Runtime cannot run it)" if "cannot_run" in recipe else ""
    return f"{'wrote' if changed else 'kept '} {len(content):6}  {name}{note}"


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="list the models and stop")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names that match")
    parser.add_argument("--quiet", action="store_true", help="print only failures and counts")
    parser.add_argument(
        "--dest",
        type=Path,
        default=STORE / "generated",
        metavar="FOLDER",
        help="where models go (default: .corpus/generated)",
    )
    args = parser.parse_args(argv)
    chosen = {n: f for n, f in sorted(MAKERS.items()) if fnmatch.fnmatch(n, args.only)}
    if not chosen:
        parser.error(f"no model matches {args.only!r}")
    if args.list:
        for name, function in chosen.items():
            print(f"{name}: {' '.join(function.__doc__.split())}")
        return DONE
    args.dest.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, function in chosen.items():
        try:
            line = write(name, function, args.dest)
            if not args.quiet:
                print(line, flush=True)
        except Exception as error:
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
    print(f"{len(chosen) - failed} of {len(chosen)} models in {shown(args.dest)}")
    return FAILED if failed else DONE


if __name__ == "__main__":
    run(main)
