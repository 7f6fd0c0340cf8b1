#!/usr/bin/env python3
"""Write the synthetic ONNX models that bench/convert measures with.

    large      4 GiB of weights in an external file, 64 layers
    small      the same graph with 1 MiB of weights
    empty      a single node, to subtract what every run costs
    nodes-10k, nodes-100k, nodes-1m
               graphs of that many nodes and hardly any weights

Weights are streamed and drawn from fixed seeds: little memory, the same bytes every
time. The protobuf messages are put together here, so that nothing but Python is needed.
A model that is already there is left alone.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import argparse
import os
import random
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEST = ROOT / ".corpus" / "bench"
FLOAT, EXTERNAL = 1, 1
LAYERS = 64
CHUNK = 1 << 22
GRAPHS = {"nodes-10k": 10_000, "nodes-100k": 100_000, "nodes-1m": 1_000_000}
WIDTHS = {"large": 4096, "small": 64}
MODELS = (*WIDTHS, "empty", *GRAPHS)


def varint(number):
    """An unsigned integer as protobuf writes it."""
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def field(number, value):
    """A field of a message: an integer, a text, or the bytes of another message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def node(op, inputs, output, name):
    """A NodeProto without attributes."""
    listed = b"".join(field(1, value) for value in inputs)
    return listed + field(2, output) + field(3, name) + field(4, op)


def value(name, dims):
    """A ValueInfoProto of a float tensor; dims are numbers or names."""
    shape = b"".join(
        field(1, field(1, dim) if isinstance(dim, int) else field(2, dim)) for dim in dims
    )
    return field(1, name) + field(2, field(1, field(1, FLOAT) + field(2, shape)))


def tensor(name, dims, raw=None, place=None):
    """A TensorProto with raw bytes, or with its (file, offset, length) elsewhere."""
    made = b"".join(field(1, dim) for dim in dims) + field(2, FLOAT) + field(8, name)
    if raw is not None:
        return made + field(9, raw)
    for key, entry in zip(("location", "offset", "length"), place, strict=True):
        made += field(13, field(1, key) + field(2, str(entry)))
    return made + field(14, EXTERNAL)


def model(nodes, inputs, outputs, tensors):
    """A ModelProto of operator set 17; the parts are encoded messages."""
    graph = bytearray()
    for number, group in ((1, nodes), (5, tensors), (11, inputs), (12, outputs)):
        for part in group:
            graph += field(number, part)
    graph += field(2, "synthetic")
    head = field(1, 8) + field(2, "airconv-bench") + field(8, field(1, "") + field(2, 17))
    return head + field(7, bytes(graph))


