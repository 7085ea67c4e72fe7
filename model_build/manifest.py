"""The model manifest, `model.json`: what the evidence attests about a model.

The file is canonical JSON (RFC 8785) with no newline at its end, so the SHA-256 of the file is the model digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import rfc8785
from pydantic import AfterValidator, Field, ValidationError

from model_build import general, lfs
from model_build.errors import ContractError
from model_build.general import Divisors, Facts, Text, Triple
from model_build.general import Part as _Part
from model_build.precision import Precision, Sha256  # noqa: TC001 -- pydantic looks them up

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "model.json"

PlainFileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]
"""A file beside the manifest: no folders, nothing hidden, nothing a shell or a zip reader could take amiss."""

Format = Literal["jpeg", "png", "webp", "avif"]
"""An image format that the function can decode."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""All of them, in the order in which a manifest lists those that are taken."""

DEFAULT_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")
"""What the models made here take unless others are asked for, and what a manifest without `formats` takes."""


def _in_order(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    """Two manifests that take the same have the same digest. Raises `ValueError`."""
    if formats != tuple(each for each in FORMATS if each in formats):
        raise ValueError(f"the formats are not in the order {', '.join(FORMATS)}, or one comes twice")
    return formats


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

    resize: int = Field(default=232, ge=224)
    crop: Literal[224] = 224
    interpolation: Literal["bilinear"] = "bilinear"
    antialias: Literal[True] = True
    mean: Triple = general.MEAN
    std: Divisors = general.STD

    @property
    def spelt_out(self) -> general.Preprocessing:
        """The same with all that goes without saying."""
        return general.Preprocessing(
            resize=self.resize,
            crop=(self.crop, self.crop),
            interpolation=self.interpolation,
            scale=general.OF_255,
            mean=self.mean,
            std=self.std,
            channels="RGB",
        )


class Decoding(_Part):
    """`dct_scaling`: large JPEGs are decoded at a half, a quarter or an eighth of their width and height.

    As long as the shorter side stays at least twice `Preprocessing.resize`.
    """

    dct_scaling: bool


class Labels(_Part):
    """The labels' file: UTF-8, one class a line, in class order."""

    file: PlainFileName
    count: int = Field(ge=1)
    sha256: Sha256


class GeneralLabels(Labels):
    """As `Labels`, for an output whose first `offset` values have none: 1 for ImageNet's 1001 with a background."""

    offset: int = Field(ge=0)


class _Manifest(_Part):
    """What all manifests have. `versions` names only the packages that made this model."""

    name: Text
    version: Text
    trained: bool
    weights: Weights
    onnx: Onnx
    formats: Annotated[tuple[Format, ...], Field(min_length=1), AfterValidator(_in_order)] | None = None
    """The image formats that are taken; absent from manifests made before there was a choice."""
    decoding: Decoding | None = None
    """Absent from manifests made before there was a choice: every JPEG is decoded whole."""
    versions: dict[str, str]
    notice: Text | None = None
    """What everyone who gets an answer of this model must know; absent where there is nothing to say."""

    def canonical(self) -> bytes:
        """The manifest in canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> bytes:
        """The model digest: SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()


class Manifest(_Manifest):
    """The manifest of a model of ResNet50's contract; docs/architecture.md shows one."""

    format: Literal["blindsight-model/1"] = "blindsight-model/1"
    input: Input = Input()
    output: Output
    preprocessing: Preprocessing = Preprocessing()
    labels: Labels
    precision: None = None
    """Always absent: the graph computes in float32."""

    @property
    def facts(self) -> Facts:
        """What the model takes and gives."""
        return Facts(
            general.Input(name=self.input.name, layout="NCHW", size=(224, 224), batch="free", dtype="float32"),
            self.preprocessing.spelt_out,
            general.softmax_of_logits(self.output.name, self.output.shape[1]),
        )


class GeneralManifest(_Manifest):
    """The manifest of any other classifier and of int8 variants; every fact is spelt out. docs/models.md shows one."""

    format: Literal["blindsight-model/2"] = "blindsight-model/2"
    input: general.Input
    output: general.Output
    preprocessing: general.Preprocessing
    labels: GeneralLabels
    precision: Precision | None = None
    """Absent where the graph computes in float32."""

    @property
    def facts(self) -> Facts:
        """What the model takes and gives."""
        return Facts(self.input, self.preprocessing, self.output, self.labels.offset)


AnyManifest = Manifest | GeneralManifest


def arithmetic(described: AnyManifest) -> Literal["float32", "int8"]:
    """What the graph computes in."""
    return "float32" if described.precision is None else described.precision.name


def of_facts(
    facts: Facts,
    labels: Labels,
    *,
    precision: Precision | None = None,
    **said: Any,  # noqa: ANN401 -- the members that all have
) -> AnyManifest:
    """The manifest of a model with these facts, in the first format where that can say them.

    Without `precision` the model is one of float32. Raises `ValidationError`.
    """
    if precision is not None or not facts.fixed:
        return GeneralManifest(
            input=facts.input,
            output=facts.output,
            preprocessing=facts.preprocessing,
            labels=GeneralLabels(file=labels.file, count=labels.count, sha256=labels.sha256, offset=facts.offset),
            precision=precision,
            **said,
        )
    preprocessing = facts.preprocessing.model_dump(include={"resize", "mean", "std"})
    return Manifest(
        output=Output(shape=("N", facts.output.classes)),
        preprocessing=Preprocessing(**preprocessing),
        labels=labels,
        **said,
    )


def read(directory: Path) -> AnyManifest:
    """Read and validate the manifest of a model directory. Raises `ContractError`."""
    path = directory / FILE_NAME
    manifest, data = _parse(path)
    if manifest.canonical() != data:
        raise ContractError(
            f"{path} is not canonical JSON (RFC 8785), so its digest is not the model's", "build it again"
        )
    return manifest


def beside(onnx: Path) -> AnyManifest | None:
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


def _parse(path: Path) -> tuple[AnyManifest, bytes]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read: {error.strerror}",
            "make a model directory: `python -m model_build build --out DIR`",
        ) from error
    try:
        return _kind(data).model_validate_json(data), data
    except ValidationError as error:
        if lfs.is_pointer(data):
            raise ContractError(f"{path} is a Git LFS pointer, not the file", lfs.FETCH) from error
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        raise ContractError(
            f"{path} is not a valid manifest: {place}: {first['msg']}", f"remove {path}, and build the model again"
        ) from error


def _kind(data: bytes) -> type[AnyManifest]:
    """Which manifest `data` means to be."""
    try:
        stated = json.loads(data)["format"]
    except (ValueError, LookupError, TypeError):
        stated = None
    return GeneralManifest if stated == "blindsight-model/2" else Manifest


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_versions(*packages: str) -> dict[str, str]:
    """The installed versions of `packages`, without local labels: `+cpu` names an index, not what is computed."""
    return {package: metadata.version(package).partition("+")[0] for package in packages}
