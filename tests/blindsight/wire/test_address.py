"""Which texts are addresses, and which only look like one."""

from __future__ import annotations

import pytest

from blindsight.errors import AddressError
from blindsight.wire.address import ANY_CID, Address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://127.0.0.1:7500", Address("tcp", host="127.0.0.1", port=7500)),
        ("tcp://enclave:1", Address("tcp", host="enclave", port=1)),
        ("tcp://kms.eu-west-1.amazonaws.com:65535", Address("tcp", host="kms.eu-west-1.amazonaws.com", port=65535)),
        ("tcp://my_service.internal:443", Address("tcp", host="my_service.internal", port=443)),
        ("tcp://[::1]:80", Address("tcp", host="::1", port=80)),
        ("unix:///run/blindsight/enclave.sock", Address("unix", path="/run/blindsight/enclave.sock")),
        ("unix:///run/my folder/ä.sock", Address("unix", path="/run/my folder/ä.sock")),
        ("unix:///run/vm.vsock?port=7500", Address("unix", path="/run/vm.vsock", port=7500)),
        ("unix:///" + "x" * 106, Address("unix", path="/" + "x" * 106)),
        ("vsock://16:7500", Address("vsock", cid=16, port=7500)),
        ("vsock://4294967294:4294967294", Address("vsock", cid=0xFFFFFFFE, port=0xFFFFFFFE)),
        ("vsock://*:7500", Address("vsock", cid=ANY_CID, port=7500)),
    ],
)
def test_the_forms(url: str, address: Address) -> None:
    assert Address.parse(url) == address
    assert str(address) == url


def test_any_cid_as_minus_one() -> None:
    assert str(Address.parse("vsock://-1:7500")) == "vsock://*:7500"


@pytest.mark.parametrize(
    "url",
    [
        "", "enclave", "enclave:7500", "127.0.0.1:7500", "http://enclave:7500", "TCP://enclave:7500",
        "tcp:enclave:7500",
        "tcp:/enclave:7500", "tcp://", "tcp://:7500", "tcp://enclave", "tcp://enclave:", "tcp://enclave:0",
        "tcp://enclave:65536", "tcp://enclave:+80", "tcp://enclave:080", "tcp://enclave:8_0", "tcp://enclave:８０",
        "tcp://enclave:-1", "tcp://enclave:80/", "tcp://enclave:80?x=1", "tcp://enclave:80#x", "tcp://me@enclave:80",
        "tcp:// enclave:80", "tcp://enclave :80", "tcp://enclave:80 ", " tcp://enclave:80", "tcp://enclave:80\n",
        "tcp://encl%61ve:80", "tcp://ünclave:80", "tcp://-enclave:80", "tcp://enclave-:80", "tcp://enclave..x:80",
        "tcp://enclave.:80", "tcp://*:80", f"tcp://{'a' * 64}:80", f"tcp://{'a.' * 127}bc:80",
        "tcp://::1:80", "tcp://[::1]", "tcp://[::1:80", "tcp://::1]:80", "tcp://[127.0.0.1]:80", "tcp://[fe80::1%lo]:80",
        "tcp://[]:80", "tcp://[[::1]]:80",
        # What resolvers read as an IPv4 address beside the four decimal numbers.
        "tcp://127.1:80", "tcp://2130706433:80", "tcp://0x7f000001:80", "tcp://0x7f.0.0.1:80", "tcp://127.0.0.01:80",
        "tcp://127.0.0.1.5:80", "tcp://256.0.0.1:80", "tcp://example.0x1:80",
        "unix://", "unix:///", "unix://run/x", "unix://localhost/run/x", "unix:///run/", "unix:///run/x?",
        "unix:///run/x?port=", "unix:///run/x?port=0", "unix:///run/x?port=4294967295", "unix:///run/x?port=-1",
        "unix:///run/x?port=01", "unix:///run/x?cid=3", "unix:///run/x?port=1&port=2", "unix:///run/x?port=1#",
        "unix:///run/x?a=1?port=2", "unix:///run/x#y", "unix:///run/x%20y", "unix:///run/x\0y", "unix:///run/x\ny",
        "unix:///" + "x" * 107, "unix:///" + "ä" * 54,
        "vsock://", "vsock://16", "vsock://16:", "vsock://:7500", "vsock://16:0", "vsock://16:4294967295", "vsock://0:1",
        "vsock://4294967295:1", "vsock://-2:1", "vsock://**:1", "vsock://any:1", "vsock://0x10:1", "vsock://16:1/",
        "vsock://3.0:1", "vsock:///run/x", "vsock://99999999999:1",
    ],
    ids=ascii,
)  # fmt: skip
def test_nothing_like_them(url: str) -> None:
    with pytest.raises(AddressError) as refused:
        Address.parse(url)
    assert refused.value.code == "invalid_address"
    assert not refused.value.retryable
    assert "\n" not in str(refused.value)
    assert "tcp://HOST:PORT" in refused.value.next_step


def test_an_error_quotes_no_more_than_a_line() -> None:
    with pytest.raises(AddressError) as refused:
        Address.parse("tcp://" + "x" * 100_000)
    assert len(str(refused.value)) < 500
