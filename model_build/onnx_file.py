"""Facts from the bytes of an ONNX file that onnxruntime does not report: operator set, arithmetic, last operators.

Imported models are checked on machines with onnxruntime but without the onnx package. The file is a protobuf message
`ModelProto` (onnx.proto3), of which only the necessary fields are decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from model_build import arithmetic
from model_build.errors import ContractError
from model_build.protobuf import contents, fields, text

if TYPE_CHECKING:
    from pathlib import Path

_OPSET_IMPORT = 8  # ModelProto.opset_import, repeated OperatorSetIdProto
_DOMAIN, _VERSION = 1, 2  # OperatorSetIdProto
_GRAPH, _NODE = 7, 1  # ModelProto.graph, GraphProto.node
_INPUT, _OUTPUT, _OPERATOR = 1, 2, 4  # NodeProto

_SHAPING: Final = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten"})
"""Operators that keep values, except for their number type."""


def is_ort_format(graph: bytes) -> bool:
    """Whether ONNX Runtime would take the file for one in ORT format."""
    return graph[4:8] == arithmetic.ORT_FORMAT


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
    except ValueError as error:
        raise ContractError(f"{path.name} is not an ONNX file", "give a complete ONNX model") from error
    raise ContractError(f"{path.name} imports no default operator set", "export the model again")


def computes_with_integers(path: Path) -> bool:
    """Whether the graph converts activations to integers. Weights that are only stored as integers do not count.

    Raises `ContractError`, also if the arithmetic of an operator is unknown.
    """
    try:
        return arithmetic.found(_content(path)) == arithmetic.INT8
    except ValueError as error:
        step = "export it again, with standard operators; see docs/precision.md"
        raise ContractError(f"{path.name} cannot be taken: {error}", step) from error


def _content(path: Path) -> memoryview:
    """Raises `ContractError`."""
    graph = path.read_bytes()
    require_onnx(path.name, graph)
    return memoryview(graph)


def last_operator(path: Path, output: str) -> str | None:
    """The operator that computes the graph's output `output`, ignoring those that only reshape or convert.

    None if there is none. onnxruntime has loaded the file at `path`. Raises `ContractError`.
    """
    makers: dict[str, tuple[str, str]] = {}
    try:
        for _, graph in contents(_content(path), {_GRAPH}):
            for _, node in contents(graph, {_NODE}):
                operator, inputs, outputs = _node(node)
                makers |= dict.fromkeys(outputs, (operator, inputs[0] if inputs else ""))
    except ValueError as error:
        raise ContractError(f"{path.name} cannot be taken: {error}", "export the model again") from error
    operator, source = makers.get(output, ("", ""))
    while operator in _SHAPING:
        operator, source = makers.get(source, ("", ""))
    return operator or None


def _node(message: memoryview) -> tuple[str, list[str], list[str]]:
    names: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _OPERATOR: []}
    for number, value in contents(message, names):
        names[number].append(text(value))
    return "".join(names[_OPERATOR]), names[_INPUT], names[_OUTPUT]
