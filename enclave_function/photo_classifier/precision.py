"""The arithmetic of a graph, determined from the bytes of its file, and that of its manifest.

A graph computes with integers if one of its operators converts activations to integers. Integers that only store
weights, and are converted to floats before use, do not count. The file is a protobuf message `ModelProto`
(onnx.proto3), of which only the names of operators are decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FLOAT32, INT8 = "float32", "int8"

_ON_INTEGERS: Final = (
    "QuantizeLinear", "QLinear", "DynamicQuantize", "MatMulInteger", "ConvInteger", "QGemm", "QAttention",
)  # fmt: skip
"""Prefixes of the names of operators with integer activations, of ONNX and of ONNX Runtime."""

_ORT_FORMAT: Final = b"ORTM"
"""The bytes from 4 to 7 of a model in ORT format, which is a FlatBuffer."""

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _FUNCTION_NODE = 1, 7
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_GRAPHS: Final = (6, 11)


def stated(manifest: dict[str, Any]) -> str:
    """The precision in a manifest; `float32` if it has none.

    Raises `KeyError`, `TypeError` or `ValueError` for an invalid one.
    """
    if "precision" not in manifest:
        return FLOAT32
    name = manifest["precision"]["name"]
    if name not in {FLOAT32, INT8}:
        raise ValueError(f"precision {name!r}")
    return str(name)


def found(graph: memoryview) -> str:
    """The precision in which an ONNX file computes. Raises `ValueError` if the bytes are malformed."""
    if bytes(graph[4:8]) == _ORT_FORMAT:
        raise ValueError("it is in ORT format")
    try:
        integers = any(operator.startswith(_ON_INTEGERS) for operator in _operators(graph))
    except IndexError as error:
        raise ValueError("the ONNX file is cut off") from error
    except RecursionError as error:
        raise ValueError("the ONNX file has too many graphs inside each other") from error
    return INT8 if integers else FLOAT32


def _operators(model: memoryview) -> Iterator[str]:
    for number, value in _fields(model):
        if number == _MODEL_GRAPH:
            yield from _nodes(value, _GRAPH_NODE)
        elif number == _MODEL_FUNCTIONS:
            yield from _nodes(value, _FUNCTION_NODE)


def _nodes(message: memoryview, node: int) -> Iterator[str]:
    """Yield the operators of a graph or function, whose nodes are in field `node`, and of nested graphs."""
    for number, value in _fields(message):
        if number != node:
            continue
        for part, content in _fields(value):
            if part == _NODE_OPERATOR:
                yield bytes(content).decode()
            elif part == _NODE_ATTRIBUTE:
                for inner, branch in _fields(content):
                    if inner in _ATTRIBUTE_GRAPHS:
                        yield from _nodes(branch, _GRAPH_NODE)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field with a length; skip others. Raises `ValueError`."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        kind = key & 7
        if kind == 0:
            _, position = _varint(message, position)
        elif kind == 1:
            position += 8
        elif kind == 5:
            position += 4
        elif kind == 2:
            length, position = _varint(message, position)
            if position + length > len(message):
                raise ValueError("the ONNX file is cut off")
            yield key >> 3, message[position : position + length]
            position += length
        else:
            raise ValueError("the ONNX file has a field of a kind that ONNX does not use")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise ValueError("the ONNX file has a number of more than ten bytes")
