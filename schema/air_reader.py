"""Reads .ir files of format 0.1; see SPEC.md. Needs msgpack and numpy, and
air.v0.schema.json beside it for the long names of keys.

    file = AirFile("model.ir")
    file.functions[file.entry]["nodes"][0]   # {"op": "add", "attrs": {...}, "operands": [...], ...}
    file.tensors()                           # one numpy array per tensor, mapped where it can be
"""
import hashlib
import json
import os
import struct
import sys

import msgpack
import numpy as np

MAGIC = b"\x8aAIR\r\n\x1a\n"
HEADER = 192
PLAIN = {  # dtype: numpy dtype
    "bool": "?", "i8": "i1", "i16": "<i2", "i32": "<i4", "i64": "<i8", "u8": "u1", "u16": "<u2", "u32": "<u4",
    "u64": "<u8", "f16": "<f2", "f32": "<f4", "f64": "<f8", "c64": "<c8", "c128": "<c16",
}
FLOATS = {  # dtype: bits, mantissa bits, bias, kind of the top codes
    "bf16": (16, 7, 127, "ieee"), "f8e4m3fn": (8, 3, 7, "fn"), "f8e4m3fnuz": (8, 3, 8, "fnuz"),
    "f8e5m2": (8, 2, 15, "ieee"), "f8e5m2fnuz": (8, 2, 16, "fnuz"), "f8e8m0": (8, 0, 127, "e8m0"),
    "f4e2m1": (4, 1, 1, "finite"), "f6e2m3": (6, 3, 1, "finite"), "f6e3m2": (6, 2, 3, "finite"),
}
PACKED = {"i2": 2, "u2": 2, "i4": 4, "u4": 4, "f4e2m1": 4, "f6e2m3": 6, "f6e3m2": 6}


def decode(dtype, raw, count):
    """`count` elements: plain dtypes as such, small integers as int8/uint8, and codes of
    floats that numpy lacks as uint8/uint16 (see `to_float32`)."""
    if dtype in PLAIN:
        return raw.view(PLAIN[dtype])
    if dtype not in PACKED:
        return raw.view("<u2" if dtype == "bf16" else "u1")
    width = PACKED[dtype]
    bits = np.unpackbits(raw, bitorder="little")[: count * width].reshape(count, width)
    codes = (bits << np.arange(width, dtype=np.uint8)).sum(axis=1).astype(np.uint8)
    if dtype[0] == "i":  # sign bit on top
        codes = codes.astype(np.int8)
        codes[codes >= 1 << (width - 1)] -= 1 << width
    return codes


def to_float32(dtype, codes):
    """The values of the codes that `decode` gives for a dtype in FLOATS."""
    bits, mantissa, bias, kind = FLOATS[dtype]
    codes = codes.astype(np.int64)
    if kind == "e8m0":
        return np.where(codes == 255, np.nan, np.exp2(codes - 127.0)).astype(np.float32)
    sign = np.where(codes >> (bits - 1), -1.0, 1.0)
    low = codes & ((1 << mantissa) - 1)
    exp = (codes >> mantissa) & ((1 << (bits - 1 - mantissa)) - 1)
    fraction = low / (1 << mantissa) + (exp > 0)
    values = sign * fraction * np.exp2(np.maximum(exp, 1) - float(bias))
    if kind == "ieee":
        top = (1 << (bits - 1 - mantissa)) - 1
        values = np.where(exp == top, np.where(low == 0, sign * np.inf, np.nan), values)
    elif kind == "fn":
        values = np.where((codes & ((1 << (bits - 1)) - 1)) == (1 << (bits - 1)) - 1, np.nan, values)
    elif kind == "fnuz":
        values = np.where(codes == 1 << (bits - 1), np.nan, values)
    return values.astype(np.float32)


