"""The substituted root: for loopback hosts only, in any interpreter, beside whatever the environment had already."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

from blindsight_cli import localca
from blindsight_cli.local_trust import environment
from enclave_runtime.evidence.simulated_pki import load_or_create_root

PACKAGE = {
    # As pycape 3.1.1 does it: a function of one module fetches the root, on behalf of an object that knows the URL.
    "pycape/__init__.py": "",
    "pycape/_attestation.py": "def download_root_cert():\n    return b'the root of AWS'\n",
    "pycape/cape.py": (
        "from pycape import _attestation as attest\n"
        "class Cape:\n"
        "    def __init__(self, url):\n"
        "        self._url = url\n"
        "    def root(self):\n"
        "        return attest.download_root_cert()\n"
    ),
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of a stack, as far as trust goes."""
    load_or_create_root(tmp_path / "state" / "enclave", datetime.now(UTC))
    localca.ensure(tmp_path / "state" / "tls", ["localhost"])
    return tmp_path / "state"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    for name, content in PACKAGE.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def run(script: str, state: Path, *paths: Path, **more: str) -> subprocess.CompletedProcess[str]:
    before = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}
    variables = environment.trusting(state, "https://localhost:8443", before)
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True)


def root_for(url: str, state: Path, package: Path) -> tuple[str, str]:
    done = run(f"from pycape.cape import Cape; print(Cape({url!r}).root().decode())", state, package)
    return done.stdout, done.stderr


@pytest.mark.parametrize("url", ["https://localhost:8443", "https://127.0.0.1:1/", "https://[::1]:8443"])
def test_a_loopback_host_gets_the_local_root_loudly(state: Path, package: Path, url: str) -> None:
    found, said = root_for(url, state, package)
    certificate = x509.load_pem_x509_certificate(found.encode())
    assert certificate == load_or_create_root(state / "enclave", datetime.now(UTC)).certificate
    assert "PRIVATE KEY" not in found
    assert "LOCAL TRUST" in said
    assert url in said


@pytest.mark.parametrize(
    "url",
    [
        "https://app.capeprivacy.com",
        "https://localhost.example.org",
        "https://127.0.0.1.example.org",
        "https://10.0.0.1",
    ],
)
def test_every_other_host_gets_the_genuine_root(state: Path, package: Path, url: str) -> None:
    assert root_for(url, state, package) == ("the root of AWS\n", "")


def test_a_sitecustomize_of_the_environment_runs_as_before(state: Path, package: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import builtins\nbuiltins.seen = __name__\n")
    done = run("import builtins, sitecustomize; print(builtins.seen, sitecustomize.__file__)", state, other, package)
    assert done.stdout == f"sitecustomize {other / 'sitecustomize.py'}\n"
    assert done.stderr == ""


def test_authorities_of_before_stay_trusted(state: Path, tmp_path: Path) -> None:
    other = localca.ensure(tmp_path / "other-tls", ["other"]).ca
    variables = environment.trusting(state, "https://localhost:8443", {"SSL_CERT_FILE": str(other)})
    found = x509.load_pem_x509_certificates(Path(variables["SSL_CERT_FILE"]).read_bytes())
    expected = [x509.load_pem_x509_certificate(path.read_bytes()) for path in (other, state / "tls" / "ca.pem")]
    assert found == expected
    again = environment.trusting(state, "https://localhost:8443", {"SSL_CERT_FILE": str(other)})
    assert again == variables


def test_what_the_caller_has_set_stays(state: Path) -> None:
    chosen = {"CAPE_ENCLAVE_HOST": "https://localhost:9", "CAPE_LOCAL_CONFIG_DIR": "/elsewhere"}
    variables = environment.trusting(state, "https://localhost:8443", chosen)
    assert variables.items() >= chosen.items()


def test_without_a_stack_the_command_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "blindsight_cli.main", "with-local-trust", "--state", str(tmp_path), "true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "simulated_root.pem is missing" in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_passes_arguments_and_exit_status_on(state: Path) -> None:
    script = "import sys; print(sys.argv[1:]); sys.exit(7)"
    command = [
        sys.executable, "-m", "blindsight_cli.main", "with-local-trust", "--state", str(state),
        sys.executable, "-c", script, "--state", "-x", "last",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7
    assert done.stdout == "['--state', '-x', 'last']\n"
    assert "LOCAL TRUST" in done.stderr
