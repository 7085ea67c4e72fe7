"""Requests and responses of the Nitro security module (NSM): CBOR in, CBOR out, no I/O.

Sources: aws-nitro-enclaves-nsm-api (`src/api/mod.rs`: names, fields and error codes) and Linux'
drivers/misc/nsm.c (sizes). A request is the command's name, or a map of the name to its arguments; a response is a map
of the name to the fields, the name alone where there are none, or `{"Error": code}`.

Both maps of a response may have definite or indefinite length: the device changed from one to the other in documents
in July 2025. Beside that it is read strictly. Fields that are not known here are skipped, since newer devices add some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cbor2

from blindsight import cbor
from blindsight.errors import ProducerError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REQUEST_BYTES: Final = 0x1000
"""The driver refuses longer requests (EMSGSIZE)."""

RESPONSE_BYTES: Final = 0x3000
"""Of the buffer to give, always: the driver cuts a longer response without a word."""

PCR_BYTES: Final = 48
DIGEST: Final = "SHA384"
RANDOM_BYTES: Final = 256
"""What GetRandom answers at most."""

_Fields = dict[int | str, cbor.CBORValue]

_MAP_OF_ONE, _INDEFINITE_MAP, _BREAK = 0xA1, 0xBF, b"\xff"
_TEXT, _LONGEST_NAME = 0x60, 23
"""Every name's length fits into the head of a text string."""

_CODES: Final[Mapping[str, str]] = {
    "InvalidIndex": "invalid_pcr",
    "ReadOnlyIndex": "pcr_locked",
    "InputTooLarge": "attestation_input_too_large",
    "InvalidArgument": "nsm_refused",
    "InvalidOperation": "nsm_refused",
    "InvalidResponse": "nsm_failed",
    "BufferTooSmall": "nsm_failed",
    "InternalError": "nsm_failed",
}
"""The device's error codes, all that AWS lists, and ours."""


@dataclass(frozen=True)
class Description:
    """The answer to DescribeNSM. `locked_pcrs` are indexes."""

    module_id: str
    digest: str
    max_pcrs: int
    locked_pcrs: frozenset[int]
    version: tuple[int, int, int]


@dataclass(frozen=True)
class Register:
    """The answer to DescribePCR: 48 bytes, and whether they are final."""

    value: bytes
    locked: bool


def describe_nsm() -> bytes:
    """The request DescribeNSM."""
    return cbor2.dumps("DescribeNSM")


def get_random() -> bytes:
    """The request GetRandom."""
    return cbor2.dumps("GetRandom")


def describe_pcr(index: int) -> bytes:
    """The request DescribePCR. Raises `ProducerError` `invalid_pcr`, like all that take an index."""
    return _request("DescribePCR", {"index": _index(index)})


def extend_pcr(index: int, data: bytes) -> bytes:
    """The request ExtendPCR. Raises `ProducerError` `nsm_refused` if it is too long."""
    return _request("ExtendPCR", {"index": _index(index), "data": data})


def lock_pcr(index: int) -> bytes:
    """The request LockPCR."""
    return _request("LockPCR", {"index": _index(index)})


def lock_pcrs(count: int) -> bytes:
    """The request LockPCRs: all registers below `count`."""
    return _request("LockPCRs", {"range": _index(count)})


def attestation(*, user_data: bytes | None, nonce: bytes | None, public_key: bytes | None) -> bytes:
    """The request Attestation, in the order of AWS's client."""
    return _request("Attestation", {"user_data": user_data, "nonce": nonce, "public_key": public_key})


def read_description(response: bytes) -> Description:
    """Raises `ProducerError`, as all readers do: the device's refusal, or `nsm_answer` for another answer."""
    fields = _fields(response, "DescribeNSM")
    locked = fields.get("locked_pcrs")
    if not isinstance(locked, list) or not all(_is_number(index) for index in locked):
        raise _unexpected("DescribeNSM", "locked_pcrs")
    return Description(
        module_id=_text(fields, "module_id"),
        digest=_text(fields, "digest"),
        max_pcrs=_number(fields, "max_pcrs"),
        locked_pcrs=frozenset(index for index in locked if isinstance(index, int)),
        version=(_number(fields, "version_major"), _number(fields, "version_minor"), _number(fields, "version_patch")),
    )


