#!/usr/bin/env python3
"""Writes small exported programs with PyTorch's own outputs, for the tests of the reader.

usage: torch_models.py FOLDER [NAME ...]

For each model below: FOLDER/NAME.pt2, the same after run_decompositions() as NAME.core.pt2 where
that says something new, and NAME.npz with in_0 ... and out_0 ... by position and what buffers
hold afterwards as state_...; a model with dynamic sizes also has NAME.other.npz with inputs of
other sizes. Everything is seeded. Entries of the archives that a reader has no use for (stack
traces) are left out to keep the files small. `shared` is also written in the containers of
PyTorch 2.5 and 2.8, as old_plain.pt2 and old_named.pt2.

Needs torch (see torch_setup.sh); the files that the tests use are kept in
converters/torch/tests/data, so that running them needs no Python.
"""

import io
import json
import sys
import warnings
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional as F
from torch.utils import _pytree as pytree

warnings.filterwarnings("ignore")
torch.set_num_threads(1)

MODELS = {}


@dataclass
class Example:
    """A module, its arguments, other arguments of other sizes, and what torch.export is told."""

    module: nn.Module
    args: tuple
    other: tuple | None = None
    dynamic: object = None
    core: bool = False
    kwargs: dict = field(default_factory=dict)


def model(function):
    MODELS[function.__name__] = function
    return function


