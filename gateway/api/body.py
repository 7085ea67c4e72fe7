"""Taking image bytes out of a request, in memory only, within limits, without looking inside them."""

from __future__ import annotations

import asyncio
import binascii
from typing import TYPE_CHECKING, Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from blindsight import strict_base64
from blindsight.cape.constants import PREFIX
from blindsight.problems import Problem
from blindsight.sealing import ohttp, padding
from gateway.api.longtext import MOST_BESIDE, BadJson, LongText, read_object

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.requests import Request

IMAGE_TYPES: Final = ("image/jpeg", "image/png", "image/webp")
TENSOR_TYPE: Final = "application/octet-stream"
CIPHERTEXT_TYPE: Final = "text/plain"
"""Of a value that a Cape client encrypted for the account of the classifier."""
_MULTIPART_ROOM: Final = 64 * 1024
"""Bytes of a form beside its files: boundaries, part headers, other fields."""
_ENVELOPE_ROOM: Final = 4096
"""Bytes of a sealed request beside its image, before it is padded: the request around it."""


async def read_image(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read the one image of a request: multipart field `file`, raw body, JSON `{"image": "<base64>"}`, or ciphertext.

    `limit` is the largest image in bytes, `seconds` the time for the body to arrive. Raises `Problem`.
    """
    media_type = media_type_of(request)
    async with _body_timeout(seconds):
        if media_type == "multipart/form-data":
            files = await _read_form(request, "file", limit=limit + _MULTIPART_ROOM, told=limit, most=1)
            if not files:
                raise Problem("empty_body", "The form has no file in a field called 'file'.")
            return _checked(files[0], limit)
        if media_type == "application/json":
            # Base64 writes three bytes as four characters.
            return _from_json(await _read_all(request, limit=limit * 4 // 3 + MOST_BESIDE, told=limit), limit)
        if media_type in IMAGE_TYPES or media_type == TENSOR_TYPE:
            return _checked(await _read_all(request, limit=limit, told=limit), limit)
        if media_type == CIPHERTEXT_TYPE:
            # Base64, as in JSON; what it is of is counted in the enclave again.
            return _ciphertext(await _read_all(request, limit=limit * 4 // 3 + _MULTIPART_ROOM, told=limit))
    raise Problem(
        "unsupported_media_type",
        "Send multipart/form-data with a field 'file', image/jpeg, image/png, image/webp,"
        " application/octet-stream, application/json, message/ohttp-req, or text/plain beginning with 'cape:'.",
    )


async def read_sealed(request: Request, *, limit: int, seconds: float) -> bytes:
    """Read a `message/ohttp-req` that may hold an image of `limit` bytes. Raises `Problem`."""
    async with _body_timeout(seconds):
        longest = padding.request_length(limit + _ENVELOPE_ROOM) + ohttp.MAX_REQUEST_OVERHEAD
        return await _read_all(request, limit=longest, told=limit)


async def read_images(request: Request, *, limit: int, most: int, total: int, seconds: float) -> list[bytes | Problem]:
    """Read the images of a multipart form's `files` fields, in order; one that is unusable is a problem in its place.

    Raises `Problem` for what concerns the whole form: no form, no image, more than `most`, more than `total` bytes.
    """
    if media_type_of(request) != "multipart/form-data":
        raise Problem("unsupported_media_type", "Send multipart/form-data with one or more fields called 'files'.")
    async with _body_timeout(seconds):
        files = await _read_form(request, "files", limit=total, told=total, most=most)
    if not files:
        raise Problem("empty_body", "The form has no file in a field called 'files'.")
    items: list[bytes | Problem] = []
    for content in files:
        try:
            items.append(_checked(content, limit))
        except Problem as problem:
            items.append(problem)
    return items


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


async def _limited(request: Request, limit: int, told: int) -> AsyncGenerator[bytes, None]:
    """The body's chunks; refused by its announced length before the first, or by count at the first beyond `limit`."""
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
    return b"".join([chunk async for chunk in _limited(request, limit, told)])


class _Form(MultiPartParser):
    """Starlette's parser, which takes a form that was cut short for a whole one."""

    complete = False

    def on_end(self) -> None:
        self.complete = True

    def close(self) -> None:
        """Give all files back, also one that was cut: a form closes only those that it has."""
        for file in self._files_to_close_on_error:
            file.close()


async def _read_form(request: Request, field: str, *, limit: int, told: int, most: int) -> list[bytes]:
    """The files in a form's fields called `field`, `most` at the most."""
    parser = _Form(request.headers, _limited(request, limit, told), max_files=most, max_fields=8)
    parser.spool_max_size = limit + 1  # Starlette would write larger files to disk, where no image belongs.
    try:
        form = await parser.parse()
        if not parser.complete:
            raise Problem("bad_multipart", "The multipart form ends before its last boundary.")
        return [await value.read() for value in form.getlist(field) if isinstance(value, UploadFile)]
    except MultiPartException as error:
        if "files" in error.message.lower() and "maximum" in error.message.lower():
            raise Problem(
                "too_many_images", f"At most {most} image(s) fit in one request.", limit_images=most
            ) from error
        raise Problem("bad_multipart", "The multipart form is malformed.") from error
    except (KeyError, ValueError, UnicodeError) as error:
        raise Problem("bad_multipart", "The multipart form is malformed.") from error
    finally:
        # However it ended: in time, too late, or with its sender gone.
        parser.close()


def _ciphertext(value: bytes) -> bytes:
    if not value:
        raise Problem("empty_body", "The body is empty.")
    if not value.startswith(PREFIX):
        raise Problem("cannot_decrypt", "The text is no Cape ciphertext: those begin with 'cape:'.")
    return value


def _from_json(body: bytes, limit: int) -> bytes:
    try:
        fields = read_object(body)
        if fields.keys() >= {"image", "ciphertext"}:
            raise BadJson("Send one of the members 'image' and 'ciphertext', not both.")
        name = "image" if fields.get("image") is not None else "ciphertext"
        text = fields.get(name)
        if isinstance(text, LongText):
            content = text.unescaped()
        elif isinstance(text, str):
            # JSON can escape half a surrogate pair, which is no character and no base64.
            content = text.encode(errors="replace")
        else:
            raise BadJson('The body must be an object {"image": "<base64>"} or {"ciphertext": "cape:…"}.')
    except BadJson as error:
        raise Problem("bad_json", str(error)) from error
    if name == "ciphertext":
        return _ciphertext(content)
    try:
        image = strict_base64.decode(content)
    except binascii.Error as error:
        raise Problem("bad_json", "The member 'image' is not standard base64.") from error
    return _checked(image, limit)
