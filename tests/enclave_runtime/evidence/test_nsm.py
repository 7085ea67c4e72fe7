"""The producer over the security module: what it asks, in which order, what it believes and what it refuses."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import secrets
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cbor2
import pytest

from blindsight.attestation import Policy, Release, expected_pcr16, verify
from blindsight.errors import EvidenceError, ProducerError
from enclave_runtime.evidence import choice
from enclave_runtime.evidence.nsm import Device, NsmProducer
from tests.support.fake_nsm import FakeNsm, TestRoot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FUNCTION, MODEL = b"\x07" * 32, b"\x08" * 32
NONCE = bytes(range(32))


@pytest.fixture(scope="module")
def root() -> TestRoot:
    return TestRoot()


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return tmp_path / "pool"


@pytest.fixture
def device(root: TestRoot) -> FakeNsm:
    return FakeNsm(root)


@pytest.fixture
def producer(device: FakeNsm, pool: Path) -> NsmProducer:
    return NsmProducer(device, pool)


def policy(root: TestRoot) -> Policy:
    pcrs = {index: frozenset({(bytes([index + 1]) * 48).hex()}) for index in range(3)}
    pcrs[16] = frozenset({expected_pcr16(FUNCTION, MODEL).hex()})
    return Policy(releases=(Release(kind="nitro", roots=frozenset({root.fingerprint}), pcrs=pcrs),))


def refusal(action: Callable[[], object]) -> ProducerError:
    with pytest.raises(ProducerError) as caught:
        action()
    assert caught.value.next_step
    return caught.value


def test_its_evidence_is_accepted_under_the_devices_root_and_no_other(producer: NsmProducer, root: TestRoot):
    choice.bind(producer, function=FUNCTION, model=MODEL)
    document = producer.attest(nonce=NONCE, user_data=b"data", public_key=b"\x01" * 32)
    verified = verify(document, policy=policy(root), nonce=NONCE, now=datetime.now(UTC))
    assert verified.kind == producer.kind == "nitro"
    assert (verified.document.user_data, verified.document.public_key) == (b"data", b"\x01" * 32)
    assert dict(verified.document.pcrs) == dict(producer.pcrs)
    with pytest.raises(EvidenceError) as caught:
        verify(document, policy=policy(TestRoot()), nonce=NONCE, now=datetime.now(UTC))
    assert caught.value.code == "root_not_pinned"


def test_pcr_16_is_looked_at_extended_and_locked_before_anything_is_signed(producer: NsmProducer, device: FakeNsm):
    choice.bind(producer, function=FUNCTION, model=MODEL)
    producer.attest(nonce=None, user_data=None, public_key=None)
    assert device.calls[:2] == ["DescribeNSM", "DescribePCR"]
    changes = [call for call in device.calls if call not in {"DescribePCR", "DescribeNSM", "GetRandom"}]
    assert changes == ["ExtendPCR", "LockPCR", "Attestation"]
    assert producer.pcrs[16] == expected_pcr16(FUNCTION, MODEL)


@pytest.mark.parametrize("state", ["extended", "locked"])
def test_a_second_start_in_one_boot_is_refused(device: FakeNsm, pool: Path, state: str):
    if state == "extended":
        device(cbor2.dumps({"ExtendPCR": {"index": 16, "data": b"x"}}))
    else:
        device(cbor2.dumps({"LockPCR": {"index": 16}}))
    error = refusal(lambda: NsmProducer(device, pool))
    assert error.code == "pcr_used"
    assert state in str(error)
    assert not pool.exists()


@pytest.mark.parametrize("when", ["before ours", "after ours"])
def test_nor_can_another_program_extend_it_in_between(producer: NsmProducer, device: FakeNsm, when: str):
    def extend(response: bytes) -> bytes:
        device.answers.clear()
        device(cbor2.dumps({"ExtendPCR": {"index": 16, "data": b"another function"}}))
        return response

    if when == "before ours":
        extend(b"")
    else:
        device.answers["ExtendPCR"] = extend
    assert refusal(lambda: choice.bind(producer, function=FUNCTION, model=MODEL)).code == "pcr_used"


def test_a_device_that_does_not_do_as_it_says_is_not_believed(device: FakeNsm, pool: Path):
    producer = NsmProducer(device, pool)
    device.answers["ExtendPCR"] = lambda _: cbor2.dumps({"ExtendPCR": {"data": bytes(48)}})
    assert refusal(lambda: producer.extend_pcr(16, b"x")).code == "nsm_answer"
    device.answers["LockPCR"] = lambda _: cbor2.dumps("LockPCR")
    device.locked.discard(17)
    device.answers["DescribePCR"] = lambda _: cbor2.dumps({"DescribePCR": {"data": bytes(48), "lock": False}})
    assert refusal(lambda: producer.lock_pcr(17)).code == "nsm_answer"


def test_an_extension_that_ran_twice_is_noticed(device: FakeNsm, pool: Path):
    """As after a request that was sent again: the second answer follows from the first."""
    producer = NsmProducer(device, pool)
    request = cbor2.dumps({"ExtendPCR": {"index": 16, "data": b"x"}})

    def again(_: bytes) -> bytes:
        del device.answers["ExtendPCR"]
        return device(request)

    device.answers["ExtendPCR"] = again
    assert refusal(lambda: producer.extend_pcr(16, b"x")).code == "nsm_answer"


@pytest.mark.parametrize("indefinite", [False, True])
def test_both_forms_of_maps_are_read(root: TestRoot, pool: Path, indefinite: bool):
    producer = NsmProducer(FakeNsm(root, indefinite=indefinite), pool)
    choice.bind(producer, function=FUNCTION, model=MODEL)
    verify(
        producer.attest(nonce=NONCE, user_data=None, public_key=None),
        policy=policy(root), nonce=NONCE, now=datetime.now(UTC),
    )  # fmt: skip


def test_the_kernels_pool_gets_the_modules_entropy(device: FakeNsm, pool: Path):
    random = secrets.token_bytes(256)
    device.answers["GetRandom"] = lambda _: cbor2.dumps({"GetRandom": {"random": random}})
    NsmProducer(device, pool)
    assert pool.read_bytes() == random
    assert refusal(lambda: NsmProducer(FakeNsm(device.root), pool / "nowhere")).code == "nsm_failed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda producer: producer.extend_pcr(32, b""), "invalid_pcr"),
        (lambda producer: producer.extend_pcr(-1, b""), "invalid_pcr"),
        (lambda producer: producer.extend_pcr(1 << 16, b""), "invalid_pcr"),
        (lambda producer: producer.lock_pcr(99), "invalid_pcr"),
        (lambda producer: producer.extend_pcr(0, b""), "pcr_locked"),
        (lambda producer: producer.lock_pcr(15), "pcr_locked"),
        (lambda producer: producer.extend_pcr(20, bytes(0x1000)), "nsm_refused"),
        (lambda producer: producer.attest(nonce=bytes(513), user_data=None, public_key=None),
         "attestation_input_too_large"),
    ],
)  # fmt: skip
def test_refusals_are_as_the_simulations(producer: NsmProducer, change: Callable[[Any], Any], code: str):
    assert refusal(lambda: change(producer)).code == code


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_cut_document_is_no_document(producer: NsmProducer, device: FakeNsm, size: int):
    """The driver cuts what exceeds the buffer and reports success."""
    device.answers["Attestation"] = lambda response: response[:size]
    error = refusal(lambda: producer.attest(nonce=None, user_data=None, public_key=None))
    assert error.code == "nsm_answer"


def test_an_answer_as_long_as_the_buffer_is_said_to_be_cut(producer: NsmProducer, device: FakeNsm):
    device.answers["Attestation"] = lambda _: cbor2.dumps({"Attestation": {"document": bytes(0x3000)}})
    assert "It was cut." in str(refusal(lambda: producer.attest(nonce=None, user_data=None, public_key=None)))


@pytest.mark.parametrize("description", [{"digest": "SHA256"}, {"max_pcrs": 16}, {"locked_pcrs": [True]}])
def test_a_module_of_another_make_is_refused(device: FakeNsm, pool: Path, description: dict[str, Any]):
    device.answers["DescribeNSM"] = lambda response: cbor2.dumps(
        {"DescribeNSM": cbor2.loads(response)["DescribeNSM"] | description}
    )
    assert refusal(lambda: NsmProducer(device, pool)).code == "nsm_answer"


def test_threads_may_attest_together(producer: NsmProducer, root: TestRoot):
    choice.bind(producer, function=FUNCTION, model=MODEL)
    together = threading.Barrier(4)

    def work(number: int) -> None:
        together.wait()
        nonce = bytes([number]) * 32
        document = producer.attest(nonce=nonce, user_data=None, public_key=None)
        verify(document, policy=policy(root), nonce=nonce, now=datetime.now(UTC))
        producer.extend_pcr(20, b"x")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))
    value = bytes(48)
    for _ in range(5):
        value = hashlib.sha384(value + b"x").digest()
    assert producer.extend_pcr(20, b"x") == value


class Driver:
    """Stands in the ioctl's place, as the kernel: reads the request at its address, writes the response to its."""

    def __init__(self, device: FakeNsm, errors: list[int]) -> None:
        self.device, self.errors, self.sizes = device, errors, []

    def __call__(self, descriptor: int, number: int, message: bytearray) -> int:
        assert number == 0xC0200A00
        assert len(message) == 32
        request, length, response, size = struct.unpack("=QQQQ", message)
        self.sizes.append(size)
        if self.errors:
            code = self.errors.pop()
            raise OSError(code, os.strerror(code))
        answer = self.device(ctypes.string_at(request, length))[:size]
        ctypes.memmove(response, answer, len(answer))
        message[24:] = struct.pack("=Q", len(answer))
        return 0


