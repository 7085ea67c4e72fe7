"""The certificate of the HTTPS listener, which a running gateway follows: its authority's tools replace the files.

New connections get the new certificate; others keep the one that they began with. A pair that does not fit together
changes nothing: the two files are not replaced at the same instant.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from blindsight import files
from gateway.following import follow

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.audit.log import Audit

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
_MAX_FILE_BYTES: Final = 1 << 20


class CertificateFiles:
    """The PEM files of the listener's certificate chain and key."""

    def __init__(self, certificate: Path, key: Path, audit: Audit) -> None:
        """Reads them. Raises `OSError` if they cannot be used. `audit` is told of each new certificate."""
        self._certificate = certificate
        self._key = key
        self._audit = audit
        self._digest = self._read()
        self.context = self._load()
        """For new connections."""

    async def watch(self) -> None:
        """Read the files again and again, and replace `context` if they have changed, until cancelled."""
        await follow(self._look, seconds=_LOOK_SECONDS, event="TLS certificate not read again", refusals=(OSError,))

    async def _look(self) -> None:
        digest = await asyncio.to_thread(self._read)
        if digest != self._digest:
            context = await asyncio.to_thread(self._load)
            # What was read before it was loaded: if the files changed in between, the next look loads again.
            self.context, self._digest = context, digest
            self.note()

    def _read(self) -> bytes:
        """A digest of both files. Raises `OSError`."""
        digest = hashlib.sha256()
        for path in (self._certificate, self._key):
            try:
                content = files.read(path, _MAX_FILE_BYTES)
            except OSError as error:
                raise OSError(f"the TLS file {path} cannot be read: {error.strerror}") from error
            digest.update(hashlib.sha256(content).digest())
        return digest.digest()

    def _load(self) -> ssl.SSLContext:
        """A context with the chain and the key. Raises `OSError`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # A password would be asked for on the terminal of the gateway.
            context.load_cert_chain(self._certificate, self._key, password=_none)
        except (OSError, ValueError) as error:
            names = f"the TLS certificate {self._certificate} cannot be used with the key {self._key}"
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
            raise OSError(f"{names}: {str(reason).replace('_', ' ').lower()}") from error
        return context

    def note(self) -> None:
        """Tell the log and the audit log of the certificate in use."""
        try:
            leaf = x509.load_pem_x509_certificate(files.read(self._certificate, _MAX_FILE_BYTES))
        except (OSError, ValueError):  # Replaced in between: the next look tells of it.
            return
        ends = f"{leaf.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
        _log.info("TLS certificate in use", extra={"not_after": ends})
        self._audit.note("certificate.loaded", subject=leaf.fingerprint(SHA256()).hex(), details={"not_after": ends})


def _none() -> str:
    raise ValueError("it is encrypted")
