"""Files that ONNX Runtime can read in two formats, each with another model."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import onnxruntime

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

_IDENTIFIER = b"ORTM"
_ROOT = 0x04120808
"""Position of the root table. As the first four bytes of the file it is also `ir_version` 8, and the start of a
`producer_name` of four bytes, which are the identifier of the ORT format."""
_START = 14
"""Bytes before the content of the field that hides the ORT format: this, and a tag and a length of six."""
_UNKNOWN = bytes.fromhex("a206")
"""The tag of field 100 with a length: `ModelProto` has none, and parsers skip it."""


def ort_format(model: onnx.ModelProto, folder: Path) -> bytes:
    """`model` in ORT format (a FlatBuffer), as ONNX Runtime saves it, without optimisations."""
    path = folder / "saved.ort"
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return path.read_bytes()


def polyglot(as_onnx: onnx.ModelProto, as_ort: onnx.ModelProto, folder: Path) -> bytes:
    """68 MB, mostly zeros, that are `as_onnx` to parsers of protobuf and `as_ort` to those of the ORT format."""
    hidden = _with_root_at(ort_format(as_ort, folder), _ROOT)
    # The root table and all behind it is the content of a field that parsers of protobuf skip.
    length = len(hidden) - _START
    tag = _UNKNOWN + bytes([*(length >> shift & 0x7F | 0x80 for shift in (0, 7, 14)), length >> 21])
    hidden[: len(tag) + 8] = _ROOT.to_bytes(4, "little") + _IDENTIFIER + tag
    return bytes(hidden) + as_onnx.SerializeToString()


def _with_root_at(saved: bytes, position: int) -> bytearray:
    """`saved`, a FlatBuffer, moved behind a copy of its root table at `position`.

    Offsets in a FlatBuffer are relative, so its parts can be moved by a multiple of the largest alignment. All fields
    of the root table are offsets.
    """
    assert saved[4:8] == _IDENTIFIER
    (root,) = struct.unpack_from("<I", saved)
    (distance,) = struct.unpack_from("<i", saved, root)
    table = saved[root - distance :]
    size, width = struct.unpack_from("<HH", table)
    fields = [offset for offset in struct.unpack_from(f"<{size // 2 - 2}H", table, 4) if offset]
    moved = position + -(-width // 16) * 16 + 16 - position % 16
    made = bytearray(moved) + saved
    made[position - size : position] = table[:size]
    struct.pack_into("<i", made, position, size)
    for field in fields:
        (target,) = struct.unpack_from("<I", saved, root + field)
        struct.pack_into("<I", made, position + field, target + root + moved - position)
    return made
