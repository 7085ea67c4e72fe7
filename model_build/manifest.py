"""The model manifest, `model.json`, whose digest the evidence contains.

The file is canonical JSON (RFC 8785) without a newline at its end, so the file's SHA-256 is the model digest.
"""

from __future__ import annotations

import hashlib
import os
from importlib import metadata
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import rfc8785
from pydantic import AfterValidator, Field, ValidationError

from blindsight import strict_json
from model_build import general, lfs
from model_build.errors import ContractError
from model_build.general import Count, Divisors, Facts, Text, Triple
from model_build.general import Part as _Part
from model_build.precision import Precision, Sha256  # noqa: TC001 -- pydantic looks them up

if TYPE_CHECKING:
    from pathlib import Path

FILE_NAME = "model.json"

_MOST_BYTES = 1 << 20
"""Largest manifest, the same as in the function."""

_REASON_CHARACTERS = 300

PlainFileName = Annotated[str, Field(max_length=255, pattern=r"^[A-Za-z0-9_][A-Za-z0-9._+-]*$")]
"""The name of a file beside the manifest: no folders, not hidden, no special characters."""

Format = Literal["jpeg", "png", "webp", "avif"]
"""An image format that the function can decode."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""All formats, in the order in which a manifest lists the accepted ones."""

DEFAULT_FORMATS: tuple[Format, ...] = ("jpeg", "png", "webp")
"""Accepted formats of new models by default, and of manifests without `formats`."""


def _in_order(formats: tuple[Format, ...]) -> tuple[Format, ...]:
    """Require the fixed order, so that equal lists have equal digests. Raises `ValueError`."""
    if formats != tuple(each for each in FORMATS if each in formats):
        raise ValueError(f"the formats are not in the order {', '.join(FORMATS)}, or one comes twice")
    return formats


class Weights(_Part):
    """Origin of the weights: a name, and the SHA-256 of the weights file or of the seeded state (`export`)."""

    name: Text
    sha256: Sha256


class Onnx(_Part):
    """The graph's file: its size in bytes, and the version of the default operator set that it imports."""

    file: PlainFileName
    sha256: Sha256
    bytes: Count
    opset: Count


class Input(_Part):
    """The contract's input: normalised RGB pictures, batch axis first."""

    name: Literal["input"] = "input"
    shape: tuple[Literal["N"], Literal[3], Literal[224], Literal[224]] = ("N", 3, 224, 224)
    dtype: Literal["float32"] = "float32"


class Output(_Part):
    """The contract's output: one logit for each class. `activation` converts logits to scores, 0..1."""

    name: Literal["output"] = "output"
    shape: tuple[Literal["N"], Annotated[int, Field(ge=2, le=general.MOST_COUNT)]]
    activation: Literal["softmax"] = "softmax"


class Preprocessing(_Part):
    """The transform in front of the model. Sizes in pixels; `mean` and `std` by RGB channel, for levels in 0..1.

    Defaults are those of `ResNet50_Weights.DEFAULT.transforms()` in torchvision.
    """

    resize: int = Field(default=232, ge=224, le=general.MOST_PIXELS)
    crop: Literal[224] = 224
    interpolation: Literal["bilinear"] = "bilinear"
    antialias: Literal[True] = True
    mean: Triple = general.MEAN
    std: Divisors = general.STD

    @property
    def spelt_out(self) -> general.Preprocessing:
        """The same with all members of the second format."""
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

    The shorter side stays at least twice as long as `Preprocessing.resize`.
    """

    dct_scaling: bool


class Labels(_Part):
    """The labels' file: UTF-8, one class per line, in class order."""

    file: PlainFileName
    count: Count
    sha256: Sha256


class GeneralLabels(Labels):
    """As `Labels`. The first `offset` values of the output have no label: 1 for ImageNet's 1001 classes."""

    offset: int = Field(ge=0, le=general.MOST_COUNT)


