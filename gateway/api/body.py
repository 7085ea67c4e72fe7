"""Extraction of image bytes from requests, in memory only, within limits, without parsing the images."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from blindsight.cape.constants import PREFIX
from blindsight.problems import Problem
from blindsight.sealing import ohttp, padding
from gateway import codings
from gateway.api import base64text
from gateway.api.form import Form, FormReader
from gateway.api.longtext import MOST_BESIDE, BadJson, LongText, read_object
from gateway.api.parameters import Given, check_names

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from starlette.requests import Request

BYTES_TYPES: Final = ("application/octet-stream", "binary/octet-stream")
"""Types of bodies whose format is detected from the content, besides `image/*` and no type."""
CIPHERTEXT_TYPE: Final = "text/plain"
"""Type of a value that a Cape client encrypted for the classifier's account."""
PARAMETERS: Final = ("top_k", "receipt")
BATCH_PARAMETERS: Final = ("top_k",)
_FIELDS, _BATCH_FIELDS = ("file", "image"), ("files", "images", "file", "image")
_MEMBERS: Final = ("image", "ciphertext")
_FORM_ROOM: Final = 64 * 1024
"""Bytes of a form besides its files: boundaries, part headers, other fields."""
_ENVELOPE_ROOM: Final = 4096
"""Bytes of a sealed request besides its image, before padding."""
_SENT_BY_CURL: Final = "application/x-www-form-urlencoded"
"""The type that curl sends by default."""


@dataclass(frozen=True)
class Upload:
    """The image of a request, or a Cape ciphertext, and the parameters in the body."""

    image: bytes = field(repr=False)
    given: Given


async def read_image(request: Request, *, limit: int, seconds: float) -> Upload:
    """Read the one image of a request: a field of a form, the raw body, JSON `{"image": "<base64>"}`, or ciphertext.

    `limit` is the largest image in bytes, `seconds` the time for the body to arrive. Raises `Problem`.
    """
    media_type = _one_media_type(request)
    # Base64 writes three bytes as four characters.
    in_base64 = limit * 4 // 3 + MOST_BESIDE
    async with _body_timeout(seconds):
        if media_type == "multipart/form-data":
            form = await _read_form(
                request, _FIELDS, PARAMETERS, limit=limit + _FORM_ROOM, told=limit, most=1,
                hint=" Several images go to /classify/batch.",
            )  # fmt: skip
            if not form.images:
                raise Problem("empty_body", "The form has no image in a field called 'file' or 'image'.")
            return Upload(_checked(form.images[0], limit), Given("the form", form.texts))
        if media_type == "application/json":
            return _from_json(await _read_all(request, limit=in_base64, told=limit), limit)
        if _is_raw(media_type):
            return Upload(_checked(await _read_all(request, limit=limit, told=limit), limit), _NOTHING)
        if media_type == CIPHERTEXT_TYPE:
            # What it is of is counted in the enclave again.
            return Upload(_ciphertext(await _read_all(request, limit=in_base64, told=limit)), _NOTHING)
    raise Problem("unsupported_media_type", _TAKEN + (_HOW_WITH_CURL if media_type == _SENT_BY_CURL else ""))


