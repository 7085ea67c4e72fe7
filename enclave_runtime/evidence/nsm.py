"""Evidence of the Nitro security module, through /dev/nsm.

The device is the enclave's own: it signs with AWS's certificates, and holds registers that are set once in a boot. Its
driver's interface is one ioctl (Linux, include/uapi/linux/nsm.h); docs/adr/0002-nsm-ioctl.md says why that is ours.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import hmac
import logging
import os
import struct
import threading
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from blindsight.attestation.claims import CLAIMS_PCR
from blindsight.errors import ProducerError
from enclave_runtime.evidence import nsm_protocol as protocol
from enclave_runtime.evidence.producer import check_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEVICE: Final = Path("/dev/nsm")
ENTROPY_POOL: Final = Path("/dev/urandom")
"""What is written there is mixed into the kernel's pool, uncredited; any process may (random(4))."""

IOCTL: Final = 0xC020_0A00
"""`_IOWR(0x0A, 0, struct nsm_iovec[2])`, a structure of 32 bytes."""

_MESSAGE = struct.Struct("=QQQQ")
"""Address and length of the request, address and length of the response; the last is answered."""

_log = logging.getLogger(__name__)


class Device:
    """An open /dev/nsm. Call it with a request, get the response. One request at a time; threads wait.

    Raises `ProducerError` `nsm_missing` if it cannot be opened. Processes that are started do not inherit it.
    """

    def __init__(self, path: Path = DEVICE) -> None:
        self._turn = threading.Lock()
        try:
            # Python opens with O_CLOEXEC (PEP 446).
            self._descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise ProducerError("nsm_missing", f"{path} cannot be opened: {error.strerror}.") from error

    def __call__(self, request: bytes) -> bytes:
        """Raises `ProducerError` `nsm_failed`."""
        asked = ctypes.create_string_buffer(request, len(request))
        answered = ctypes.create_string_buffer(protocol.RESPONSE_BYTES)
        with self._turn:
            size = self._exchange(asked, len(request), answered)
        if size > protocol.RESPONSE_BYTES:
            raise ProducerError("nsm_failed", "The NSM's driver answers more than fits.")
        return answered.raw[:size]

    def close(self) -> None:
        """Close it; a call after that fails."""
        os.close(self._descriptor)

    def _exchange(self, asked: ctypes.Array[ctypes.c_char], length: int, answered: ctypes.Array[ctypes.c_char]) -> int:
        while True:
            message = bytearray(
                _MESSAGE.pack(ctypes.addressof(asked), length, ctypes.addressof(answered), protocol.RESPONSE_BYTES)
            )
            try:
                fcntl.ioctl(self._descriptor, IOCTL, message)
            except InterruptedError:
                # The driver waits for the device uninterruptibly: only a request that was not sent is interrupted.
                continue
            except OSError as error:
                name = errno.errorcode.get(error.errno or 0, "an unknown error")
                raise ProducerError("nsm_failed", f"The NSM's driver reports {name}.") from error
            return int(_MESSAGE.unpack(message)[3])


class NsmProducer:
    """An `EvidenceProducer` over `transport`, which takes a request to the module and returns its response.

    It finds the module as after a boot, or refuses: `pcr_used` if PCR 16 was extended or locked before. One runtime
    starts in one boot. `entropy_pool` gets what the module has of entropy.
    """

    kind: Final[Literal["nitro"]] = "nitro"
    """Of the interface. Who signs, AWS or an emulation, is for verifiers to find out: the runtime need not know."""

    def __init__(self, transport: Callable[[bytes], bytes] | None = None, entropy_pool: Path = ENTROPY_POOL) -> None:
        """`transport` is a `Device` unless it is given. Raises `ProducerError`."""
        self._ask = Device() if transport is None else transport
        self._changing = threading.Lock()
        description = protocol.read_description(self._ask(protocol.describe_nsm()))
        if description.digest != protocol.DIGEST or description.max_pcrs <= CLAIMS_PCR:
            raise ProducerError("nsm_answer", f"The NSM has other registers than {protocol.DIGEST}, 17 or more.")
        self.module_id = description.module_id
        register = self._register(CLAIMS_PCR)
        if register.locked or any(register.value):
            state = "locked" if register.locked else "extended"
            raise ProducerError("pcr_used", f"PCR {CLAIMS_PCR} is {state}: another program ran in this boot.")
        # Final values: they are asked for once.
        self._locked = {index: self._register(index).value for index in sorted(description.locked_pcrs)}
        self._mix_entropy(entropy_pool)
        version = ".".join(map(str, description.version))
        _log.info("security module", extra={"reason": f"version {version}, {len(self._locked)} registers locked"})

    @property
    def pcrs(self) -> Mapping[int, bytes]:
        with self._changing:
            return MappingProxyType(dict(self._locked))

    def extend_pcr(self, index: int, data: bytes) -> bytes:
        """Raises `ProducerError`, `nsm_answer` if the register has not the value that follows from its old one."""
        with self._changing:
            old = self._register(index)
            new = protocol.read_extended(self._ask(protocol.extend_pcr(index, data)))
            expected = hashlib.sha384(old.value + data).digest()
            if not hmac.compare_digest(new, expected):
                raise ProducerError("nsm_answer", f"PCR {index} was not extended as it should be.")
            return new

    def lock_pcr(self, index: int) -> None:
        """Lock a register, and read it back. Raises `ProducerError`."""
        with self._changing:
            protocol.read_locked(self._ask(protocol.lock_pcr(index)))
            register = self._register(index)
            if not register.locked:
                raise ProducerError("nsm_answer", f"PCR {index} was not locked.")
            self._locked[index] = register.value

    def attest(self, *, nonce: bytes | None, user_data: bytes | None, public_key: bytes | None) -> bytes:
        check_inputs(nonce=nonce, user_data=user_data, public_key=public_key)
        request = protocol.attestation(user_data=user_data, nonce=nonce, public_key=public_key)
        return protocol.read_document(self._ask(request))

    def _register(self, index: int) -> protocol.Register:
        return protocol.read_register(self._ask(protocol.describe_pcr(index)))

    def _mix_entropy(self, pool: Path) -> None:
        """Beside what the kernel has gathered itself: more sources make a pool no worse."""
        random = protocol.read_random(self._ask(protocol.get_random()))
        try:
            with pool.open("wb", buffering=0) as file:
                file.write(random)
        except OSError as error:
            raise ProducerError("nsm_failed", f"{pool} takes no entropy: {error.strerror}.") from error