@model
def conv_net():
    """Convolution, batch normalization, pooling, a flattened head; any batch."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.Conv2d(4, 6, 3, stride=2, groups=2),
        nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    )
    net[1].running_mean.uniform_(-1, 1)
    net[1].running_var.uniform_(0.5, 2)
    x, other = torch.randn(2, 3, 11, 9), torch.randn(5, 3, 11, 9)
    return Example(net.eval(), (x,), (other,), ({0: Dim.DYNAMIC},), core=True)


@model
def transformer():
    """An encoder layer with a padding mask; any batch and length."""

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(20, 8)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, activation="gelu")

        def forward(self, ids, keep):
            mask = (keep == 0)[:, None, None, :].logical_not()
            x = self.table(ids) + torch.arange(ids.shape[1]).float()[:, None] * 0.1
            q, k, v = F.linear(
                x, self.layer.self_attn.in_proj_weight, self.layer.self_attn.in_proj_bias
            ).chunk(3, -1)
            heads = [t.unflatten(-1, (2, 4)).transpose(1, 2) for t in (q, k, v)]
            y = F.scaled_dot_product_attention(*heads, attn_mask=mask)
            x = self.layer.norm1(x + self.layer.self_attn.out_proj(y.transpose(1, 2).flatten(2)))
            return self.layer.norm2(x + self.layer.linear2(F.gelu(self.layer.linear1(x))))

    def args(batch, length):
        keep = torch.ones(batch, length, dtype=torch.int64)
        keep[0, length - 2 :] = 0
        return torch.randint(0, 20, (batch, length)), keep

    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    return Example(Encoder().eval(), args(2, 5), args(3, 9), (both, both), core=True)


@model
def lstm():
    """Two layers in both directions, batch first; any batch."""

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(4, 3, 2, bidirectional=True, batch_first=True)
            self.gru = nn.GRU(6, 2, bias=False)

        def forward(self, x):
            y, (h, c) = self.rnn(x)
            z, _ = self.gru(y.transpose(0, 1))
            return z, h, c

    x, other = torch.randn(2, 5, 4), torch.randn(3, 5, 4)
    return Example(Tagger(), (x,), (other,), ({0: Dim.DYNAMIC},))


@model
def control_flow():
    """A branch and a loop that depend on data."""

    class Flow(nn.Module):
        def forward(self, x, n):
            y = torch.cond(x.sum() > 0, lambda x: x * 2, lambda x: x - 1, (x,))

            def again(i, y):
                return i < n

            def step(i, y):
                return i + 1, y * 0.5 + 1

            i, y = torch._higher_order_ops.while_loop(again, step, (torch.zeros_like(n), y))
            return y, i

    return Example(
        Flow(),
        (torch.ones(2, 3), torch.tensor(4)),
        (-torch.ones(4, 3), torch.tensor(0)),
        ({0: Dim.DYNAMIC}, None),
    )


@model
def mapped():
    """`map` over rows and `scan` along steps."""
    from torch._higher_order_ops.map import map as torch_map
    from torch._higher_order_ops.scan import scan

    class Mapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3) * 0.3)

        def forward(self, x, h):
            rows = torch_map(lambda row, w: torch.tanh(row @ w), x, self.weight)
            last, all_sums = scan(lambda c, r: (c * 0.5 + r, c + r), h, rows)
            return rows, last, all_sums

    return Example(Mapped(), (torch.randn(4, 3), torch.zeros(3)))


@model
def counter():
    """Buffers that are written to: a running sum, a count, a ring of rows."""

    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("sum", torch.zeros(3))
            self.register_buffer("count", torch.tensor(0))
            self.register_buffer("rows", torch.zeros(4, 3), persistent=False)

        def forward(self, x):
            self.sum.add_(x.sum(0))
            self.count += x.shape[0]
            self.rows[1:3].copy_(x[:2])
            self.rows.view(-1)[0] = 7.0
            return self.sum / self.count, self.rows.t() * 2

    return Example(Counter(), (torch.randn(5, 3),))


@model
def training_step():
    """Batch normalization in training mode moves its statistics."""
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU())
    return Example(net.train(), (torch.randn(4, 2, 6),), core=True)


@model
def nested():
    """Inputs and outputs in lists and dictionaries, a number, a flag and nothing."""

    class Nested(nn.Module):
        def forward(self, x, pair, named, scale=2.0, flag=True, absent=None):
            a, b = pair
            total = x + a * scale + named["bias"]
            if flag and absent is None:
                total = total - b
            return {"total": total, "parts": [a * 1.0, (b, named["bias"].relu())]}

    def args(n):
        return torch.randn(n, 3), [torch.randn(n, 3), torch.randn(3)], {"bias": torch.randn(3)}

    batch = {0: Dim.DYNAMIC}
    dynamic = {"x": batch, "pair": [batch, None], "named": {"bias": None}}
    dynamic |= {"scale": None, "flag": None, "absent": None}
    return Example(Nested(), (*args(2), 0.5, True, None), (*args(4), 0.5, True, None), dynamic)


@model
def sizes():
    """Arithmetic of sizes: padding to a multiple, halves, products, comparisons."""

    class Sizes(nn.Module):
        def forward(self, x, y):
            n, m = x.shape[0], y.shape[0]
            padded = F.pad(x, (0, 0, 0, (4 - n % 4) % 4))
            blocks = padded.reshape(-1, 4, x.shape[1]).sum(1)
            scaled = x * (n**0.5) / max(n, 3)
            both = torch.cat([x[: n // 2], y[m // 3 :]])
            grid = torch.arange(n)[:, None] * m + torch.arange(m)
            return blocks, scaled, both, grid, x.new_full((n + m,), n * m)

    def args(n, m):
        return torch.randn(n, 2), torch.randn(m, 2)

    rows = {0: Dim.DYNAMIC}
    return Example(Sizes(), args(6, 5), args(9, 4), (rows, rows))


@model
def unbacked():
    """Sizes that only a run can tell."""

    class Unbacked(nn.Module):
        def forward(self, x, n):
            kept = x[x > 0]
            count = n.item()
            torch._check(count >= 1)
            torch._check(count <= 8)
            return kept * 2, torch.ones(count, 2).cumsum(0), torch.nonzero(x)

    return Example(
        Unbacked(),
        (torch.tensor([1.0, -1, 2, 3]), torch.tensor(3)),
        (torch.tensor([-1.0, -1, 2, 0]), torch.tensor(5)),
    )


@model
def shared():
    """Weights that share memory, are transposed, or are of narrow dtypes."""

    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.randn(3, 4))
            self.b = nn.Parameter(self.a.data.t())
            self.c = nn.Parameter(self.a.data[1:])
            self.register_buffer("f16", torch.randn(4).half())
            self.register_buffer("bf16", torch.randn(4).bfloat16())
            self.register_buffer("mask", torch.tensor([True, False, True, True]))
            self.register_buffer("u8", torch.arange(4, dtype=torch.uint8))

        def forward(self, x):
            y = x @ self.b + (self.f16.float() @ self.c.t()).sum()
            y = y + (self.bf16.float() * self.mask).sum() + self.u8.sum()
            return y @ self.a

    return Example(Shared(), (torch.randn(2, 4),))


def leaves(value):
    """Tensors and numbers of a nest, as arrays."""
    out = []
    for leaf in pytree.tree_leaves(value):
        if isinstance(leaf, torch.Tensor):
            leaf = leaf.detach()
            out.append((leaf.float() if leaf.dtype == torch.bfloat16 else leaf).numpy().copy())
        elif not isinstance(leaf, (bool, float, type(None))):
            out.append(np.asarray(leaf))
    return out


def write_reference(path, module, example, args):
    before = {name: b.clone() for name, b in module.named_buffers()}
    inputs = leaves((args, example.kwargs))
    with torch.no_grad():
        outputs = leaves(module(*args, **example.kwargs))
    arrays = {f"in_{i}": a for i, a in enumerate(inputs)}
    arrays |= {f"out_{i}": a for i, a in enumerate(outputs)}
    for name, buffer in module.named_buffers():
        if not torch.equal(buffer, before[name]):
            arrays[f"state_{name}"] = buffer.numpy().copy()
        buffer.copy_(before[name])
    np.savez_compressed(path, **arrays)


def thin(path):
    """The archive without what a reader has no use for, compressed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            if name.endswith("/models/model.json"):
                data = json.dumps(without_traces(json.loads(data))).encode()
            elif name.endswith("/sample_inputs/model.pt"):
                data = b""
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def write_old_containers(folder, path, module):
    """The program of an archive with its tensors pickled, as in older versions."""
    with zipfile.ZipFile(path) as archive:
        program = json.loads(archive.read(f"{path.stem}/models/model.json"))
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    weights = buffer.getvalue()
    buffer = io.BytesIO()
    torch.save({}, buffer)
    constants = buffer.getvalue()
    named = {
        "m/archive_format": b"pt2",
        "m/models/model.json": json.dumps(program | {"schema_version": {"major": 8, "minor": 8}}),
        "m/data/weights/model.pt": weights,
        "m/data/constants/model.pt": constants,
    }
    program["schema_version"] = {"major": 7, "minor": 3}
    plain = {
        "version": "7.3",
        "serialized_exported_program.json": json.dumps(with_empty_tuples(program)),
        "serialized_state_dict.pt": weights,
        "serialized_constants.pt": constants,
        "serialized_example_inputs.pt": constants,
    }
    for name, entries in (("old_plain", plain), ("old_named", named)):
        with zipfile.ZipFile(folder / f"{name}.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in entries.items():
                archive.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), data)


