"""Decode the part of CBOR (RFC 8949) that attestation documents use, and nothing else.

Integers, byte and text strings, arrays, maps with integer or text keys, null and booleans; definite lengths in their
shortest form; no tags, floats or duplicate keys; nothing after the value. A general decoder reads more before anything
is authenticated (cbor2 compiles a regular expression for tag 35 and builds cycles for tag 29), and tells these
refusals apart only in its messages.
"""

from __future__ import annotations

from blindsight.errors import EvidenceFormatError

CBORValue = int | bytes | str | bool | list["CBORValue"] | dict[int | str, "CBORValue"] | None

MAX_DEPTH = 4
"""Nested arrays and maps. An attestation payload has two: a map that holds a map (pcrs) and an array (cabundle)."""

_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None}


def decode(data: bytes, *, step: int) -> CBORValue:
    """Decode the one value that `data` consists of. Raises `EvidenceFormatError`, marked with `step`."""
    decoder = _Decoder(data, step)
    value = decoder.value(depth=0)
    if decoder.position != len(data):
        raise EvidenceFormatError("trailing_bytes", "Bytes follow the end of the CBOR value.", step=step)
    return value


class _Decoder:
    def __init__(self, data: bytes, step: int) -> None:
        self.data = data
        self.step = step
        self.position = 0

    def value(self, depth: int) -> CBORValue:
        if depth > MAX_DEPTH:
            raise self._error("nesting_too_deep", f"More than {MAX_DEPTH} nested arrays or maps.")
        major, argument = self._head()
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                try:
                    return self._take(argument).decode("utf-8")
                except UnicodeDecodeError as error:
                    raise self._error("malformed_cbor", "A text string is not UTF-8.") from error
            case 4:
                # A forged length cannot make this long: every element takes a byte, and the document is small.
                return [self.value(depth + 1) for _ in range(argument)]
            case 5:
                return self._map(argument, depth)
            case 6:
                raise self._error("unexpected_tag", f"CBOR tag {argument} where none is allowed.")
            case _:
                if argument not in _SIMPLE:
                    raise self._error("malformed_cbor", "A floating-point number or an unassigned simple value.")
                return _SIMPLE[argument]

    def _map(self, count: int, depth: int) -> dict[int | str, CBORValue]:
        entries: dict[int | str, CBORValue] = {}
        for _ in range(count):
            key = self.value(depth + 1)
            # type() and not isinstance: True would be taken for the key 1.
            if type(key) not in (int, str):
                raise self._error("malformed_cbor", "A map key is neither an integer nor text.")
            if key in entries:
                raise self._error("duplicate_key", "A map has the same key twice.")
            entries[key] = self.value(depth + 1)  # type: ignore[index]  # narrowed by type() above
        return entries

    def _head(self) -> tuple[int, int]:
        """Read a data item head: major type 0-7 and argument (RFC 8949, section 3)."""
        major, info = divmod(self._take(1)[0], 32)
        if info < 24:
            return major, info
        if info == 31:
            raise self._error("indefinite_length", "An indefinite length or a break.")
        if info > 27:
            raise self._error("malformed_cbor", "A reserved length encoding.")
        size = 1 << (info - 24)
        argument = int.from_bytes(self._take(size), "big")
        if major == 7 or argument < (24 if size == 1 else 1 << (4 * size)):
            raise self._error("malformed_cbor", "A number not in its shortest form, or a floating-point number.")
        return major, argument

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise self._error("malformed_cbor", "The document ends in the middle of a value.")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _error(self, code: str, message: str) -> EvidenceFormatError:
        return EvidenceFormatError(code, message, step=self.step)