@pytest.fixture
def driver(device: FakeNsm, monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver(device, [])
    monkeypatch.setattr(fcntl, "ioctl", driver)
    return driver


@pytest.fixture
def node(tmp_path: Path) -> Path:
    node = tmp_path / "nsm"
    node.touch()
    return node


def test_the_ioctl_is_the_drivers(driver: Driver, node: Path, pool: Path, root: TestRoot):
    producer = NsmProducer(Device(node), pool)
    choice.bind(producer, function=FUNCTION, model=MODEL)
    document = producer.attest(nonce=NONCE, user_data=bytes(1024), public_key=bytes(1024))
    verify(document, policy=policy(root), nonce=NONCE, now=datetime.now(UTC))
    assert set(driver.sizes) == {0x3000}


def test_an_interrupted_call_is_made_again_and_other_errors_are_told(driver: Driver, node: Path):
    device = Device(node)
    driver.errors = [errno.EINTR, errno.EINTR]
    assert "DescribeNSM" in cbor2.loads(device(cbor2.dumps("DescribeNSM")))
    assert len(driver.sizes) == 3
    driver.errors = [errno.ETIMEDOUT]
    error = refusal(lambda: device(cbor2.dumps("DescribeNSM")))
    assert error.code == "nsm_failed"
    assert "ETIMEDOUT" in str(error)


def test_the_device_is_opened_once_and_left_to_no_process(driver: Driver, node: Path, pool: Path):
    opened: list[int] = []
    device = Device(node)
    opened.append(device._descriptor)
    assert not os.get_inheritable(device._descriptor)
    node.unlink()  # Opened anew, it would not be found.
    NsmProducer(device, pool)
    device.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])


def test_without_the_device_the_start_is_refused(tmp_path: Path):
    error = refusal(lambda: Device(tmp_path / "nsm"))
    assert error.code == "nsm_missing"
    assert "/nsm cannot be opened: No such file" in str(error)


def test_a_file_that_is_no_device_is_refused(node: Path):
    """With the kernel's own ioctl."""
    assert "ENOTTY" in str(refusal(lambda: NsmProducer(Device(node))))
