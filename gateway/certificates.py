"""The certificate of the HTTPS listener, which a running gateway follows: its authority's tools replace the files.

New connections get the new certificate; others keep the one that they began with. A pair that does not fit together
changes nothing: the two files are not replaced at the same instant. Neither does a certificate that is not valid now
while the one in use is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from blindsight import files
from gateway.following import follow

if TYPE_CHECKING:
    from pathlib import Path

    from prometheus_client import Gauge

    from gateway.audit.log import Audit

_log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
_MAX_FILE_BYTES: Final = 1 << 20
_FIRST: Final = re.compile(rb"^-----BEGIN ((?:TRUSTED |X509 )?)CERTIFICATE-----", re.MULTILINE)
"""The labels of certificates that OpenSSL takes."""


class CertificateFiles:
    """The PEM files of the listener's certificate chain and key."""

    def __init__(self, certificate: Path, key: Path, audit: Audit, end: Gauge) -> None:
        """Reads them. Raises `OSError` if they cannot be used.

        `audit` is told of each new certificate, and `end` set to its end (Unix time).
        """
        self._certificate = certificate
        self._key = key
        self._audit = audit
        self._end = end
        self._digest = self._read()
        self.context = self._load()
        """For new connections."""
        self._leaf = self._read_leaf()

    async def watch(self) -> None:
        """Read the files again and again, and replace `context` if they have changed, until cancelled."""
        await follow(self._look, seconds=_LOOK_SECONDS, event="TLS certificate not read again", refusals=(OSError,))

    async def _look(self) -> None:
        digest = await asyncio.to_thread(self._read)
        if digest != self._digest:
            context = await asyncio.to_thread(self._load)
            leaf = await asyncio.to_thread(self._read_leaf)
            if _valid(self._leaf) and not _valid(leaf):
                valid = f"{_time(leaf.not_valid_before_utc)} to {_time(leaf.not_valid_after_utc)}"
                raise OSError(
                    f"the TLS certificate {self._certificate} is valid from {valid}; the one in use is valid now"
                )
            # What was read before it was loaded: if the files changed in between, the next look loads again.
            self.context, self._leaf, self._digest = context, leaf, digest
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

    def _read_leaf(self) -> x509.Certificate:
        """The chain's first certificate. Raises `OSError`."""
        content = files.read(self._certificate, _MAX_FILE_BYTES)
        first = _FIRST.search(content)
        if first is not None and first[1] == b"TRUSTED ":
            raise OSError(
                f"the TLS certificate {self._certificate} is in a form of OpenSSL's own: rewrite it with `openssl x509`"
            )
        try:
            return x509.load_pem_x509_certificate(content)
        except ValueError as error:
            raise OSError(f"the TLS certificate {self._certificate} cannot be read: {error}") from error

    def note(self) -> None:
        """Tell the log, the audit log and the metrics of the certificate in use."""
        ends = _time(self._leaf.not_valid_after_utc)
        self._end.set(self._leaf.not_valid_after_utc.timestamp())
        fingerprint = self._leaf.fingerprint(SHA256()).hex()
        _log.info("TLS certificate in use", extra={"not_after": ends})
        self._audit.note("certificate.loaded", subject=fingerprint, details={"not_after": ends})


def _valid(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_before_utc <= datetime.now(UTC) <= certificate.not_valid_after_utc


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _none() -> str:
    raise ValueError("it is encrypted")
