"""The arithmetic of a graph, determined from the bytes of its ONNX file (protobuf, onnx.proto3).

A graph computes with integers if one of its operators converts activations to 8-bit integers, or computes with them.
Integers that only store weights, and are converted to floats before use, do not count. Operators that are unknown
(`operators`) are refused, so that a new one cannot be taken for float32.

This file is the same in the function and in `model_build`: the bundle of the function and the builder are separate
units, and neither imports the other. `tests/enclave_function/test_copies.py` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from model_build.operators import BY_LEVEL, DEQUANTISE, FLOAT_LEVELS, ON_FLOATS, ON_INTEGERS
from model_build.protobuf import contents, fields, text, value

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOAT32: Final = "float32"
INT8: Final = "int8"

ORT_FORMAT: Final = b"ORTM"
"""The bytes from 4 to 7 of a model in ORT format, which is a FlatBuffer."""

_IR_VERSION, _MODEL_GRAPH, _MODEL_FUNCTIONS = 1, 7, 25
_GRAPH_NODE, _INITIALIZER, _GRAPH_INPUT = 1, 5, 11
_TENSOR_NAME, _INPUT_NAME = 8, 1
_FUNCTION_NAME, _FUNCTION_NODE, _FUNCTION_DEFAULT = 1, 7, 11
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE = 1, 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_REFERENCE = 1, 3, 6, 11, 21

_OVERRIDABLE_FROM: Final = 4
"""The `ir_version` from which an initializer that is an input too is only a default."""

_DEEPEST: Final = 30
"""Most graphs inside each other. Parsers of protobuf take 100 messages, and each graph is inside two others."""

_SHOWN: Final = 60


def found(model: memoryview) -> str:
    """The precision in which an ONNX file computes: `FLOAT32` or `INT8`.

    Raises `ValueError` if the bytes are malformed or ambiguous, or the arithmetic of an operator is unknown.
    """
    if bytes(model[4:8]) == ORT_FORMAT:
        raise ValueError("it is in ORT format")
    graphs: list[memoryview] = []
    functions: list[memoryview] = []
    for number, content in contents(model, {_MODEL_GRAPH, _MODEL_FUNCTIONS}):
        (graphs if number == _MODEL_GRAPH else functions).append(content)
    versions = [value(each) for each in fields(model) if each.number == _IR_VERSION]
    if len(graphs) != 1 or len(versions) > 1:
        raise ValueError(f"it has {len(graphs)} graphs and {len(versions)} versions, not one")
    # Parsers would merge several graphs to one.
    own = frozenset(_only(function, _FUNCTION_NAME) for function in functions)
    scan = _Scan(own)
    overridable = bool(versions) and versions[0] >= _OVERRIDABLE_FROM
    integers = [scan.graph(graphs[0], frozenset(), 1, overridable=overridable)]
    integers += [scan.function(function) for function in functions]
    return INT8 if any(integers) else FLOAT32


@dataclass
class _Node:
    """A node: operator, inputs and outputs, the values of its integer attributes, and the graphs in its attributes."""

    operator: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    levels: list[int | None] = field(default_factory=list)
    """Values of `accuracy_level`; None if a function's caller states it."""
    graphs: list[memoryview] = field(default_factory=list)


