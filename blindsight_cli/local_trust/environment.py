"""The environment in which Cape's clients trust a stack of this machine, beside all they trusted before."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOK = Path(__file__).with_name("hook")
_LOOPBACK = "localhost,127.0.0.1,::1"


def trusting(state: Path, url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` with trust in the stack whose folder is `state` and whose address is `url`, and its signup token.

    Raises `FileNotFoundError` if there is no such stack.
    """
    simulated, authority = state / "enclave" / "simulated_root.pem", state / "tls" / "ca.pem"
    for file in (simulated, authority):
        if not file.exists():
            raise FileNotFoundError(file)
    # The enclave's file holds the root's key, too, which is nobody else's.
    host = environment.get("CAPE_ENCLAVE_HOST", url)
    root = state / "tls" / "simulated_root.pem"
    _write(root, x509.load_pem_x509_certificate(simulated.read_bytes()).public_bytes(Encoding.PEM))
    bundle = _authorities(authority, state / "tls" / "authorities.pem", environment)
    proxies = ",".join(filter(None, (environment.get("no_proxy"), _LOOPBACK)))
    return {
        **(_signup_token(state) if urlsplit(host).hostname in _LOOPBACK.split(",") else {}),
        **environment,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(HOOK), environment.get("PYTHONPATH")))),
        "BLINDSIGHT_LOCAL_ROOT": str(root),
        "CAPE_ATTESTATION_ROOT": str(root),
        "CAPE_ENCLAVE_HOST": host,
        "CAPE_LOCAL_CONFIG_DIR": environment.get("CAPE_LOCAL_CONFIG_DIR", str(config_folder(state))),
        "SSL_CERT_FILE": str(bundle),
        "REQUESTS_CA_BUNDLE": str(bundle),
        "NODE_EXTRA_CA_CERTS": str(authority),
        "no_proxy": proxies,
        "NO_PROXY": proxies,
    }


def config_folder(state: Path) -> Path:
    """Where the stack's own account is kept, in the layout of Cape's command line."""
    return state / "cape"


def signup_token_file(state: Path) -> Path:
    """Where the token is kept that accounts of the stack are made with."""
    return config_folder(state) / "signup.token"


def _signup_token(state: Path) -> dict[str, str]:
    """The stack's token for `cape signup`, which is for no host beyond this machine."""
    file = signup_token_file(state)
    return {"BLINDSIGHT_API_TOKEN": file.read_text(encoding="utf-8").strip()} if file.exists() else {}


def _authorities(ours: Path, target: Path, environment: Mapping[str, str]) -> Path:
    """The authorities that were trusted before, and ours: programs also talk to other hosts."""
    known = environment.get("SSL_CERT_FILE") or ssl.get_default_verify_paths().cafile
    before = Path(known).read_bytes() if known and Path(known).exists() and Path(known) != target else b""
    _write(target, before.rstrip(b"\n") + b"\n" + ours.read_bytes())
    return target


def _write(target: Path, content: bytes) -> None:
    if not target.exists() or target.read_bytes() != content:
        draft = target.with_name(f"{target.name}.{os.getpid()}")
        draft.write_bytes(content)
        draft.replace(target)
