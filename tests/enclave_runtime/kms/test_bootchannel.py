"""The host's boot configuration, over a socket: what it may say, and what a hostile host gets from other words."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blindsight.errors import AddressError, KmsError
from blindsight.sealing import stream
from blindsight.wire.bootconfig import MAX_JSON_BYTES, BootConfig
from enclave_runtime import archive
from enclave_runtime.kms import bootchannel
from enclave_runtime.kms.connect import connector
from enclave_runtime.kms.released import Released, obtain
from gateway.bootconfig import BootConfigServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.kms import StandIn

BUNDLE = b"a secret model" * 1000


def message(members: Any, bundle: bytes = b"", *, length: int | None = None, announced: int | None = None) -> bytes:
    encoded = members if isinstance(members, bytes) else json.dumps(members).encode()
    head = struct.pack(">I", len(encoded) if length is None else length) + encoded
    return head + struct.pack(">Q", len(bundle) if announced is None else announced) + bundle


def config(**blobs: bytes) -> dict[str, str]:
    texts = {name: base64.b64encode(blob).decode() for name, blob in blobs.items()}
    return {"format": "blindsight-boot-config/1", **texts}


@contextmanager
def host(folder: Path, *sent: bytes, pause: float = 0.0) -> Iterator[str]:
    """A host that says this to one enclave; its address."""
    path = folder / f"host-{len(list(folder.iterdir()))}"
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for part in sent:
                    try:
                        connection.sendall(part)
                    except OSError:
                        return
                    if over.wait(pause):
                        return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{path}"
        over.set()
        thread.join(5)


def released(kms: StandIn, address: str, **options: Any) -> Released:
    settings = kms.settings
    if "bundle_sha256" in options:
        settings = type(settings)(**{**vars(settings), "bundle_sha256": options.pop("bundle_sha256")})
    given = {"sealed_bundle": None, "sealed_sha256": None, "clock": kms.clock} | options
    return obtain(settings, address, kms.producer(), **given)


def sealed(kms: StandIn, content: bytes = BUNDLE) -> tuple[bytes, bytes]:
    """An encrypted bundle, and the ciphertext of its key."""
    key, blob = kms.data_key()
    out = io.BytesIO()
    stream.seal(io.BytesIO(content).read, out, key)
    return out.getvalue(), blob


def test_a_root_secret_alone(kms: StandIn, tmp_path: Path):
    blob = kms.blob("root-secret")
    with host(tmp_path, message(config(root_secret=blob))) as address:
        found = released(kms, address)
    assert found.root_secret() == kms.client().decrypt(blob, "root-secret")
    assert found.bundle is None


def test_a_bundle_from_the_host(kms: StandIn, tmp_path: Path):
    made, key = sealed(kms)
    with host(tmp_path, message(config(bundle_key=key), made)) as address:
        found = released(kms, address, bundle_sha256=hashlib.sha256(BUNDLE).digest())
    assert found.bundle is not None
    with found.bundle.file as file:
        file.seek(0)
        assert file.read() == BUNDLE
        # In memory alone: a file without a name, on no file system.
        assert str(Path(f"/proc/self/fd/{file.fileno()}").readlink()).startswith("/memfd:")


def test_an_encrypted_bundle_that_is_here_already(kms: StandIn, tmp_path: Path):
    made, key = sealed(kms)
    file = tmp_path / "function.enc"
    file.write_bytes(made)
    with host(tmp_path, message(config(bundle_key=key))) as address:
        found = released(kms, address, sealed_bundle=file, bundle_sha256=hashlib.sha256(BUNDLE).digest())
    assert found.bundle is not None
    found.bundle.file.close()
    for sha256, refused in ((hashlib.sha256(made).digest(), False), (bytes(32), True)):
        with host(tmp_path, message(config(bundle_key=key))) as address, contextlib.ExitStack() as stack:
            if refused:
                stack.enter_context(pytest.raises(KmsError, match="not the one of --function-checksum"))
            pinned = {"sealed_sha256": sha256, "bundle_sha256": hashlib.sha256(BUNDLE).digest()}
            again = released(kms, address, sealed_bundle=file, **pinned)
            assert again.bundle is not None
            again.bundle.file.close()


@pytest.mark.parametrize("change", ["another bundle", "another key", "cut off", "not encrypted", "none"])
def test_another_bundle_is_refused(kms: StandIn, tmp_path: Path, change: str):
    made, key = sealed(kms)
    if change == "another bundle":
        made, key = sealed(kms, b"a model of the host's own")
    elif change == "another key":
        _, key = sealed(kms)
    elif change == "cut off":
        made = made[:-1]
    elif change == "not encrypted":
        made = BUNDLE
    else:
        made = b""
    with host(tmp_path, message(config(bundle_key=key), made)) as address, pytest.raises(KmsError) as error:
        released(kms, address, bundle_sha256=hashlib.sha256(BUNDLE).digest())
    if change == "none":
        assert "--bundle" in error.value.next_step
    else:  # It may be an attack: what is pinned must not follow what the host sent.
        assert error.value.code == "sealed_bundle_refused"
        assert error.value.next_step.startswith("Do not use this file")


def test_without_a_file_system_in_memory_no_bundle_is_opened(
    kms: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archive, "memory", lambda: None)
    made, key = sealed(kms)
    with host(tmp_path, message(config(bundle_key=key), made)) as address, pytest.raises(KmsError, match="in memory"):
        released(kms, address, bundle_sha256=hashlib.sha256(BUNDLE).digest())


def test_what_is_missing_is_named(kms: StandIn, tmp_path: Path):
    with host(tmp_path, message(config())) as address, pytest.raises(KmsError, match="has no root_secret"):
        released(kms, address).root_secret()
    with host(tmp_path, message(config())) as address, pytest.raises(KmsError, match="has no bundle_key"):
        released(kms, address, bundle_sha256=bytes(32))


GOOD = config(root_secret=b"blob")


@pytest.mark.parametrize(
    "members",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"format":"blindsight-boot-config/1","format":"blindsight-boot-config/1"}',
        {},
        GOOD | {"format": "blindsight-boot-config/2"},
        GOOD | {"key": "arn:aws:kms:…"},
        GOOD | {"root_secret": None},
        GOOD | {"root_secret": ""},
        GOOD | {"root_secret": "AAA"},
        GOOD | {"root_secret": "AA-_"},
        GOOD | {"root_secret": "é"},
        GOOD | {"root_secret": base64.b64encode(bytes(6145)).decode()},
    ],
)
def test_other_configurations_are_refused(tmp_path: Path, members: Any):
    with (
        host(tmp_path, message(members)) as address,
        pytest.raises(KmsError) as error,
        bootchannel.opened(connector(address)),
    ):
        pass
    assert error.value.code == "invalid_boot_config"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "boot_config_unreachable"),
        (b"\x00\x00", "boot_config_unreachable"),
        (message(GOOD)[:20], "boot_config_unreachable"),
        (message(GOOD)[:-1], "boot_config_unreachable"),
        (message(GOOD, length=MAX_JSON_BYTES + 1), "invalid_boot_config"),
        (message(GOOD, length=0xFFFFFFFF), "invalid_boot_config"),
        (message(GOOD, announced=2**63), "invalid_boot_config"),
        (message(GOOD, announced=1_001_000_001), "invalid_boot_config"),
    ],
)
def test_lengths_are_bounded_and_kept(tmp_path: Path, sent: bytes, code: str):
    with (
        host(tmp_path, sent) as address,
        pytest.raises(KmsError) as error,
        bootchannel.opened(connector(address)),
    ):
        pass
    assert error.value.code == code


def test_a_bundle_that_ends_early_is_noticed(tmp_path: Path):
    with (
        host(tmp_path, message(GOOD, b"half", announced=100)) as address,
        bootchannel.opened(connector(address)) as channel,
    ):
        assert channel.read(100) == b"half"
        with pytest.raises(KmsError, match="within the encrypted bundle"):
            channel.read(100)


def test_a_slow_host_does_not_hold_the_enclave_up(tmp_path: Path):
    began = time.monotonic()
    with (
        host(tmp_path, *[b"\x00"] * 100, pause=0.1) as address,
        pytest.raises(KmsError),
        bootchannel.opened(connector(address), seconds=0.4),
    ):
        pass
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("address", ["", "http://a:1", "unix:///run/monitor?port=9001", "vsock://-1:9001"])
def test_odd_addresses_are_refused(address: str):
    with pytest.raises(AddressError) as error:
        connector(address)
    assert error.value.code == "invalid_address"


# The host's own server.


async def test_what_the_server_says_is_what_the_enclave_reads(tmp_path: Path):
    file, bundle, path = tmp_path / "boot.json", tmp_path / "function.enc", tmp_path / "socket"
    bundle.write_bytes(bytes(700_000))
    file.write_text(json.dumps(config(root_secret=b"one", bundle_key=b"two")))
    server = await asyncio.start_unix_server(BootConfigServer(file, bundle).handle, path)

    def enclave() -> tuple[BootConfig, int]:
        with bootchannel.opened(connector(f"unix://{path}")) as channel:
            read = 0
            while part := channel.read(1 << 20):
                read += len(part)
            return channel.config, read

    async with server:
        assert await asyncio.to_thread(enclave) == (BootConfig(b"one", b"two"), 700_000)
        # A new ciphertext needs no restart of the server.
        file.write_text(json.dumps(config(root_secret=b"three")))
        assert (await asyncio.to_thread(enclave))[0] == BootConfig(b"three", None)


def test_the_server_does_not_start_with_what_no_enclave_reads(tmp_path: Path):
    file, empty = tmp_path / "boot.json", tmp_path / "empty"
    empty.touch()
    file.write_text("{}")
    with pytest.raises(KmsError):
        BootConfigServer(file, None)
    file.write_text(json.dumps(GOOD))
    with pytest.raises(KmsError):
        BootConfigServer(file, empty)
    with pytest.raises(OSError, match="none"):
        BootConfigServer(tmp_path / "none", None)