def with_empty_tuples(value):
    """Before schema 8, nothing was an empty tuple."""
    if isinstance(value, dict):
        return {k: [] if k == "as_none" else with_empty_tuples(v) for k, v in value.items()}
    if isinstance(value, list):
        return [with_empty_tuples(v) for v in value]
    return value


def without_traces(value):
    if isinstance(value, dict):
        return {k: without_traces(v) for k, v in value.items() if k not in ("stack_trace", "torch_fn")}
    if isinstance(value, list):
        return [without_traces(v) for v in value]
    return value


def write(folder, name):
    torch.manual_seed(0)
    example = MODELS[name]()
    module = example.module
    with torch.no_grad():
        program = torch.export.export(
            module, example.args, example.kwargs or None, dynamic_shapes=example.dynamic
        )
    path = folder / f"{name}.pt2"
    torch.export.save(program, path)
    thin(path)
    if example.core:
        path = folder / f"{name}.core.pt2"
        torch.export.save(program.run_decompositions(), path)
        thin(path)
    if name == "shared":
        write_old_containers(folder, path, module)
    write_reference(folder / f"{name}.npz", module, example, example.args)
    if example.other is not None:
        write_reference(folder / f"{name}.other.npz", module, example, example.other)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name in sys.argv[2:] or MODELS:
        try:
            write(folder, name)
            print(name)
        except Exception as error:  # noqa: BLE001
            failed += 1
            print(f"{name}: {type(error).__name__}: {error}"[:2000])
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
