"""Facts from the bytes of an ONNX file that onnxruntime does not report: operator set, arithmetic, last operators.

Imported models are checked on machines with onnxruntime but without the onnx package. The file is a protobuf message
`ModelProto` (onnx.proto3), of which only the necessary fields are decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from model_build.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OPSET_IMPORT = 8  # ModelProto.opset_import, repeated OperatorSetIdProto
_DOMAIN, _VERSION = 1, 2  # OperatorSetIdProto
_GRAPH, _FUNCTIONS = 7, 25  # ModelProto.graph, .functions
_NODE, _FUNCTION_NODE = 1, 7  # GraphProto.node, FunctionProto.node
_INPUT, _OUTPUT, _OPERATOR, _ATTRIBUTE = 1, 2, 4, 5  # NodeProto
_BRANCHES: Final = frozenset({6, 11})  # AttributeProto.g, .graphs

LENGTH: Final = 2
"""The protobuf wire type of bytes, text and messages, which have a length. 0 is a number; 1 and 5 are 8 and 4 bytes."""

_SHAPING: Final = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
"""Operators that keep values, except for their number type."""


@dataclass(frozen=True)
class Field:
    """A field of a protobuf message: its value, and the positions of its start (with its key) and end."""

    number: int
    value: int | memoryview
    start: int
    end: int


_ORT_FORMAT: Final = b"ORTM"
"""The bytes from 4 to 7 of a model in ORT format, which is a FlatBuffer."""


def is_ort_format(graph: bytes) -> bool:
    """Whether ONNX Runtime would take the file for one in ORT format."""
    return graph[4:8] == _ORT_FORMAT


def require_onnx(name: str, graph: bytes) -> None:
    """Raise `ContractError` if the file `name` is in ORT format, even if its bytes are an ONNX file as well."""
    if is_ort_format(graph):
        raise ContractError(f"{name} is in ORT format, not an ONNX file", "give the ONNX model that it was made from")


def opset(path: Path) -> int:
    """The version of the default operator set that the file at `path` imports. Raises `ContractError`."""
    try:
        for field in fields(_content(path)):
            if field.number == _OPSET_IMPORT and isinstance(field.value, memoryview):
                imported = {each.number: each.value for each in fields(field.value)}
                domain, version = imported.get(_DOMAIN, b""), imported.get(_VERSION, 0)
                if not isinstance(domain, int) and bytes(domain) in {b"", b"ai.onnx"} and isinstance(version, int):
                    return version
    except (IndexError, ValueError) as error:
        raise ContractError(f"{path.name} is not an ONNX file", "give a complete ONNX model") from error
    raise ContractError(f"{path.name} imports no default operator set", "export the model again")


_ON_INTEGERS: Final = (
    "QuantizeLinear", "QLinear", "DynamicQuantize", "MatMulInteger", "ConvInteger", "QGemm", "QAttention",
)  # fmt: skip
"""Prefixes of the names of operators with integer activations, the same as in the deployed function."""


def computes_with_integers(path: Path) -> bool:
    """Whether the graph converts activations to integers. Weights that are only stored as integers do not count.

    Raises `ContractError`.
    """
    try:
        return any(name.startswith(_ON_INTEGERS) for name in _operators(_content(path)))
    except (IndexError, ValueError, RecursionError) as error:
        raise ContractError(f"{path.name} is not an ONNX file", "give a complete ONNX model") from error


def _content(path: Path) -> memoryview:
    """Raises `ContractError`."""
    graph = path.read_bytes()
    require_onnx(path.name, graph)
    return memoryview(graph)


def _operators(model: memoryview) -> Iterator[str]:
    for number, message in _messages(model):
        if number in {_GRAPH, _FUNCTIONS}:
            yield from _nodes(message, _NODE if number == _GRAPH else _FUNCTION_NODE)


def _nodes(message: memoryview, node: int) -> Iterator[str]:
    """Yield the operators of a graph or function, whose nodes are in field `node`, and of nested graphs."""
    for number, content in _messages(message):
        if number != node:
            continue
        for part, value in _messages(content):
            if part == _OPERATOR:
                yield bytes(value).decode()
            elif part == _ATTRIBUTE:
                for inner, branch in _messages(value):
                    if inner in _BRANCHES:
                        yield from _nodes(branch, _NODE)


def _messages(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields that have a length."""
    for field in fields(message):
        if isinstance(field.value, memoryview):
            yield field.number, field.value


def last_operator(graph: bytes, output: str) -> str | None:
    """The operator that computes the graph's output `output`, ignoring those that only reshape or convert.

    None if there is none. `graph` is an ONNX file that onnxruntime has loaded.
    """
    makers: dict[str, tuple[str, str]] = {}
    for kind, message in _messages(memoryview(graph)):
        for number, node in _messages(message) if kind == _GRAPH else ():
            if number == _NODE:
                operator, inputs, outputs = _node(node)
                makers |= dict.fromkeys(outputs, (operator, inputs[0] if inputs else ""))
    operator, source = makers.get(output, ("", ""))
    while operator in _SHAPING:
        operator, source = makers.get(source, ("", ""))
    return operator or None


def _node(message: memoryview) -> tuple[str, list[str], list[str]]:
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: []}
    for number, value in _messages(message):
        if number in names:
            names[number].append(bytes(value).decode("utf-8", "replace"))
    return "".join(names[_OPERATOR]), names[_INPUT], names[_OUTPUT]


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a protobuf message in order. Raises `IndexError` or `ValueError` if it is malformed."""
    position = 0
    while position < len(message):
        start = position
        key, position = _varint(message, position)
        value: int | memoryview
        match key & 7:
            case 0:
                value, position = _varint(message, position)
            case 2:
                length, position = _varint(message, position)
                value, position = _slice(message, position, length)
            case 1 | 5 as fixed:
                value, position = _slice(message, position, 8 if fixed == 1 else 4)
            case other:
                raise ValueError(f"wire type {other} is not used by ONNX")
        yield Field(key >> 3, value, start, position)


def _slice(message: memoryview, position: int, length: int) -> tuple[memoryview, int]:
    if position + length > len(message):
        raise ValueError("a field ends beyond its message")
    return message[position : position + length], position + length


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