def floats(count, seed, fan_in):
    """Bytes of `count` floats of either sign, of a size that keeps a signal alive
    through layers of that fan-in: between 1 and 2 over its square root.
    """
    drawn = int.from_bytes(random.Random(seed).randbytes(4 * count), "little")
    keep = int.from_bytes(b"\xff\xff\x7f\x80" * count, "little")
    bits = (127 - (fan_in.bit_length() - 1) // 2) << 23
    exponent = int.from_bytes(bits.to_bytes(4, "little") * count, "little")
    return (drawn & keep | exponent).to_bytes(4 * count, "little")


def layered(name, width):
    """A stack of products and activations, its weights in NAME.bin."""
    size = 4 * width * width
    nodes, tensors, last = [], [], "x"
    for layer in range(LAYERS):
        tensors.append(
            tensor(f"w{layer}", (width, width), place=(f"{name}.bin", layer * size, size))
        )
        nodes.append(node("MatMul", (last, f"w{layer}"), f"p{layer}", f"product_{layer}"))
        nodes.append(node("Relu", (f"p{layer}",), f"r{layer}", f"relu_{layer}"))
        last = f"r{layer}"
    ends = [value("x", ("batch", width))], [value(last, ("batch", width))]
    return model(nodes, *ends, tensors)


def empty():
    """A model of one node."""
    return model([node("Neg", ("x",), "y", "only")], [value("x", (4,))], [value("y", (4,))], [])


def wide_block(index, last):
    """Ten nodes that depend on the block before, named as exporters name them."""
    scope = f"/model/layers.{index}"
    plan = (
        ("Mul", (last, "gain"), "a"),
        ("Add", ("a", "shift"), "b"),
        ("Tanh", ("b",), "c"),
        ("Sigmoid", ("b",), "d"),
        ("Mul", ("c", "d"), "e"),
        ("Reshape", ("e", "halves"), "f"),
        ("ReduceMax", ("f",), "g"),
        ("Sub", ("f", "g"), "h"),
        ("Reshape", ("h", "whole"), "i"),
        ("Add", ("i", last), "j"),
    )
    shared = {"gain", "shift", "halves", "whole", last}
    for op, inputs, output in plan:
        named = [name if name in shared else f"{scope}/{name}" for name in inputs]
        yield node(op, named, f"{scope}/{output}", f"{scope}/{op}_{output}")


def int64s(name, numbers):
    """A TensorProto of a vector of int64."""
    raw = b"".join(number.to_bytes(8, "little", signed=True) for number in numbers)
    return field(1, len(numbers)) + field(2, 7) + field(8, name) + field(9, raw)


def many_nodes(count):
    """A deep graph of blocks, `count` nodes in all."""
    blocks = count // 10
    nodes, last = [], "x"
    for index in range(blocks):
        nodes.extend(wide_block(index, last))
        last = f"/model/layers.{index}/j"
    weights = [
        tensor("gain", (16,), floats(16, seed=1, fan_in=4)),
        tensor("shift", (16,), floats(16, seed=2, fan_in=4)),
        int64s("halves", (-1, 2, 8)),
        int64s("whole", (-1, 16)),
    ]
    return model(nodes, [value("x", ("batch", 16))], [value(last, ("batch", 16))], weights)


def stream_weights(path, total, fan_in):
    """Write `total` bytes of weights, a chunk at a time."""
    partial = path.with_name(path.name + ".partial")
    live = sys.stdout.isatty() and total > 1 << 26
    with partial.open("wb") as file:
        for start in range(0, total, CHUNK):
            file.write(floats(min(CHUNK, total - start) // 4, start, fan_in))
            if live:
                print(
                    f"\r{path.name} {start >> 20} of {total >> 20} MiB\x1b[K",
                    end="",
                    flush=True,
                )
    if live:
        print("\r\x1b[K", end="")
    os.replace(partial, path)


def ensure(name, dest=DEST):
    """Write a model unless it is there; returns its path and whether it was written."""
    dest.mkdir(parents=True, exist_ok=True)
    path = dest / f"{name}.onnx"
    weights = path.with_suffix(".bin")
    size = 4 * WIDTHS[name] ** 2 * LAYERS if name in WIDTHS else 0
    there = path.is_file() and (
        not size or weights.is_file() and weights.stat().st_size == size
    )
    if there:
        return path, False
    if shutil.disk_usage(dest).free < 2 * size:
        raise OSError(f"not enough room for {name} in {dest}")
    if size:
        stream_weights(weights, size, WIDTHS[name])
    if name in WIDTHS:
        content = layered(name, WIDTHS[name])
    else:
        content = many_nodes(GRAPHS[name]) if name in GRAPHS else empty()
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
    return path, True


def choose(text, known, ensure, argv=None):
    """What both generators do when they are run: write the models that are named, or all."""
    parser = argparse.ArgumentParser(
        description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    parser.add_argument(
        "--dest", type=Path, default=DEST, metavar="FOLDER", help="default: .corpus/bench"
    )
    args = parser.parse_args(argv)
    unknown = set(args.names) - set(known)
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    for name in args.names or known:
        try:
            path, written = ensure(name, args.dest)
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        files = [path, path.with_suffix(".bin")]
        size = sum(file.stat().st_size for file in files if file.is_file())
        print(
            f"{'wrote' if written else 'kept '} {name:15} {size / 2**20:9.2f} MiB", flush=True
        )
    return 0


if __name__ == "__main__":
    sys.exit(choose(__doc__, MODELS, ensure))
