"""Class labels: UTF-8 text, one a line, in class order."""

from __future__ import annotations

from pathlib import Path

from model_build import lfs
from model_build.errors import ContractError

FILE_NAME = "imagenet_classes.txt"

OTHER_FILE_NAME = "labels.txt"
"""File name for labels that came from another kind of file."""

_GIVE = f"give one label a line, in class order, in {FILE_NAME} beside the ONNX file"

IMAGENET = Path(__file__).with_name(FILE_NAME)
"""The 1000 ImageNet-1K categories of `ResNet50_Weights.DEFAULT.meta["categories"]`."""


def read(path: Path) -> tuple[str, ...]:
    """Read labels, without a byte order mark and empty lines at the end, and with any line ends.

    Raises `ContractError` for text that is not UTF-8, an empty line between labels, or no label at all.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise ContractError(f"the labels {path} cannot be read: {error.strerror}", _GIVE) from error
    except UnicodeDecodeError as error:
        raise ContractError(f"the labels {path} are not UTF-8 text", "save them as UTF-8, one label a line") from error
    if lfs.is_pointer(content):
        raise ContractError(f"the labels {path} are a Git LFS pointer, not the file", lfs.FETCH)
    # Not `splitlines`, which also splits at form feeds and Unicode separators inside a label.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise ContractError(f"the labels {path} are empty", _GIVE)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ContractError(f"the labels {path} have an empty line {number}", "give every class a label")
    return tuple(lines)


def write(path: Path, labels: tuple[str, ...]) -> None:
    """Write `labels` with LF line ends on every platform, so that their digest is the same everywhere."""
    path.write_bytes("".join(f"{label}\n" for label in labels).encode())
