"""Models of the answers, for the OpenAPI page and for generated clients."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, RootModel

from blindsight.attestation import EvidenceKind


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow")


class Prediction(_Shape):
    """One class."""

    rank: int = Field(description="1 is the best.", examples=[1])
    class_id: int = Field(
        description="Index of the class in the model's labels; names may repeat, indexes do not.", examples=[207]
    )
    label: str = Field(examples=["golden retriever"])
    score: float = Field(
        ge=0,
        le=1,
        description="Softmax probability; for a multi-label model (`model.multi_label`) an independent sigmoid score.",
        examples=[0.981],
    )


class ModelInfo(_Shape):
    """The model."""

    name: str = Field(examples=["resnet50"])
    version: str = Field(examples=["IMAGENET1K_V2"])
    digest: str = Field(description="SHA-256 of the canonical model manifest, attested.")
    trained: bool = Field(description="False: the weights are random and the answer is noise.")
    precision: str = Field(
        description="The arithmetic of the model, from its attested manifest: `float32`, or `int8`, whose agreement"
        " with `float32` the manifest states.",
        examples=["float32"],
    )
    multi_label: bool | None = Field(
        default=None,
        description="True: each class has an independent score. Several can be right, or none, and scores do not sum to"
        " 1. Otherwise absent.",
    )


class ImageSize(_Shape):
    """Size of the upright image, pixels."""

    width: int
    height: int


class EnclaveInfo(_Shape):
    """The enclave."""

    kind: EvidenceKind = Field(description="Evidence of any kind but `nitro` proves nothing about the host.")
    verified: bool = Field(description="The gateway accepted the enclave's evidence under its policy.")
    function_checksum: str = Field(description="SHA-256 of the function bundle, attested.")
    measurements: dict[str, str] = Field(description="PCR index to SHA-384, hex.")


class Classification(_Shape):
    """The classes of one image, best first."""

    request_id: str
    predictions: list[Prediction]
    model: ModelInfo
    image: Annotated[ImageSize | None, Field(description="Upright size in pixels; null for a tensor.")]
    enclave: EnclaveInfo
    timings_ms: dict[str, float] = Field(
        description="decode, preprocess, run: in the worker; enclave: the sealed exchange."
    )
    notice: str | None = Field(default=None, description="What the caller must know about this answer.")
    receipt: str | None = Field(default=None, description="If asked for: the enclave's signature, a compact JWS.")
    evidence: dict[str, Any] | None = Field(default=None, description="With it: the document and the model manifest.")


class ProblemDetails(_Shape):
    """RFC 9457 problem details."""

    type: str = Field(examples=["/problems#not_an_image"])
    title: str
    status: int
    detail: str
    code: str = Field(description="Stable; for programs.", examples=["not_an_image"])
    retryable: bool = Field(description="The same request may succeed later.")
    instance: str | None = Field(
        default=None, description="`urn:uuid:` of the request; absent in a batch, which has one `request_id`."
    )


class ImageClassification(_Shape):
    """The classes of one image of a batch, best first."""

    predictions: list[Prediction]
    image: Annotated[ImageSize | None, Field(description="Upright size in pixels; null for a tensor.")]
    timings_ms: dict[str, float] = Field(
        description="decode, preprocess, run: in the worker; enclave: the sealed exchange."
    )


class ImageProblem(_Shape):
    """The problem of one image of a batch."""

    problem: ProblemDetails


class ImageResult(RootModel[ImageClassification | ImageProblem]):
    """The result of one image: classes or a problem."""


class BatchClassification(_Shape):
    """The results of several images, in their order."""

    request_id: str
    results: list[ImageResult]
    model: ModelInfo | None
    enclave: EnclaveInfo
    notice: str | None = None


class Attestation(_Shape):
    """Evidence, key configurations and model manifest."""

    format: str = Field(description="The version of this object.", examples=["blindsight-attestation/1"])
    document: str = Field(description="The attestation document, base64.")
    key_configs: str = Field(description="The `application/ohttp-keys` list whose digest the document claims, base64.")
    model: dict[str, Any] = Field(description="The model manifest whose canonical digest the document claims.")
    kind: EvidenceKind
    enclave_id: str = Field(description="The enclave of this evidence.")
    enclaves: list[str] = Field(description="All enclaves of this gateway, for the parameter `enclave`.")
    reading: dict[str, Any] = Field(description="The gateway's reading, step by step. Verify the document yourself.")


class Confinement(_Shape):
    """The confinement of untrusted code in the enclave, according to the enclave."""

    layers: list[str] = Field(examples=[["user ids", "namespaces", "cgroup", "landlock", "seccomp"]])
    landlock_abi: int = Field(description="The version in use; 0 for none.")
    absent: dict[str, str] = Field(description="Each layer that is not in force, and why.")
    gaps: list[str] = Field(description="The parts of the promise that are not kept; empty if all are.")


class ListedEnclave(_Shape):
    """One of the gateway's enclaves."""

    id: str = Field(description="For the parameter `enclave` of `/attestation` and `/.well-known/ohttp-gateway`.")
    ready: bool = Field(description="Whether it is verified and warm.")
    model_digest: str | None = Field(description="Null while it is not verified.")


class Limits(_Shape):
    """Limits of one request."""

    max_image_bytes: int = Field(description="Of one file.")
    max_batch_images: int
    max_batch_bytes: int = Field(description="Of all files of a batch together.")
    max_in_flight: int = Field(description="Requests that are answered at once; more are refused with `overloaded`.")
    deadline_seconds: float = Field(description="After which a request is given up, with `deadline_exceeded`.")


class Info(_Shape):
    """Description of the service."""

    name: str
    version: str
    model: dict[str, Any] | None = Field(
        description="The attested manifest and its digest; null until the enclave has been reached. `formats` are the"
        " image formats that are taken; a manifest without them means jpeg, png and webp. `output.activation` is"
        " `sigmoid` for a multi-label model, whose scores are independent of one another, else `softmax`."
    )
    confinement: Confinement | None = Field(description="Null until the enclave has been reached.")
    enclaves: list[ListedEnclave] = Field(description="All enclaves, which may differ while a release is rolled out.")
    limits: Limits
    links: dict[str, str]
    notices: list[str]


class Health(_Shape):
    """A probe's answer."""

    status: str