class _Manifest(_Part):
    """Members of both formats. `versions` names only the packages that made this model."""

    name: Text
    version: Text
    trained: bool
    weights: Weights
    onnx: Onnx
    formats: Annotated[tuple[Format, ...], Field(min_length=1), AfterValidator(_in_order)] | None = None
    """Accepted image formats. Manifests of older versions lack it."""
    decoding: Decoding | None = None
    """Manifests of older versions lack it; every JPEG is then decoded in full."""
    versions: dict[str, str]
    notice: Text | None = None
    """A warning that every answer of this model contains, if present."""

    def canonical(self) -> bytes:
        """The manifest in canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_none=True))

    def digest(self) -> bytes:
        """The model digest: SHA-256 of the canonical manifest, 32 bytes."""
        return hashlib.sha256(self.canonical()).digest()


class Manifest(_Manifest):
    """The manifest of a model with ResNet50's contract; docs/architecture.md shows one."""

    format: Literal["blindsight-model/1"] = "blindsight-model/1"
    input: Input = Input()
    output: Output
    preprocessing: Preprocessing = Preprocessing()
    labels: Labels
    precision: None = None
    """Always absent: the graph computes in float32."""

    @property
    def facts(self) -> Facts:
        """Input, transform and output of the model."""
        return Facts(
            general.Input(name=self.input.name, layout="NCHW", size=(224, 224), batch="free", dtype="float32"),
            self.preprocessing.spelt_out,
            general.softmax_of_logits(self.output.name, self.output.shape[1]),
        )


class GeneralManifest(_Manifest):
    """The manifest of another classifier or an int8 variant; docs/models.md shows one."""

    format: Literal["blindsight-model/2"] = "blindsight-model/2"
    input: general.Input
    output: general.Output
    preprocessing: general.Preprocessing
    labels: GeneralLabels
    precision: Precision | None = None
    """Absent if the graph computes in float32."""

    @property
    def facts(self) -> Facts:
        """Input, transform and output of the model."""
        return Facts(self.input, self.preprocessing, self.output, self.labels.offset)


AnyManifest = Manifest | GeneralManifest


def arithmetic(described: AnyManifest) -> Literal["float32", "int8"]:
    """The precision in which the graph computes."""
    return "float32" if described.precision is None else described.precision.name


def of_facts(
    facts: Facts,
    labels: Labels,
    *,
    precision: Precision | None = None,
    **said: Any,  # noqa: ANN401 -- the members that all have
) -> AnyManifest:
    """The manifest of a model with these facts, in the first format if it can express them.

    Without `precision` the model computes in float32. `said` are the members of `_Manifest`. Raises `ValidationError`.
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
    """The manifest beside an ONNX file, in any JSON form; None if there is no `model.json`.

    Raises `ContractError` if it does not belong to this file. It must not be ignored, because only it may state that
    the model is untrained.
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
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ContractError(
            f"{path} cannot be read: {error.strerror}",
            "make a model directory: `python -m model_build build --out DIR`",
        ) from error
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES} bytes")
        # pydantic's parser takes the last of several members, and numbers that are not finite.
        stated = strict_json.loads(data)
        general_format = isinstance(stated, dict) and stated.get("format") == "blindsight-model/2"
        return (GeneralManifest if general_format else Manifest).model_validate_json(data), data
    except ValueError as error:
        if lfs.is_pointer(data):
            raise ContractError(f"{path} is a Git LFS pointer, not the file", lfs.FETCH) from error
        raise ContractError(
            f"{path} is not a valid manifest: {_reason(error)}", f"remove {path}, and build the model again"
        ) from error


def _reason(error: ValueError) -> str:
    """What is wrong, in one line; names of members come from the file."""
    said = str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the document"
        said = f"{place}: {first['msg']}"
    return "".join(each if each.isprintable() else "?" for each in said)[:_REASON_CHARACTERS]


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def installed_versions(*packages: str) -> dict[str, str]:
    """Installed versions of `packages`, without local labels: `+cpu` names an index, not the code."""
    return {package: metadata.version(package).partition("+")[0] for package in packages}
