"""Multipart forms (RFC 7578) with images, parsed in memory, with limits for each part."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from blindsight.problems import Problem
from gateway.api import parameters

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_TEXTS: Final = 16
"""Parts besides the images."""
_LONGEST_TEXT: Final = 64
"""Bytes of a text that are kept: no parameter is longer."""
_PLAIN_ENCODINGS: Final = frozenset({b"", b"7bit", b"8bit", b"binary"})
"""Content-Transfer-Encodings (RFC 2045) that do not change the content."""


@dataclass(frozen=True)
class Form:
    """The parsed form: the images, in order, and the texts of each parameter."""

    images: list[bytes] = field(repr=False)
    texts: dict[str, list[str]]


@dataclass
class _Part:
    name: str
    file_name: bytes
    """Empty for none."""
    content: bytearray = field(default_factory=bytearray)

    @property
    def left_empty(self) -> bool:
        """Whether this is a file input without a file, as browsers send it (HTML standard, 4.10.21.4)."""
        return not self.content and not self.file_name


class FormReader:
    """Parses a form's bytes incrementally. A part's file name is optional."""

    def __init__(
        self, content_type: str, *, images: Sequence[str], texts: Sequence[str], most: int, hint: str = ""
    ) -> None:
        """`images`: the names that image fields can have; a form must use only one of them. Raises `Problem`."""
        self._images, self._texts, self._most, self._hint = images, texts, most, hint
        self._parts: list[_Part] = []
        self._disposition = self._encoding = self._header = self._value = b""
        self._ended = False
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise Problem("bad_multipart", "The form's Content-Type names no boundary.")
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._part_begins,
                    "on_header_field": self._header_comes,
                    "on_header_value": self._value_comes,
                    "on_header_end": self._header_ends,
                    "on_headers_finished": self._head_ends,
                    "on_part_data": self._content_comes,
                    "on_end": self._form_ends,
                },
            )
        except FormParserError as error:
            raise _malformed() from error

    def feed(self, data: bytes) -> None:
        """Raises `Problem`."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise _malformed() from error

    def finish(self) -> Form:
        """The form, after its last byte. Raises `Problem`."""
        if not self._ended:
            raise Problem("bad_multipart", "The multipart form ends before its last boundary.")
        used = self._used()
        images = [bytes(part.content) for part in self._parts if part.name in used]
        if len(images) > self._most:
            raise self._too_many()
        texts: dict[str, list[str]] = {}
        for part in self._parts:
            if part.name in self._texts:
                # What is not text is no value of any parameter.
                texts.setdefault(part.name, []).append(part.content.decode("ascii", errors="replace"))
        return Form(images, texts)

    def _used(self) -> list[str]:
        """The image field that the form uses. Raises `Problem` if it uses two."""
        used = []
        for name in self._images:
            parts = [part for part in self._parts if part.name == name]
            if parts and not (len(parts) == 1 and parts[0].left_empty):
                used.append(name)
        if len(used) > 1:
            raise Problem("bad_multipart", f"The form has both fields, '{used[0]}' and '{used[1]}': send one of them.")
        return used

    def _too_many(self) -> Problem:
        detail = f"At most {self._most} image(s) fit in one request."
        detail += " Several go to /classify/batch." if self._most == 1 else ""
        return Problem("too_many_images", detail, limit_images=self._most)

    def _part_begins(self) -> None:
        self._disposition = self._encoding = b""

    def _header_comes(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _value_comes(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_ends(self) -> None:
        match self._header.lower():
            case b"content-disposition":
                self._disposition = self._value
            case b"content-transfer-encoding":
                self._encoding = self._value.strip().lower()
        self._header = self._value = b""

    def _head_ends(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if b"name" not in options:
            raise Problem("bad_multipart", "A part of the form has no name.")
        name = options[b"name"].decode(errors="replace")
        parameters.check_names([name], [*self._images, *self._texts], "form field", self._hint)
        if self._encoding not in _PLAIN_ENCODINGS:
            raise Problem("bad_multipart", "A part has a Content-Transfer-Encoding: send its bytes as they are.")
        is_image = name in self._images
        alike = sum((part.name in self._images) is is_image for part in self._parts)
        # One more than counts: an input that was left empty.
        if is_image and alike > self._most:
            self._used()
            raise self._too_many()
        if not is_image and alike >= _MOST_TEXTS:
            raise Problem("bad_multipart", f"The form has more than {_MOST_TEXTS} fields beside its images.")
        self._parts.append(_Part(name, options.get(b"filename", b"")))

    def _content_comes(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        if part.name in self._texts:
            end = min(end, start + _LONGEST_TEXT - len(part.content))
        part.content += memoryview(data)[start:end]

    def _form_ends(self) -> None:
        self._ended = True


def _malformed() -> Problem:
    return Problem("bad_multipart", "The multipart form is malformed.")