def read_random(response: bytes) -> bytes:
    """At least one byte."""
    random = _fields(response, "GetRandom").get("random")
    if not isinstance(random, bytes) or not 1 <= len(random) <= RANDOM_BYTES:
        raise _unexpected("GetRandom", "random")
    return random


def read_register(response: bytes) -> Register:
    """The answer to DescribePCR."""
    fields = _fields(response, "DescribePCR")
    locked = fields.get("lock")
    if not isinstance(locked, bool):
        raise _unexpected("DescribePCR", "lock")
    return Register(_pcr(fields, "DescribePCR"), locked)


def read_extended(response: bytes) -> bytes:
    """The register's new value, 48 bytes."""
    return _pcr(_fields(response, "ExtendPCR"), "ExtendPCR")


def read_locked(response: bytes, command: str = "LockPCR") -> None:
    """The answer to LockPCR or LockPCRs, which has no fields."""
    _fields(response, command)


def read_document(response: bytes) -> bytes:
    """The attestation document."""
    document = _fields(response, "Attestation").get("document")
    if not isinstance(document, bytes) or not document:
        raise _unexpected("Attestation", "document")
    return document


def _request(command: str, arguments: Mapping[str, object]) -> bytes:
    encoded = cbor2.dumps({command: arguments})
    if len(encoded) > MAX_REQUEST_BYTES:
        raise ProducerError("nsm_refused", f"{command} has {len(encoded)} bytes, at most {MAX_REQUEST_BYTES} fit.")
    return encoded


def _index(index: int) -> int:
    # A register that the device lacks is its to refuse; what its 16 bits cannot hold would be read as another.
    if not 0 <= index < 1 << 16:
        raise ProducerError("invalid_pcr", f"There is no PCR {index}.")
    return index


def _fields(response: bytes, command: str) -> _Fields:
    """What answers `command`."""
    name, content = _parts(response)
    if name == "Error":
        raise _refusal(command, content)
    if name != command or not isinstance(content, dict):
        raise ProducerError("nsm_answer", f"The NSM does not answer {command}.")
    return content


def _parts(response: bytes) -> tuple[str, cbor.CBORValue]:
    """Name and content of a response; no fields are an empty map."""
    head, rest = response[:1], response[1:]
    try:
        if head == bytes([_INDEFINITE_MAP]) and rest.endswith(_BREAK):
            rest = rest[:-1]
        elif head != bytes([_MAP_OF_ONE]):
            return _name(cbor.decode(response)), {}
        length = rest[0] - _TEXT if rest else -1
        if not 0 < length <= _LONGEST_NAME:
            raise cbor.CBORDecodeError("malformed_cbor", "No name of a command.")
        name, content = rest[: 1 + length], rest[1 + length :]
        return _name(cbor.decode(name)), cbor.decode(content, indefinite_map=True)
    except cbor.CBORDecodeError as error:
        cut = " It was cut." if len(response) >= RESPONSE_BYTES else ""
        raise ProducerError("nsm_answer", f"The NSM's answer cannot be read: {error}{cut}") from error


def _name(value: cbor.CBORValue) -> str:
    if not isinstance(value, str):
        raise cbor.CBORDecodeError("malformed_cbor", "No name of a command.")
    return value


def _refusal(command: str, code: cbor.CBORValue) -> ProducerError:
    if not isinstance(code, str) or code not in _CODES:
        # Not repeated: it is of no known form.
        return ProducerError("nsm_failed", f"The NSM refuses {command}: an unknown error.")
    return ProducerError(_CODES[code], f"The NSM refuses {command}: {code}.")


def _text(fields: _Fields, name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise _unexpected("DescribeNSM", name)
    return value


def _number(fields: _Fields, name: str) -> int:
    value = fields.get(name)
    if not isinstance(value, int) or not _is_number(value):
        raise _unexpected("DescribeNSM", name)
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16


def _pcr(fields: _Fields, command: str) -> bytes:
    value = fields.get("data")
    if not isinstance(value, bytes) or len(value) != PCR_BYTES:
        raise _unexpected(command, "data")
    return value


def _unexpected(command: str, name: str) -> ProducerError:
    return ProducerError("nsm_answer", f"The NSM's answer to {command} has no usable {name}.")