class AirFile:
    def __init__(self, path):
        self.path = path
        self.map = np.memmap(path, mode="r", dtype=np.uint8)
        head = self.map[:HEADER].tobytes()
        if head[:8] != MAGIC:
            raise ValueError("not an .ir file")
        major, minor, needs, sections, size = struct.unpack_from("<HHHHQ", head, 8)
        if (major, needs) != (0, 1):
            raise ValueError(f"version {major}.{minor} (needs {major}.{needs}) is not 0.1")
        if hashlib.sha256(head[:32] + head[64:]).digest() != head[32:64]:
            raise ValueError("the header is damaged")
        kind, _, offset, length, _, digest = struct.unpack_from("<IIQQQ32s", head, 128)
        text = self.map[offset : offset + length].tobytes()
        if (sections, size, kind) != (2, len(self.map), 2) or hashlib.sha256(text).digest() != digest:
            raise ValueError("the file is cut off or its program is damaged")
        self.digest = head[32:64].hex()
        schema = os.path.join(os.path.dirname(os.path.abspath(__file__)), "air.v0.schema.json")
        with open(schema, encoding="utf-8") as file:
            self.types = json.load(file)["types"]
        self.program = self.expand(msgpack.unpackb(text), "program")
        self.entry, self.functions = self.program["entry"], self.program["functions"]
        for function in self.functions:
            for node in function["nodes"]:
                node["op"] = self.program["ops"][node["op"]]
            for value in function["values"]:
                value["type"] = function["types"][value.pop("ty")]
                value["name"] = None if value["name"] is None else self.program["strings"][value["name"]]

    def expand(self, value, type_):
        """Gives records their long keys and defaults, and unions the form (variant, payload)."""
        if type_[-1] == "?":
            return None if value is None else self.expand(value, type_[:-1])
        if type_[0] == "[":
            return [self.expand(v, type_[1:-1]) for v in value or []]
        if type_[0] == "{":
            return {k: self.expand(v, type_[1:-1]) for k, v in (value or {}).items()}
        if type_[0] == "(":
            return tuple(self.expand(v, t) for v, t in zip(value, type_[1:-1].split(", "), strict=True))
        if type_ not in self.types:  # a number, text or bytes
            return 0 if value is None else value
        members = {m["key"]: m for m in self.types[type_]["members"]}
        if self.types[type_]["kind"] == "record":
            if unknown := value.keys() - members.keys():
                raise ValueError(f"unknown keys of {type_}: {unknown}")
            return {m["name"]: self.expand(value.get(k), m["type"]) for k, m in members.items()}
        if type_ == "dim":  # int, None or a list of terms
            return self.expand(value, "[term]") if isinstance(value, list) else value
        if isinstance(value, str):
            return (members[value]["name"], None)
        ((tag, payload),) = value.items()
        return (members[tag]["name"], self.expand(payload, members[tag]["type"]))

    def tensor(self, index):
        entry = self.program["tensors"][index]
        dtype, shape, (kind, data) = entry["dtype"], entry["shape"], entry["storage"]
        count = int(np.prod(shape, dtype=np.uint64))
        if kind == "Strings":
            return np.array(data, dtype=object).reshape(shape)
        if kind == "Splat":
            return np.broadcast_to(decode(dtype, np.frombuffer(data, np.uint8), 1)[0], shape)
        if kind == "Blob":
            path, blob = self.map, self.program["blobs"][data]
        else:  # External: relative to this file
            folder = os.path.dirname(os.path.abspath(self.path))
            path, blob = np.memmap(os.path.join(folder, data["path"]), mode="r", dtype=np.uint8), data
        raw = path[blob["offset"] : blob["offset"] + blob["length"]]
        return decode(dtype, raw, count).reshape(shape)

    def tensors(self):
        return [self.tensor(i) for i in range(len(self.program["tensors"]))]


if __name__ == "__main__":
    for number, array in enumerate(AirFile(sys.argv[1]).tensors()):
        print(number, array.dtype, array.shape)
