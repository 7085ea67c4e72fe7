"""Class labels: UTF-8 text, one a line, in class order."""

from __future__ import annotations

from pathlib import Path

from model_build.errors import ContractError

FILE_NAME = "imagenet_classes.txt"

IMAGENET = Path(__file__).with_name(FILE_NAME)
"""The 1000 ImageNet-1K categories of `ResNet50_Weights.DEFAULT.meta["categories"]`."""


def read(path: Path) -> tuple[str, ...]:
    """Read labels, with LF or CRLF line ends. Raises `ContractError` for an empty line or text that is not UTF-8."""
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise ContractError(
            f"the labels {path} cannot be read: {error.strerror}", "give them with --labels FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise ContractError(f"the labels {path} are not UTF-8 text", "save them as UTF-8, one label a line") from error
    # Not `splitlines`, which also splits at form feeds and Unicode separators inside a label.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise ContractError(f"the labels {path} have an empty line {number}", "give every class a label")
    return tuple(lines)


def write(path: Path, labels: tuple[str, ...]) -> None:
    """Write `labels` with LF line ends on every platform, so that their digest is the same everywhere."""
    path.write_bytes("".join(f"{label}\n" for label in labels).encode())