async def read_sealed(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read a `message/ohttp-req` that can contain an image of `limit` bytes. Raises `Problem`."""
    if request.headers.get("content-encoding", "").strip().lower() not in {"", "identity"}:
        # One message has one spelling.
        detail = "A sealed message has no Content-Encoding: send it as it is."
        raise Problem("unsupported_media_type", detail, accept_encoding="identity")
    async with _body_timeout(seconds):
        longest = padding.request_length(limit + _ENVELOPE_ROOM) + ohttp.MAX_REQUEST_OVERHEAD
        return await _read_all(request, limit=longest, told=limit)


async def read_images(
    request: Request, *, limit: int, most: int, total: int, seconds: float
) -> tuple[list[bytes | Problem], Given]:
    """Read the images of a form, in order, with a problem in place of each unusable one, and the form's parameters.

    Raises `Problem` for faults of the whole form: not a form, no image, more than `most` images, more than `total`
    bytes.
    """
    if _one_media_type(request) != "multipart/form-data":
        raise Problem("unsupported_media_type", "Send multipart/form-data with one or more fields called 'files'.")
    async with _body_timeout(seconds):
        form = await _read_form(request, _BATCH_FIELDS, BATCH_PARAMETERS, limit=total, told=total, most=most)
    if not form.images:
        raise Problem("empty_body", "The form has no image in a field called 'files' or 'images'.")
    items: list[bytes | Problem] = []
    for content in form.images:
        try:
            items.append(_checked(content, limit))
        except Problem as problem:
            items.append(problem)
    return items, Given("the form", form.texts)


_NOTHING: Final = Given("the body", {})
_TAKEN: Final = (
    "Send the image itself (image/*, application/octet-stream, binary/octet-stream or no type), multipart/form-data"
    " with a field 'file' or 'image', application/json with a member 'image' in base64, or message/ohttp-req; a Cape"
    " ciphertext as text/plain."
)
_HOW_WITH_CURL: Final = " With curl's --data-binary add -H 'Content-Type: image/jpeg'."


def _is_raw(media_type: str) -> bool:
    return not media_type or media_type.startswith("image/") or media_type in BYTES_TYPES


def _checked(image: bytes, limit: int) -> bytes:
    if not image:
        raise Problem("empty_body", "The image is empty.")
    if len(image) > limit:
        raise _too_large(limit)
    return image


def _too_large(limit: int) -> Problem:
    return Problem("image_too_large", f"The image has more than {limit} bytes.", limit_bytes=limit)


def media_type_of(request: Request) -> str:
    """The body's media type, lower-case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _one_media_type(request: Request) -> str:
    if len(request.headers.getlist("content-type")) > 1:
        raise Problem("bad_request", "A request has one header field Content-Type.")
    return media_type_of(request)


class _body_timeout:  # noqa: N801 -- used like a function
    """`asyncio.timeout` that raises a `Problem`."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, *exception: object) -> None:
        try:
            await self._timeout.__aexit__(*exception)  # type: ignore[arg-type]  # passed on as it came
        except TimeoutError as error:
            raise Problem("request_timeout", f"The body did not arrive within {self._seconds:g} s.") from error


def _content(request: Request, limit: int, told: int) -> AsyncGenerator[bytes, None]:
    """The decompressed body in pieces. Raises `Problem`, as soon as it exceeds `limit`."""
    try:
        coding = codings.coding_of(request.headers)
    except codings.UnknownCodingError as error:
        raise Problem("unsupported_media_type", str(error), accept_encoding=codings.TAKEN) from error
    return _decoded(request, coding, limit, told) if coding else _limited(request, limit, told)


async def _decoded(request: Request, coding: str, limit: int, told: int) -> AsyncGenerator[bytes, None]:
    read = 0
    async with aclosing(codings.opened(_limited(request, codings.room(limit), told), coding)) as pieces:
        try:
            async for piece in pieces:
                read += len(piece)
                if read > limit:
                    raise _too_large(told)
                yield piece
        except codings.BrokenCodingError as error:
            raise Problem("bad_request", str(error)) from error


async def _limited(request: Request, limit: int, told: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; refused by its announced length, or at the first chunk beyond `limit`."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(told)
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > limit:
            raise _too_large(told)
        yield chunk


async def _read_all(request: Request, *, limit: int, told: int) -> bytes:
    return b"".join([piece async for piece in _content(request, limit, told)])


async def _read_form(
    request: Request, fields: Sequence[str], texts: Sequence[str], *, limit: int, told: int, most: int, hint: str = ""
) -> Form:
    content_type = request.headers.get("content-type", "")
    reader = FormReader(content_type, images=fields, texts=texts, most=most, hint=hint)
    async with aclosing(_content(request, limit, told)) as pieces:
        async for piece in pieces:
            reader.feed(piece)
    return reader.finish()


def _ciphertext(value: bytes) -> bytes:
    if not value:
        raise Problem("empty_body", "The body is empty.")
    if not value.startswith(PREFIX):
        raise Problem("cannot_decrypt", "The text is no Cape ciphertext: those begin with 'cape:'.")
    return value


def _from_json(body: bytes, limit: int) -> Upload:
    try:
        fields = read_object(body)
        del body  # A large image is here several times otherwise.
        check_names(fields, [*_MEMBERS, *PARAMETERS], "member")
        # Generated clients write null for what their callers left out.
        fields = {name: value for name, value in fields.items() if value is not None}
        if fields.keys() >= set(_MEMBERS):
            raise BadJson("Send one of the members 'image' and 'ciphertext', not both.")
        given = Given("the JSON", {name: [_as_text(fields[name])] for name in PARAMETERS if name in fields})
        if "ciphertext" in fields:
            return Upload(_ciphertext(_long(fields.pop("ciphertext"))), given)
        if "image" not in fields:
            raise BadJson('The body must be an object {"image": "<base64>"} or {"ciphertext": "cape:…"}.')
        return Upload(_checked(_from_base64(_long(fields.pop("image"))), limit), given)
    except BadJson as error:
        raise Problem("bad_json", str(error)) from error


def _long(value: Any) -> bytes:  # noqa: ANN401 -- a value of JSON
    """The bytes of a text. Raises `BadJson`."""
    if isinstance(value, LongText):
        return value.unescaped()
    if not isinstance(value, str):
        raise BadJson("The members 'image' and 'ciphertext' are texts.")
    # JSON can escape half a surrogate pair, which is no character.
    return value.encode(errors="surrogatepass")


def _from_base64(text: bytes) -> bytes:
    """Raises `BadJson`, or `Problem` for a data URL of what is not an image."""
    try:
        media_type, start = base64text.split(text)
        if not _is_raw(media_type):
            raise Problem("unsupported_media_type", "The data URL in 'image' is of another type than image/*.")
        return base64text.decode(text, start)
    except base64text.UnreadableError as error:
        raise BadJson(f"The member 'image' cannot be read as base64: {error}.") from error


def _as_text(value: Any) -> str:  # noqa: ANN401 -- a value of JSON
    """An integer or a boolean in the form of a query parameter; an invalid value for anything else."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else ""
