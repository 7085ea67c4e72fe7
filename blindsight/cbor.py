"""A strict decoder for the subset of CBOR (RFC 8949) that attestation documents and frames use.

Integers, byte and text strings, arrays, maps with integer or text keys, null and booleans; definite lengths in their
shortest form; no tags, floats or duplicate keys; no trailing bytes. On request the outermost value may be a map of
indefinite length (section 3.2.2), as in the NSM's payloads. A general decoder processes more before anything is
authenticated (cbor2 compiles a regular expression for tag 35 and builds cycles for tag 29), and distinguishes errors
only by their messages.
"""

from __future__ import annotations

CBORValue = int | bytes | str | bool | list["CBORValue"] | dict[int | str, "CBORValue"] | None

MAX_DEPTH = 4
"""Maximum nesting of arrays and maps. An attestation payload has two levels: a map that contains a map (pcrs) and an
array (cabundle)."""

_INDEFINITE_MAP = 0xBF
_BREAK = 0xFF
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None}


class CBORDecodeError(ValueError):
    """The bytes are not a single value of this subset.

    `code`: malformed_cbor, trailing_bytes, duplicate_key, indefinite_length, nesting_too_deep or unexpected_tag.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def decode(data: bytes, *, indefinite_map: bool = False, max_items: int | None = None) -> CBORValue:
    """Decode `data`, which must consist of one value. Raises `CBORDecodeError`.

    With `indefinite_map` the value can also be a map of indefinite length whose contents are definite. `max_items`
    limits the number of values, including those in arrays and maps, for inputs that are not limited otherwise.
    """
    decoder = _Decoder(data, len(data) if max_items is None else max_items)
    value = decoder.outermost(indefinite_map=indefinite_map)
    if decoder.position != len(data):
        raise CBORDecodeError("trailing_bytes", "Bytes follow the end of the CBOR value.")
    return value


class _Decoder:
    def __init__(self, data: bytes, max_items: int) -> None:
        self.data = data
        self.items_left = max_items
        self.position = 0

    def outermost(self, *, indefinite_map: bool) -> CBORValue:
        if indefinite_map and self._skip(_INDEFINITE_MAP):
            return self._map(None, depth=0)
        return self.value(depth=0)

    def value(self, depth: int) -> CBORValue:
        self.items_left -= 1
        if self.items_left < 0:
            raise CBORDecodeError("malformed_cbor", "Too many values.")
        if depth > MAX_DEPTH:
            raise CBORDecodeError("nesting_too_deep", f"More than {MAX_DEPTH} nested arrays or maps.")
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
                    raise CBORDecodeError("malformed_cbor", "A text string is not UTF-8.") from error
            case 4:
                # A forged length cannot make this long: every element takes a byte, and is counted.
                return [self.value(depth + 1) for _ in range(argument)]
            case 5:
                return self._map(argument, depth)
            case 6:
                raise CBORDecodeError("unexpected_tag", f"CBOR tag {argument} where none is allowed.")
            case _:
                if argument not in _SIMPLE:
                    raise CBORDecodeError("malformed_cbor", "A floating-point number or an unassigned simple value.")
                return _SIMPLE[argument]

    def _map(self, count: int | None, depth: int) -> dict[int | str, CBORValue]:
        """The entries that follow: `count` of them, or with None those up to the break."""
        entries: dict[int | str, CBORValue] = {}
        while not self._skip(_BREAK) if count is None else len(entries) < count:
            key = self.value(depth + 1)
            # type() and not isinstance: True would be taken for the key 1.
            if type(key) not in (int, str):
                raise CBORDecodeError("malformed_cbor", "A map key is neither an integer nor text.")
            if key in entries:
                raise CBORDecodeError("duplicate_key", "A map has the same key twice.")
            entries[key] = self.value(depth + 1)  # type: ignore[index]  # narrowed by type() above
        return entries

    def _head(self) -> tuple[int, int]:
        """Read a data item head: major type 0-7 and argument (RFC 8949, section 3)."""
        major, info = divmod(self._take(1)[0], 32)
        if info < 24:
            return major, info
        if info == 31:
            raise CBORDecodeError("indefinite_length", "An indefinite length or a break where none is allowed.")
        if info > 27:
            raise CBORDecodeError("malformed_cbor", "A reserved length encoding.")
        size = 1 << (info - 24)
        argument = int.from_bytes(self._take(size), "big")
        # Floating-point numbers and simple values above 23 pass here, and are refused by `value`.
        if argument < (24 if size == 1 else 1 << (4 * size)):
            raise CBORDecodeError("malformed_cbor", "A number not in its shortest form.")
        return major, argument

    def _take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.data):
            raise CBORDecodeError("malformed_cbor", "The document ends in the middle of a value.")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def _skip(self, byte: int) -> bool:
        """Whether `byte` comes next; it is passed over then."""
        found = self.data.startswith(bytes([byte]), self.position)
        self.position += found
        return found
