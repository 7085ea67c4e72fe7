"""Local trust ends at this machine: for every command that it runs, and whatever its files say."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from blindsight_cli import localca
from blindsight_cli.local_trust import environment
from tests.support.fake_cape_host import FakeCapeHost, running_cape_host
from tests.support.names import leading_here
from tests.support.proxies import without_proxies

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = ("cape.example", "stack.localhost")
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[FakeCapeHost]:
    """A host with evidence under the simulated root of this machine, whose folder is `tmp_path`."""
    localca.ensure(tmp_path / "tls", ["localhost"])
    with running_cape_host(tmp_path / "enclave") as host:
        yield host


def with_local_trust(state: Path, *command: str, url: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run it where `NAMES` lead to this machine, as a hostile resolver or network would have them."""
    ours = ("BLINDSIGHT_", "CAPE_", "LOCAL_")
    kept = {name: value for name, value in without_proxies().items() if not name.startswith(ours)}
    path = os.pathsep.join([str(leading_here(state / "names", *NAMES)), str(REPOSITORY)])
    options = ["--state", str(state), *(["--url", url] if url else [])]
    return subprocess.run(
        [sys.executable, "-m", "blindsight_cli.main", "with-local-trust", *options, *command],
        env={**kept, "PYTHONPATH": path, "HOME": str(state), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


CAPE = (sys.executable, "-m", "blindsight_cli.cape.main")


def test_cape_accepts_simulated_evidence_of_this_machine_only(host: FakeCapeHost, tmp_path: Path) -> None:
    encrypt = (*CAPE, "encrypt", "hello", "--username", "bob")
    here = with_local_trust(tmp_path, *encrypt, "--url", host.url)
    assert here.returncode == 0, here.stderr
    assert "SIMULATED" in here.stderr
    for name in NAMES:
        elsewhere = f"http://{name}:{host.port}"
        for argv, variables in (
            ((*encrypt, "--url", elsewhere), {}),
            (encrypt, {"CAPE_ENCLAVE_HOST": elsewhere}),
            ((*encrypt, "--url", elsewhere.replace("http", "ws")), {}),
        ):
            done = with_local_trust(tmp_path, *argv, **variables)
            assert done.stdout == ""
            # And no advice to trust it.
            assert "Error: the evidence does not descend from the trusted root\n" in done.stderr


def test_a_root_that_is_named_counts_for_the_host_that_it_is_named_for(host: FakeCapeHost, tmp_path: Path) -> None:
    """Of another stack, somewhere else: that is its user's to say, with or without local trust."""
    argv = (*CAPE, "encrypt", "hello", "--username", "bob", "--url", f"http://cape.example:{host.port}")
    assert with_local_trust(tmp_path, *argv, "--root", str(host.root)).returncode == 0
    assert with_local_trust(tmp_path, *argv, CAPE_ATTESTATION_ROOT=str(host.root)).returncode == 0


@pytest.mark.parametrize(
    "url",
    [
        "https://cape.example", "https://stack.localhost:8443", "https://localhost.example:8443", "https://10.0.0.1",
        "https://0.0.0.0:8443", "https://localhost@cape.example", "localhost:8443", "nonsense",
    ],
)  # fmt: skip
def test_a_stack_somewhere_else_is_refused(url: str, host: FakeCapeHost, tmp_path: Path) -> None:
    done = with_local_trust(tmp_path, sys.executable, "-c", "print('ran')", url=url)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[0].startswith("error: ")
    assert done.stderr.splitlines()[1].startswith("next:  ")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "url", ["https://localhost:1", "https://127.0.0.1:1", "https://[::1]:1", "https://127.3.2.1:1"]
)
def test_every_address_of_this_machine_will_do(url: str, host: FakeCapeHost, tmp_path: Path) -> None:
    done = with_local_trust(
        tmp_path, sys.executable, "-c", "import os; print(os.environ['CAPE_ENCLAVE_HOST'])", url=url
    )
    assert done.stdout == f"{url}\n", done.stderr


def unlimited(folder: Path) -> bytes:
    """The authority of an earlier release, which may sign for any name."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Blindsight development CA of this machine")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("authority", ["of an earlier release", "for another host", "damaged"])
def test_an_authority_that_may_sign_for_others_is_not_trusted(
    authority: str, host: FakeCapeHost, tmp_path: Path
) -> None:
    file = tmp_path / "tls" / "ca.pem"
    if authority == "for another host":
        localca.ensure(tmp_path / "tls", ["localhost", "bank.example"])
    else:
        file.write_bytes(unlimited(tmp_path) if authority == "of an earlier release" else b"x")
    done = with_local_trust(tmp_path, sys.executable, "-c", "print('ran')")
    assert (done.returncode, done.stdout) == (1, "")
    said, following = done.stderr.splitlines()
    assert said.startswith(f"error: {file} ")
    assert "blindsight up" in following


@pytest.fixture
def state(host: FakeCapeHost, tmp_path: Path) -> Path:
    return tmp_path


def authorities(path: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(Path(path).read_bytes())


def test_what_each_kind_of_program_trusted_before_stays_trusted(state: Path, tmp_path: Path) -> None:
    ours = x509.load_pem_x509_certificate((state / "tls" / "ca.pem").read_bytes())
    before, expected = {}, {}
    for number, variable in enumerate(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")):
        other = localca.ensure(tmp_path / f"other-{number}", ["other"]).ca
        before[variable] = str(other)
        expected[variable] = [x509.load_pem_x509_certificate(other.read_bytes()), ours]
    variables = environment.trusting(state, "https://localhost:8443", before)
    assert {name: authorities(variables[name]) for name in expected} == expected
    # Once more inside: nothing is forgotten, and nothing added.
    again = environment.trusting(state, "https://localhost:8443", variables)
    assert {name: authorities(again[name]) for name in expected} == expected
    alone = environment.trusting(state, "https://localhost:8443", {})
    assert authorities(alone["NODE_EXTRA_CA_CERTS"]) == [ours]
    assert Path(alone["REQUESTS_CA_BUNDLE"]).read_bytes() == Path(alone["SSL_CERT_FILE"]).read_bytes()


@pytest.mark.parametrize("spelling", ["no_proxy", "NO_PROXY"])
def test_exceptions_from_proxies_stay_and_the_stack_is_one(spelling: str, state: Path) -> None:
    variables = environment.trusting(state, "https://127.3.2.1:8443", {spelling: "intranet.example"})
    for name in ("no_proxy", "NO_PROXY"):
        assert set(variables[name].split(",")) == {"intranet.example", "localhost", "127.0.0.1", "::1", "127.3.2.1"}
