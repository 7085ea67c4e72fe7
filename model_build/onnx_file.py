"""The operator set and the arithmetic of an ONNX file, read from its bytes alone.

Imported models are checked on machines that have onnxruntime but not the onnx package, and onnxruntime does not tell
either. The file is a protobuf message `ModelProto` (onnx.proto3); only its field 8, `opset_import`, and the names of
operators are decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from model_build.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GRAPH, _FUNCTIONS = 7, 25  # ModelProto.graph and .functions
_GRAPH_NODE, _FUNCTION_NODE = 1, 7  # GraphProto.node and FunctionProto.node, repeated NodeProto
_OPERATOR, _ATTRIBUTE = 4, 5  # NodeProto.op_type and .attribute
_BRANCHES = {6, 11}  # AttributeProto.g and .graphs
_OPSET_IMPORT = 8  # ModelProto.opset_import, repeated OperatorSetIdProto
_DOMAIN, _VERSION = 1, 2  # OperatorSetIdProto


def opset(path: Path) -> int:
    """The version of the default operator set that the file imports. Raises `ContractError`."""
    try:
        for number, value in _fields(memoryview(path.read_bytes())):
            if number == _OPSET_IMPORT and isinstance(value, memoryview):
                imported = dict(_fields(value))
                domain, version = imported.get(_DOMAIN, b""), imported.get(_VERSION, 0)
                if not isinstance(domain, int) and bytes(domain) in {b"", b"ai.onnx"} and isinstance(version, int):
                    return version
    except (IndexError, ValueError) as error:
        raise ContractError(f"{path.name} is not an ONNX file", "give a complete ONNX model") from error
    raise ContractError(f"{path.name} imports no default operator set", "export the model again")


_ON_INTEGERS = (
    "QuantizeLinear", "QLinear", "DynamicQuantize", "MatMulInteger", "ConvInteger", "QGemm", "QAttention",
)  # fmt: skip
"""Beginnings of the names of operators that take or give integer activations, as the deployed function knows them."""


def computes_with_integers(path: Path) -> bool:
    """Whether the graph turns activations into integers; weights that are only stored so do not count.

    Raises `ContractError`.
    """
    try:
        return any(name.startswith(_ON_INTEGERS) for name in _operators(memoryview(path.read_bytes())))
    except (IndexError, ValueError, TypeError) as error:
        raise ContractError(f"{path.name} is not an ONNX file", "give a complete ONNX model") from error


def _operators(model: memoryview) -> Iterator[str]:
    for number, value in _fields(model):
        if number in {_GRAPH, _FUNCTIONS} and isinstance(value, memoryview):
            yield from _nodes(value, _GRAPH_NODE if number == _GRAPH else _FUNCTION_NODE)


def _nodes(message: memoryview, node: int) -> Iterator[str]:
    for number, value in _fields(message):
        if number != node or not isinstance(value, memoryview):
            continue
        for part, content in _fields(value):
            if part == _OPERATOR and isinstance(content, memoryview):
                yield bytes(content).decode()
            elif part == _ATTRIBUTE and isinstance(content, memoryview):
                for inner, branch in _fields(content):
                    if inner in _BRANCHES and isinstance(branch, memoryview):
                        yield from _nodes(branch, _GRAPH_NODE)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        match key & 7:
            case 0:  # varint
                value, position = _varint(message, position)
                yield key >> 3, value
            case 2:  # bytes, text or message, by length
                length, position = _varint(message, position)
                if position + length > len(message):
                    raise ValueError("a field ends beyond its message")
                yield key >> 3, message[position : position + length]
                position += length
            case 1 | 5 as fixed:  # 8 and 4 bytes
                position += 8 if fixed == 1 else 4
            case other:
                raise ValueError(f"wire type {other} is not used by ONNX")


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if shift > 70:
            raise ValueError("a varint has more than ten bytes")
        if byte < 0x80:
            return value, position
