"""The environment in which Cape's clients trust a stack of this machine, beside all they trusted before.

Trust ends at this machine. The simulated root is for loopback hosts alone: `cape` and the hooks of pycape and cape-js
look at the host first. The TLS authority is for every program and every host, so it has to be one that can sign for
loopback only.
"""

from __future__ import annotations

import io
import ipaddress
import os
import ssl
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from blindsight import files
from blindsight.errors import LocalTrustError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOK = Path(__file__).with_name("hook")
ROOT_VARIABLE: Final = "BLINDSIGHT_LOCAL_ROOT"
"""Names the simulated root, for those who use it for loopback hosts only."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_BUNDLE: Final = "authorities.pem"


def trusting(state: Path, url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with trust in the stack whose folder is `state` and whose address is `url`, and its signup token.

    Raises `LocalTrustError` for a stack that is not of this machine, or whose authority could sign for others,
    `FileNotFoundError` if there is no such stack, and `OSError` if its files cannot be read or written.
    """
    if not is_local(url):
        raise LocalTrustError("not_local", f"{url} is not of this machine")
    simulated, authority = _root(state), state / "tls" / "ca.pem"
    for file in (simulated, authority):
        if not file.exists():
            raise FileNotFoundError(file)
    if not _is_limited(authority.read_bytes()):
        raise LocalTrustError("unlimited_authority", f"{authority} may sign for other machines")
    # The enclave's file holds the root's key, too, which no other program may have.
    host = environment.get("CAPE_ENCLAVE_HOST", url)
    root = state / "tls" / "simulated_root.pem"
    pem = x509.load_pem_x509_certificate(simulated.read_bytes()).public_bytes(Encoding.PEM)
    _write(root, pem)
    _write(root.with_suffix(".zip"), _as_aws_publishes_it(pem))
    system = ssl.get_default_verify_paths().cafile
    known = environment.get("SSL_CERT_FILE") or system
    requests = environment.get("REQUESTS_CA_BUNDLE") or environment.get("CURL_CA_BUNDLE") or known
    node = environment.get("NODE_EXTRA_CA_CERTS")
    exceptions = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    direct = ",".join(dict.fromkeys(filter(None, (*exceptions.split(","), *_LOOPBACK, urlsplit(url).hostname))))
    return {
        **(_signup_token(state) if is_local(host) else {}),
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOOK), environment.get("PYTHONPATH")))),
        "NODE_OPTIONS": _preloading(HOOK / "cape-js.cjs", environment.get("NODE_OPTIONS", "")),
        ROOT_VARIABLE: str(root),
        "CAPE_ENCLAVE_HOST": host,
        "CAPE_LOCAL_CONFIG_DIR": environment.get("CAPE_LOCAL_CONFIG_DIR", str(config_folder(state))),
        "SSL_CERT_FILE": _with(authority, known, state / "tls" / _BUNDLE),
        "REQUESTS_CA_BUNDLE": _with(authority, requests, state / "tls" / f"requests-{_BUNDLE}"),
        "NODE_EXTRA_CA_CERTS": _with(authority, node, state / "tls" / f"node-{_BUNDLE}"),
        "no_proxy": direct,
        "NO_PROXY": direct,
    }


def is_local(url: str) -> bool:
    """Whether `url` is of this machine: a loopback address or localhost.

    Names below localhost do not count: some systems ask the network for them.
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def config_folder(state: Path) -> Path:
    """Where the stack's own account is kept, in the layout of Cape's command line."""
    return state / "cape"


def state_of(environment: Mapping[str, str]) -> Path | None:
    """The folder of the stack whose account `environment` names, as `blindsight up` says to; None if it names none."""
    account = Path(environment.get("CAPE_LOCAL_CONFIG_DIR") or "cape")
    state = account.parent
    return state if account.is_absolute() and account == config_folder(state) and _root(state).exists() else None


def stack_folder(given: Path | None, environment: Mapping[str, str]) -> Path:
    """The folder of the stack that a command is about: `given`, else the one of `state_of`, else `.blindsight`."""
    return given or state_of(environment) or Path(".blindsight")


def signup_token_file(state: Path) -> Path:
    """Where the token is kept that accounts of the stack are made with."""
    return config_folder(state) / "signup.token"


def _root(state: Path) -> Path:
    return state / "enclave" / "simulated_root.pem"


def _signup_token(state: Path) -> dict[str, str]:
    """The stack's token for `cape signup`, which is for no host beyond this machine."""
    file = signup_token_file(state)
    return {"BLINDSIGHT_API_TOKEN": file.read_text(encoding="utf-8").strip()} if file.exists() else {}


def _is_limited(pem: bytes) -> bool:
    """Whether an authority can sign for this machine only: names and addresses have to be limited, both."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    except (ValueError, x509.ExtensionNotFound):
        return False
    kinds = set()
    for name in constraints.value.permitted_subtrees or ():
        kinds.add(type(name))
        match name:
            case x509.DNSName(value="localhost"):
                pass
            case x509.IPAddress(value=network) if network.is_loopback:
                pass
            case _:
                return False
    return constraints.critical and kinds == {x509.DNSName, x509.IPAddress}


def _as_aws_publishes_it(pem: bytes) -> bytes:
    """The root as cape-js downloads it: `root.pem` in a zip file. The same bytes for the same root."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("root.pem"), pem)
    return archive.getvalue()


def _preloading(module: Path, options: str) -> str:
    """Node's options with a module that each of its programs loads first; a backslash escapes, as in Node's parser."""
    path = str(module).replace("\\", "\\\\").replace('"', '\\"')
    ours = f'--require "{path}"'
    return options if ours in options else f"{options} {ours}".lstrip()


def _with(ours: Path, known: str | None, target: Path) -> str:
    """A bundle of the authorities that were trusted before, and ours: programs also talk to other hosts."""
    if known == str(target):  # Inside another `with-local-trust`: it is this bundle already.
        return known
    before = Path(known).read_bytes() if known and Path(known).exists() else b""
    _write(target, before.rstrip(b"\n") + b"\n" + ours.read_bytes())
    return str(target)


def _write(target: Path, content: bytes) -> None:
    if not target.exists() or target.read_bytes() != content:
        files.write(target, content)
