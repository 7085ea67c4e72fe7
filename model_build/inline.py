"""Copies weights from separate files ("external data") into an ONNX file.

A manifest names one graph by its digest, so a model must be one file. All bytes remain unchanged except for the tensors
with external data (onnx.proto3, `TensorProto.external_data`). Needs no onnx package, which machines that only serve do
not have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from model_build.errors import ContractError
from model_build.protobuf import LENGTH, Field, fields

_INSIDE: Final = {
    # Each kind of message: by the number of a field, the kind of the messages in it.
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Places of tensors in a `ModelProto`: for each kind of message, the kind of the message in a field, by number."""

_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION = 9, 13, 14  # TensorProto
_EXTERNAL = 1  # TensorProto.DataLocation
_KEY, _VALUE = 1, 2  # StringStringEntryProto

_MAX_BYTES: Final = (1 << 31) - 1
"""Limit of a protobuf message."""

_COMPLETE = "put all files of the model into one folder"


def inlined(source: Path) -> tuple[bytes, tuple[str, ...]]:
    """The ONNX file `source` with all weights in it, and the sorted names of the files that contained them.

    The bytes are unchanged if the file has no external data or is not an ONNX file. Raises `ContractError` if weights
    are missing, are outside of the file's folder, or the result exceeds 2 GiB.
    """
    content = source.read_bytes()
    weights = _Weights(source)
    try:
        changed = _rewritten(memoryview(content), "model", weights)
    except (ValueError, RecursionError):
        return content, ()  # Loading it says what is wrong.
    if changed is None:
        return content, ()
    if len(changed) > _MAX_BYTES:
        raise ContractError(
            f"{source.name} has {len(changed)} bytes with its weights, more than an ONNX file can hold",
            "give a smaller model, or one with 8-bit weights",
        )
    return changed, tuple(sorted(weights.files))


@dataclass
class _Weights:
    """The files beside `source` that contain weights."""

    source: Path
    files: dict[str, memoryview] = field(default_factory=dict)

    def read(self, entry: dict[str, str]) -> memoryview:
        """The bytes that `location`, `offset` and `length` of `entry` select. Raises `ContractError`."""
        location = entry.get("location", "")
        if location not in self.files:
            self.files[location] = self._content(location)
        content = self.files[location]
        try:
            start = int(entry.get("offset", "0"))
            length = int(entry["length"]) if "length" in entry else len(content) - start
        except ValueError:
            start, length = -1, 0
        if start < 0 or length < 0 or start + length > len(content):
            raise ContractError(
                f"{self.source.name} keeps weights in {location}, which has {len(content)} bytes: too few",
                "fetch both files again",
            )
        return content[start : start + length]

    def _content(self, location: str) -> memoryview:
        path = PurePosixPath(location.replace("\\", "/"))
        if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise ContractError(
                f"{self.source.name} keeps weights in {location!r}, which is not in its own folder", _COMPLETE
            )
        file = self.source.parent / path
        if not file.is_file():
            raise ContractError(
                f"{self.source.name} keeps its weights in a second file, {location}, which is not beside it", _COMPLETE
            )
        return memoryview(file.read_bytes())


def _rewritten(message: memoryview, kind: str, weights: _Weights) -> bytes | None:
    """`message` with its external tensors inside, or None if it has none."""
    if kind == "tensor":
        return _tensor(message, weights)
    parts: list[memoryview | bytes] = []
    kept = 0
    for each in fields(message):
        inside = _INSIDE[kind].get(each.number)
        if inside is None or not isinstance(each.value, memoryview):
            continue
        if (changed := _rewritten(each.value, inside, weights)) is not None:
            parts += [message[kept : each.start], _encoded(each.number, changed)]
            kept = each.end
    return b"".join([*parts, message[kept:]]) if parts else None


def _tensor(message: memoryview, weights: _Weights) -> bytes | None:
    found = list(fields(message))
    if not any(each.number == _DATA_LOCATION and each.value == _EXTERNAL for each in found):
        return None
    entry = dict(_entry(each) for each in found if each.number == _EXTERNAL_DATA)
    replaced = {_RAW_DATA, _EXTERNAL_DATA, _DATA_LOCATION}
    kept = [message[each.start : each.end] for each in found if each.number not in replaced]
    return b"".join([*kept, _encoded(_RAW_DATA, weights.read(entry))])


def _entry(entry: Field) -> tuple[str, str]:
    if not isinstance(entry.value, memoryview):
        raise ValueError("an entry of external data is no message")  # noqa: TRY004 -- as `fields` says it
    texts = {each.number: bytes(each.value).decode() for each in fields(entry.value) if not isinstance(each.value, int)}
    return texts.get(_KEY, ""), texts.get(_VALUE, "")


def _encoded(number: int, content: bytes | memoryview) -> bytes:
    return b"".join([_varint(number << 3 | LENGTH), _varint(len(content)), content])


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