@dataclass(frozen=True)
class _Scan:
    """Looks at all operators of a model with functions of the names `own`."""

    own: frozenset[str]

    def graph(self, message: memoryview, outside: frozenset[str], depth: int, *, overridable: bool = True) -> bool:
        """Whether a graph computes with integers. `outside`: names of constants of the graphs around it."""
        if depth > _DEEPEST:
            raise ValueError("it has too many graphs inside each other")
        nodes: list[memoryview] = []
        constants: set[str] = set()
        inputs: set[str] = set()
        for number, content in contents(message, {_GRAPH_NODE, _INITIALIZER, _GRAPH_INPUT}):
            if number == _GRAPH_NODE:
                nodes.append(content)
            elif number == _INITIALIZER:
                constants.add(_only(content, _TENSOR_NAME))
            else:
                inputs.add(_only(content, _INPUT_NAME))
        own = constants - inputs if overridable else constants
        return self._nodes(nodes, (outside - inputs) | own, depth)

    def function(self, message: memoryview) -> bool:
        """Whether a function of the model computes with integers. Its inputs count as activations."""
        nodes: list[memoryview] = []
        graphs: list[memoryview] = []
        for number, content in contents(message, {_FUNCTION_NODE, _FUNCTION_DEFAULT}):
            if number == _FUNCTION_NODE:
                nodes.append(content)
            else:
                graphs += _attribute(content)[2]
        inner = [self.graph(graph, frozenset(), 2) for graph in graphs]
        return any([self._nodes(nodes, frozenset(), 1), *inner])

    def _nodes(self, messages: Sequence[memoryview], outside: frozenset[str], depth: int) -> bool:
        constants = set(outside)
        integers = False
        for message in messages:
            node = _node(message)
            integers |= self._on_integers(node, constants)
            for graph in node.graphs:
                integers |= self.graph(graph, frozenset(constants), depth + 1)
            # Graphs inside a node also read other values than its inputs.
            given = set(node.inputs) - {""}
            if not node.graphs and (node.operator == "Constant" or (given and given <= constants)):
                constants.update(node.outputs)
        return integers

    def _on_integers(self, node: _Node, constants: set[str]) -> bool:
        """Whether the operator itself does. Raises `ValueError` if it is unknown."""
        operator = node.operator
        if operator in ON_INTEGERS:
            return True
        if operator == DEQUANTISE:
            return not constants.issuperset(node.inputs[:1])
        if operator in BY_LEVEL:
            return not FLOAT_LEVELS.issuperset(node.levels)
        if operator in ON_FLOATS or operator in self.own:
            return False
        raise ValueError(f"the arithmetic of its operator {operator[:_SHOWN]!a} is unknown")


def _node(message: memoryview) -> _Node:
    operators: list[str] = []
    attributes: list[memoryview] = []
    node = _Node("")
    for number, content in contents(message, {_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR, _NODE_ATTRIBUTE}):
        if number == _NODE_INPUT:
            node.inputs.append(text(content))
        elif number == _NODE_OUTPUT:
            node.outputs.append(text(content))
        elif number == _NODE_OPERATOR:
            operators.append(text(content))
        else:
            attributes.append(content)
    if len(operators) != 1:
        raise ValueError(f"a node has {len(operators)} operators")
    node.operator = operators[0]
    for attribute in attributes:
        name, integers, graphs = _attribute(attribute)
        node.graphs += graphs
        if name == "accuracy_level":
            node.levels += integers
    return node


def _attribute(message: memoryview) -> tuple[str, list[int | None], list[memoryview]]:
    """Name, integer and graphs of an attribute. None is an integer that the caller of a function states."""
    integers: list[int | None] = []
    graphs: list[memoryview] = []
    several = False
    for number, content in contents(message, {_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS, _ATTRIBUTE_REFERENCE}):
        if number == _ATTRIBUTE_REFERENCE:
            integers.append(None)
        elif number == _ATTRIBUTE_GRAPH and several:
            raise ValueError("an attribute has several graphs, which parsers would merge to one")
        else:
            several |= number == _ATTRIBUTE_GRAPH
            graphs.append(content)
    integers += [value(each) for each in fields(message) if each.number == _ATTRIBUTE_INTEGER]
    return _only(message, _ATTRIBUTE_NAME), integers, graphs


def _only(message: memoryview, number: int) -> str:
    """The text of the field `number`; empty if there is none. Raises `ValueError` if there are several."""
    texts = [text(content) for _, content in contents(message, {number})]
    if len(texts) > 1:
        raise ValueError(f"a message has its field {number} {len(texts)} times")
    return texts[0] if texts else ""
