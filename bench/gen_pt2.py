#!/usr/bin/env python3
"""Write the synthetic archives of torch.export that bench/convert measures with.

    exported-large   1 GiB of weights, 64 layers
    exported-small   the same graph with 1 MiB of weights

The archives are put together here as PyTorch 2.13 lays them out, so that nothing but Python is
needed; PyTorch loads and runs them. Weights are streamed and drawn from fixed seeds: little
memory, the same bytes every time. A model that is already there is left alone.

Exit status: 0 done, 1 failed, 2 wrong usage.
"""

import json
import os
import shutil
import struct
import sys
import zipfile
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
from gen_large import CHUNK, DEST, LAYERS, choose, floats  # noqa: E402

WIDTHS = {"exported-large": 2048, "exported-small": 64}
F32, STRIDED, ALIGNMENT = 7, 7, 64
BATCH = {"as_expr": {"expr_str": "Symbol('s0', positive=True, integer=True)", "hint": {"as_int": 2}}}


def integer(number):
    return {"as_int": number}


def tensor(name):
    return {"as_tensor": {"name": name}}


def meta(sizes, strides):
    """What an archive says of a tensor; sizes are numbers or BATCH."""
    return {
        "dtype": F32,
        "sizes": [integer(s) if isinstance(s, int) else s for s in sizes],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [integer(s) for s in strides],
        "storage_offset": integer(0),
        "layout": STRIDED,
    }


def call(operator, arguments, result):
    """A node of one result."""
    return {
        "target": f"torch.ops.aten.{operator}.default",
        "inputs": [{"name": name, "arg": tensor(arg), "kind": 1} for name, arg in arguments],
        "outputs": [tensor(result)],
        "metadata": {},
        "is_hop_single_tensor_return": None,
        "name": result,
    }


def tree(kind, children):
    context = {"builtins.tuple": "null", "builtins.dict": "[]"}.get(kind)
    return {"type": kind, "context": context, "children_spec": children}


def program(width):
    """A stack of linear layers and activations."""
    leaf = tree(None, [])
    given = tree("builtins.tuple", [tree("builtins.tuple", [leaf]), tree("builtins.dict", [])])
    square, rows = meta([width, width], [width, 1]), meta([BATCH, width], [width, 1])
    values, nodes, last = {"x": rows}, [], "x"
    for layer in range(LAYERS):
        values[f"p_{layer}"] = square
        values[f"linear_{layer}"] = values[f"relu_{layer}"] = rows
        arguments = (("input", last), ("weight", f"p_{layer}"))
        nodes.append(call("linear", arguments, f"linear_{layer}"))
        nodes.append(call("relu", (("self", f"linear_{layer}"),), f"relu_{layer}"))
        last = f"relu_{layer}"
    parameters = [
        {"parameter": {"arg": {"name": f"p_{i}"}, "parameter_name": f"layers.{i}.weight"}}
        for i in range(LAYERS)
    ]
    graph = {
        "inputs": [tensor(f"p_{i}") for i in range(LAYERS)] + [tensor("x")],
        "outputs": [tensor(last)],
        "nodes": nodes,
        "tensor_values": values,
        "sym_int_values": {},
        "sym_bool_values": {},
        "sym_float_values": {},
        "custom_obj_values": {},
        "is_single_tensor_return": False,
    }
    signature = {
        "inputs": [],
        "outputs": [],
        "in_spec": json.dumps([1, given]),
        "out_spec": json.dumps([1, leaf]),
        "forward_arg_names": ["x"],
    }
    return {
        "graph_module": {
            "graph": graph,
            "signature": {
                "input_specs": parameters + [{"user_input": {"arg": tensor("x")}}],
                "output_specs": [{"user_output": {"arg": tensor(last)}}],
            },
            "module_call_graph": [{"fqn": "", "signature": signature}],
            "metadata": {},
            "treespec_namedtuple_fields": {},
        },
        "opset_version": {"aten": 10},
        "range_constraints": {"s0": {"min_val": 1, "max_val": 1024}},
        "schema_version": {"major": 8, "minor": 20},
        "verifiers": ["ATEN"],
        "torch_version": "2.13.0",
        "guards_code": [],
    }


def entry(archive, root, name):
    """A stored entry whose data begins at a multiple of 64 bytes."""
    info = zipfile.ZipInfo(f"{root}/{name}")
    begin = archive.fp.tell() + 30 + len(info.filename.encode())
    fill = (-begin - 4) % ALIGNMENT
    info.extra = b"FB" + struct.pack("<H", fill) + b"Z" * fill
    return info


def write(path, root, width):
    """Write an archive, its weights a chunk at a time."""
    square = meta([width, width], [width, 1])
    payload = {"is_param": True, "use_pickle": False, "tensor_meta": square}
    config = {
        f"layers.{i}.weight": payload | {"path_name": f"weight_{i}"} for i in range(LAYERS)
    }
    size = 4 * width * width
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:

        def put(name, text):
            archive.writestr(entry(archive, root, name), text)

        for layer in range(LAYERS):
            info = entry(archive, root, f"data/weights/weight_{layer}")
            info.file_size = size
            with archive.open(info, "w") as out:
                for start in range(0, size, CHUNK):
                    count = min(CHUNK, size - start) // 4
                    out.write(floats(count, layer * size + start, width))
        put("data/weights/model_weights_config.json", json.dumps({"config": config}))
        put("data/constants/model_constants_config.json", json.dumps({"config": {}}))
        put("models/model.json", json.dumps(program(width)))
        put("data/sample_inputs/model.pt", "")
        put("archive_format", "pt2")
        put("archive_version", "0")
        put(".data/version", "6\n")
        put("byteorder", "little")


def ensure(name, dest=DEST):
    """Write an archive unless it is there; returns its path and whether it was written."""
    dest.mkdir(parents=True, exist_ok=True)
    path = dest / f"{name}.pt2"
    if path.is_file():
        return path, False
    if shutil.disk_usage(dest).free < 8 * WIDTHS[name] ** 2 * LAYERS:
        raise OSError(f"not enough room for {name} in {dest}")
    partial = path.with_name(path.name + ".partial")
    write(partial, name, WIDTHS[name])
    os.replace(partial, path)
    return path, True


if __name__ == "__main__":
    sys.exit(choose(__doc__, WIDTHS, ensure))
