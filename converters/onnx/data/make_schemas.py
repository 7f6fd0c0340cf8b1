#!/usr/bin/env python3
"""Write schemas.txt: the operator schemas of ONNX as facts the writer needs.

usage: make_schemas.py > schemas.txt        (needs onnx 1.23.2)

Lines, in order:

    D <dtype> ...                                the dtypes, numbered from 0
    S <hex mask>                                 a set of dtypes, numbered from 0
    O <domain> <name> <since> <flags> <inputs> <outputs> <attributes>

`-` stands for the standard domain and for an empty list. Flags: `d` deprecated, else `-`.
An input or output is `<set>` with `?` (optional) or `*` (variadic) behind; set `x` allows
something that is not a tensor. Attributes are their names, `!` behind required ones.
"""

import onnx.defs

DTYPES = (
    "float uint8 int8 uint16 int16 int32 int64 string bool float16 double uint32 uint64 "
    "complex64 complex128 bfloat16 float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz "
    "uint4 int4 float4e2m1 float8e8m0 uint2 int2"
).split()
BITS = {f"tensor({name})": 1 << i for i, name in enumerate(DTYPES)}
OPTION = {0: "", 1: "?", 2: "*"}


def main():
    sets, ops = {}, []
    for schema in sorted(
        onnx.defs.get_all_schemas_with_history(),
        key=lambda s: (s.domain, s.name, s.since_version),
    ):
        constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}

        def slots(params):
            out = []
            for p in params:
                allowed = constraints.get(p.type_str, [p.type_str])
                if any(t not in BITS for t in allowed):
                    token = "x"
                else:
                    mask = sum({BITS[t] for t in allowed})
                    token = str(sets.setdefault(mask, len(sets)))
                out.append(token + OPTION[int(p.option.value)])
            return ",".join(out) or "-"

        attributes = ",".join(
            name + ("!" if a.required else "") for name, a in sorted(schema.attributes.items())
        )
        ops.append(
            f"O {schema.domain or '-'} {schema.name} {schema.since_version} "
            f"{'d' if schema.deprecated else '-'} {slots(schema.inputs)} "
            f"{slots(schema.outputs)} {attributes or '-'}"
        )
    print("D", *DTYPES)
    for mask in sets:
        print(f"S {mask:x}")
    print(*ops, sep="\n")


main()
