"""Graphs under construction, and the list of functions that make models."""

import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

F32, F16, BF16, F64 = (
    TensorProto.FLOAT,
    TensorProto.FLOAT16,
    TensorProto.BFLOAT16,
    TensorProto.DOUBLE,
)
I32, I64, U8, I8 = (
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT8,
    TensorProto.INT8,
)
BOOL, STRING = TensorProto.BOOL, TensorProto.STRING
MS, ML = "com.microsoft", "ai.onnx.ml"
# Functions that make models, by name.
MAKERS = {}


def maker(function):
    """Register a function that fills a Draft and returns the recipe."""
    MAKERS[function.__name__] = function
    return function


class Draft:
    """A graph under construction: the main one, a subgraph, or a function's body."""

    def __init__(self, name, opset=17, ir_version=8, parent=None):
        self.name, self.opset, self.ir_version = name, opset, ir_version
        self.root = parent or self
        self.domains = {}
        self.functions = []
        self.counter = 0
        self.nodes, self.weights, self.sparse = [], [], []
        self.inputs, self.outputs, self.values = [], [], []
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def fresh(self, stem):
        """A value name that nothing else in the model has."""
        self.root.counter += 1
        return f"{stem.lower()}_{self.root.counter}"

    def input(self, name, dims=(), dtype=F32):
        self.inputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def output(self, name, dims=None, dtype=F32):
        self.outputs.append(helper.make_tensor_value_info(name, dtype, dims))
        return name

    def node(self, op, *inputs, out=None, domain="", name="", **attributes):
        """Append a node; returns the name of its output, or a list for several.

        out: a name, a list of names, or a number of outputs.
        """
        if domain:
            self.root.domains.setdefault(domain, 1)
        if isinstance(out, int):
            names = [self.fresh(op) for _ in range(out)]
        elif isinstance(out, list):
            names = out
        else:
            names = [out or self.fresh(op)]
        self.nodes.append(
            helper.make_node(op, inputs, names, name=name, domain=domain, **attributes)
        )
        return names if isinstance(out, (int, list)) else names[0]

    def tensor(self, values, dtype=np.float32, name=None):
        """An initializer with these values."""
        array = np.asarray(values, dtype=dtype)
        name = name or self.fresh("k")
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def ints(self, *values):
        """A one-dimensional int64 initializer."""
        return self.tensor(values, np.int64)

    def weight(self, *shape, std=None, name=None):
        """A float initializer drawn from the draft's seed, scaled by fan-in."""
        fan_in = np.prod(shape[1:]) if len(shape) > 2 else shape[0]
        scale = std if std is not None else float(fan_in) ** -0.5
        drawn = scale * self.rng.standard_normal(shape)
        return self.tensor(drawn, np.float32, name or self.fresh("w"))

    def low_bit(self, values, dtype, dims=None):
        """An initializer of a type that NumPy does not have."""
        name = self.fresh("k")
        flat = np.asarray(values).ravel().tolist()
        dims = list(dims if dims is not None else np.shape(values))
        self.weights.append(helper.make_tensor(name, dtype, dims, flat))
        return name

    def body(self, name):
        """A draft for a subgraph of one of this graph's nodes."""
        draft = Draft(name, self.opset, self.ir_version, parent=self.root)
        return draft

    def function(
        self, domain, name, inputs, outputs, nodes, attributes=(), defaults=(), **more
    ):
        """Add a local function to the model."""
        self.root.domains.setdefault(domain, 1)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(domain, 1)]
        made = helper.make_function(
            domain,
            name,
            inputs,
            outputs,
            nodes,
            opsets,
            list(attributes),
            list(defaults),
            **more,
        )
        self.functions.append(made)

    def graph(self):
        return helper.make_graph(
            self.nodes,
            self.name,
            self.inputs,
            self.outputs,
            self.weights,
            value_info=self.values,
            sparse_initializer=self.sparse,
        )

    def model(self):
        opsets = [helper.make_opsetid("", self.opset)]
        opsets += [helper.make_opsetid(d, v) for d, v in self.domains.items() if d]
        return helper.make_model(
            self.graph(),
            opset_imports=opsets,
            ir_version=self.ir_version,
            producer_name="airconv-corpus",
            functions=self.functions,
        )


def reference(node, **renamed):
    """Make attributes of a function's node refer to attributes of the function."""
    for attribute, (source, kind) in renamed.items():
        made = onnx.AttributeProto(name=attribute, ref_attr_name=source, type=kind)
        node.attribute.append(made)
    return node
