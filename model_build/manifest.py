"""The model manifest, `model.json`: what the evidence attests about a model.

The file is canonical JSON (RFC 8785) with no newline at its end, so the SHA-256 of the file is the model digest.
"""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import rfc8785
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_build import lfs
from model_build.errors import ContractError
from model_build.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "model.json"

FORMAT, FORMAT_2 = "blindsight-model/1", "blindsight-model/2"
"""The second is of models that a reader of the first would take for something else."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
PlainFileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]
"""A file beside the manifest: no folders, nothing hidden, nothing a shell or a zip reader could take amiss."""

Text = Annotated[str, Field(min_length=1)]

Format = Literal["jpeg", "png", "webp", "avif"]
"""An image format that the function can decode."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""All of them, in the order in which a manifest lists those that are taken."""

DEFAULT_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")
"""What the models made here take unless others are asked for, and what a manifest without `formats` takes."""

Triple = tuple[float, float, float]


def _in_order(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    """Two manifests that take the same have the same digest. Raises `ValueError`."""
    if formats != tuple(each for each in FORMATS if each in formats):
        raise ValueError(f"the formats are not in the order {', '.join(FORMATS)}, or one comes twice")
    return formats


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Weights(_Part):
    """Where the numbers come from: a name and the SHA-256 of the weights file, or of the seeded state (`export`)."""

    name: Text
    sha256: Sha256


class Onnx(_Part):
    """The graph's file: its size in bytes and the version of the default operator set it uses."""

    file: PlainFileName
    sha256: Sha256
    bytes: int = Field(gt=0)
    opset: int = Field(ge=1)


class Input(_Part):
    """The contract's input: normalised RGB pictures, batch axis first."""

    name: Literal["input"] = "input"
    shape: tuple[Literal["N"], Literal[3], Literal[224], Literal[224]] = ("N", 3, 224, 224)
    dtype: Literal["float32"] = "float32"


class Output(_Part):
    """The contract's output: one logit a class; `activation` turns them into scores of 0..1."""

    name: Literal["output"] = "output"
    shape: tuple[Literal["N"], Annotated[int, Field(ge=2)]]
    activation: Literal["softmax"] = "softmax"


class Preprocessing(_Part):
    """The transform in front of the model. Sizes in pixels; `mean` and `std` per RGB channel, of 0..1.

    The defaults are those of `ResNet50_Weights.DEFAULT.transforms()`.
    """

    resize: int = Field(default=232, ge=1)
    crop: Literal[224] = 224
    interpolation: Literal["bilinear"] = "bilinear"
    antialias: Literal[True] = True
    mean: Triple = (0.485, 0.456, 0.406)
    std: Triple = (0.229, 0.224, 0.225)


class Labels(_Part):
    """The labels' file: UTF-8, one class a line, in class order."""

    file: PlainFileName
    count: int = Field(ge=2)
    sha256: Sha256


class Manifest(_Part):
    """The whole manifest; docs/architecture.md shows one. `versions` names only the packages that made this model."""

    format: Literal["blindsight-model/1", "blindsight-model/2"] = "blindsight-model/1"
    name: Text
    version: Text
    trained: bool
    weights: Weights
    onnx: Onnx
    input: Input = Input()
    output: Output
    preprocessing: Preprocessing = Preprocessing()
    labels: Labels
    formats: Annotated[tuple[Format, ...], Field(min_length=1), AfterValidator(_in_order)] | None = None
    """The image formats that are taken; absent from manifests made before there was a choice."""
    versions: dict[str, str]
    notice: Text | None = None
    """What everyone who gets an answer of this model must know; absent where there is nothing to say."""

    precision: Precision | None = None
    """The arithmetic of the graph; absent from manifests of float32 graphs."""

    @model_validator(mode="after")
    def _format_told(self) -> Manifest:
        """Raises `ValueError`."""
        if (self.precision is None) is not (self.format == FORMAT):
            raise ValueError(f"manifests that name a precision are of the format {FORMAT_2}, and only those")
        return self

    @property
    def computes_in(self) -> str:
        """`float32` or `int8`."""
        return "float32" if self.precision is None else self.precision.name

    def canonical(self) -> bytes:
        """The manifest in canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> bytes:
        """The model digest: SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()


def read(directory: Path) -> Manifest:
    """Read and validate the manifest of a model directory. Raises `ContractError`."""
    path = directory / FILE_NAME
    manifest, data = _parse(path)
    if manifest.canonical() != data:
        raise ContractError(
            f"{path} is not canonical JSON (RFC 8785), so its digest is not the model's", "build it again"
        )
    return manifest


def beside(onnx: Path) -> Manifest | None:
    """The manifest beside an ONNX file, in whatever JSON it is written, or none where no `model.json` is.

    Raises `ContractError` for one that is not this file's. It must not be passed over, since it may say what nothing
    else does: that the model is not trained.
    """
    path = onnx.with_name(FILE_NAME)
    if not os.path.lexists(path):
        return None
    manifest, _ = _parse(path)
    step = f"move one of them to another folder, or remove {path}"
    if manifest.onnx.file != onnx.name:
        raise ContractError(f"{path} is the manifest of {manifest.onnx.file}, not of {onnx.name}", step)
    if (sha256 := file_sha256(onnx)) != manifest.onnx.sha256:
        raise ContractError(f"{onnx} has SHA-256 {sha256}, its manifest says {manifest.onnx.sha256}", step)
    return manifest


def _parse(path: Path) -> tuple[Manifest, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read: {error.strerror}",
            "make a model directory: `python -m model_build build --out DIR`",
        ) from error
    try:
        return Manifest.model_validate_json(data), data
    except ValidationError as error:
        if lfs.is_pointer(data):
            raise ContractError(f"{path} is a Git LFS pointer, not the file", lfs.FETCH) from error
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(
            f"{path} is not a valid manifest: {place}: {first['msg']}", f"remove {path}, and build the model again"
        ) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_versions(*packages: str) -> dict[str, str]:
    """The installed versions of `packages`, without local labels: `+cpu` names an index, not what is computed."""
    return {package: metadata.version(package).partition("+")[0] for package in packages}
