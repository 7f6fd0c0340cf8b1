#!/usr/bin/env python3
"""Write schemas.txt: the operator schemas of ONNX as facts the writer needs.

usage: make_schemas.py > schemas.txt        (needs onnx 1.23.2)

Lines, in order:

    D <dtype> ...                                the dtypes, numbered from 0
    T <type>                                     a type that is no tensor, numbered after them
    S <hex mask>                                 a set of these types, numbered from 0
    O <domain> <name> <since> <flags> <inputs> <outputs> <attributes>

`-` stands for the standard domain and for an empty list. Flags: `d` deprecated, else `-`.
An input or output is `<set>` with `?` (optional) or `*` (variadic) behind. Attributes are their
names, `!` behind required ones.
"""

import onnx.defs

DTYPES = (
    "float uint8 int8 uint16 int16 int32 int64 string bool float16 double uint32 uint64 "
    "complex64 complex128 bfloat16 float8e4m3fn float8e4m3fnuz float8e5m2 float8e5m2fnuz "
    "uint4 int4 float4e2m1 float8e8m0 uint2 int2 float6e2m3 float6e3m2"
).split()
BITS = {f"tensor({name})": 1 << i for i, name in enumerate(DTYPES)}
OPTION = {0: "", 1: "?", 2: "*"}


def allowed(schema, param):
    """The types that a parameter may have."""
    constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    return constraints.get(param.type_str, [param.type_str])


def main():
    sets, ops = {}, []
    schemas = sorted(
        onnx.defs.get_all_schemas_with_history(),
        key=lambda s: (s.domain, s.name, s.since_version),
    )
    types = {t for s in schemas for p in (*s.inputs, *s.outputs) for t in allowed(s, p)}
    containers = sorted(types - BITS.keys())
    bits = BITS | {t: 1 << (len(DTYPES) + i) for i, t in enumerate(containers)}
    for schema in schemas:
        def slots(params):
            out = []
            for p in params:
                mask = sum({bits[t] for t in allowed(schema, p)})
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
    for name in containers:
        print("T", name.replace(" ", ""))
    for mask in sets:
        print(f"S {mask:x}")
    print(*ops, sep="\n")


main()
