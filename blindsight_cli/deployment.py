"""Checks of `blindsight doctor` on a whole deployment: policy against each enclave, clocks, certificates, versions,
ports, and the store of this machine.

What a gateway states is not authenticated; only evidence is verified here. All texts of others are cut before they are
shown.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import socket
import ssl
import subprocess
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx2
from cryptography import x509

import blindsight
from blindsight.attestation import cose, verifier
from blindsight.attestation.document import AttestationDocument
from blindsight.client.routes import is_loopback
from blindsight.errors import EvidenceError, PolicyError, ProxyError
from blindsight_cli import listeners, replies, statelock, stored, units
from blindsight_cli.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blindsight.attestation.policy import Policy
    from blindsight_cli.replies import Reply

_SECONDS: Final = 5.0
_SOON: Final = timedelta(days=14)
_SKEW: Final = timedelta(seconds=30)
"""Half of what policies allow by default."""
_MAX_ENCLAVES: Final = 64
_ID: Final = re.compile(r"[0-9a-f]{16}")
_NOT_SYNCHRONISED: Final = "synchronise the clocks (NTP): evidence and tokens are judged by them"


def of_policy(file: Path, policy: Policy, now: datetime) -> list[Finding]:
    """What of a policy that is in force ends soon."""
    ends = [("the policy", policy.expires)]
    ends += [
        (f"release {release.name or number}", release.expires) for number, release in enumerate(policy.releases, 1)
    ]
    found = [f"{what} expires {_when(end, now)}" for what, end in ends if end is not None and end - now < _SOON]
    if not found:
        return []
    step = f"write a policy with a later time or a new release, and replace {file}: docs/day-two.md"
    return [Finding("policy's end", good=False, seen="; ".join(found), next_step=step)]


def of_gateway(url: str, proxy: str | None, policy: Policy | None) -> list[Finding]:
    """Version, clock, notices and enclaves of the gateway at `url`; nothing if there is none."""
    before = datetime.now(UTC)
    info = _statement(url, "/info", proxy)
    if info is None or info.members().get("name") != "blindsight":
        return []
    members = info.members()
    findings = [*_version(members.get("version")), *_clock(info, before, datetime.now(UTC)), *_accounts(members)]
    ids = [each.get("id") for each in _list(members.get("enclaves")) if isinstance(each, dict)]
    known = [each for each in ids if isinstance(each, str) and _ID.fullmatch(each)][:_MAX_ENCLAVES]
    if policy is not None:
        for enclave_id in known:
            findings += _enclave(url, proxy, policy, enclave_id)
    return findings


def _statement(url: str, path: str, proxy: str | None) -> Reply | None:
    with contextlib.suppress(httpx2.HTTPError, httpx2.InvalidURL, ProxyError, ValueError, OSError):
        return replies.statement(url, path, proxy=proxy, seconds=_SECONDS)
    return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _version(stated: object) -> list[Finding]:
    """Releases with the same first two numbers understand each other."""
    if not isinstance(stated, str) or not re.fullmatch(r"\d{1,6}(\.\d{1,6}){1,3}", stated):
        return []
    ours = blindsight.__version__
    same = stated.split(".")[:2] == ours.split(".")[:2]
    seen = f"gateway {stated}, these commands {ours}"
    return [Finding("versions", same, seen, f"install the commands of release {stated}, or update the gateway")]


def _clock(reply: Reply, before: datetime, after: datetime) -> list[Finding]:
    """The gateway's clock, by its `Date` field, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(reply.date).astimezone(UTC)
    except (TypeError, ValueError):
        return []
    return [_compared("gateway's clock", theirs, before, after)]


def _compared(name: str, theirs: datetime, before: datetime, after: datetime) -> Finding:
    if before - _SKEW <= theirs <= after + _SKEW:
        return Finding(name, good=True, seen="agrees with this machine's")
    seconds = (theirs - after).total_seconds()
    seen = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's ({after:%Y-%m-%d %H:%M:%SZ})"
    return Finding(name, good=False, seen=seen, next_step=_NOT_SYNCHRONISED)


def _accounts(info: dict[str, Any]) -> list[Finding]:
    if not any(isinstance(each, str) and each.startswith("ACCOUNTS CANNOT") for each in _list(info.get("notices"))):
        return []
    seen = "the enclave has another root secret than the stored accounts were made with"
    return [Finding("accounts", False, seen, "restore the root secret, or delete the accounts: docs/day-two.md")]


def _enclave(url: str, proxy: str | None, policy: Policy, enclave_id: str) -> list[Finding]:
    """The evidence of one enclave under the policy, its clock, and the end of its certificates."""
    name, nonce = f"enclave {enclave_id}", secrets.token_bytes(32)
    before = datetime.now(UTC)
    reply = _statement(url, f"/attestation?nonce={nonce.hex()}&enclave={enclave_id}", proxy)
    now = datetime.now(UTC)
    if reply is None:
        return [Finding(name, good=False, seen="no evidence came in time", next_step="look into the gateway's log")]
    members = reply.members()
    try:
        raw = base64.b64decode(members["document"], validate=True)
    except (KeyError, TypeError, ValueError):
        detail = members.get("detail")
        seen = str(detail)[:300] if isinstance(detail, str) else "the answer is no evidence"
        return [Finding(name, good=False, seen=f"the gateway: {seen}", next_step="look into the gateway's log")]
    findings = []
    try:
        verified = verifier.verify(raw, policy=policy, nonce=nonce, now=now)
        release = f", release {verified.report.release}" if verified.report.release else ""
        findings.append(Finding(name, good=True, seen=f"accepted by the policy{release}"))
    except (EvidenceError, PolicyError) as error:
        findings.append(Finding(name, good=False, seen=str(error), next_step=error.next_step))
    with contextlib.suppress(EvidenceError, ValueError):
        document = AttestationDocument.parse(cose.parse(raw, unsigned=True).payload)
        clock = _compared(f"{name}'s clock", document.timestamp, before, now)
        findings += [] if clock.good else [clock]
        findings += _chain(name, document, now)
    return findings


def _chain(name: str, document: AttestationDocument, now: datetime) -> list[Finding]:
    """Certificates of evidence live for hours and are renewed; that of its root is what has to be looked at."""
    ends = []
    for der in (document.certificate, *document.cabundle):
        with contextlib.suppress(ValueError):
            ends.append(x509.load_der_x509_certificate(der).not_valid_after_utc)
    expired = [end for end in ends if end <= now]
    if ends and max(ends) - now < _SOON:
        seen = f"the root certificate of its evidence expires {_when(max(ends), now)}"
        return [Finding(f"{name}'s root", False, seen, "pin the vendor's new root in the policy")]
    if expired:
        seen = f"a certificate of its evidence expired {_when(min(expired), now)}"
        return [Finding(f"{name}'s certificates", False, seen, "restart the enclave; look at the clocks")]
    return []


def _when(end: datetime, now: datetime) -> str:
    days = (end - now) / timedelta(days=1)
    words = f"in {days:.1f} days" if days > 0 else f"{-days:.1f} days ago"
    return f"at {end:%Y-%m-%d %H:%MZ}, {words}"


def of_tls(url: str, state: Path, now: datetime, proxy: str | None = None) -> list[Finding]:
    """The certificates of the gateway at `url` and of the stack in `state`; with a proxy to other machines, only theirs
    that can be asked without it.
    """
    found = {
        "this stack's TLS certificate": state / "tls" / "server.pem",
        "this stack's TLS authority": state / "tls" / "ca.pem",
    }
    findings = []
    for name, file in found.items():
        with contextlib.suppress(OSError, ValueError):
            end = x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
            findings += _ends(name, end, now, f"restart `blindsight up`, or run `blindsight tls --out {state / 'tls'}`")
    with contextlib.suppress(OSError, ValueError):
        if der := _presented(url, proxy):
            end = x509.load_der_x509_certificate(der).not_valid_after_utc
            step = "renew the certificate of BLINDSIGHT_TLS_CERTIFICATE; the gateway follows its file"
            soon = _ends("TLS certificate", end, now, step)
            findings += soon or [Finding("TLS certificate", good=True, seen=f"valid until {end:%Y-%m-%d}")]
    return findings


def _ends(name: str, end: datetime, now: datetime, step: str) -> list[Finding]:
    return [Finding(name, good=False, seen=f"expires {_when(end, now)}", next_step=step)] if end - now < _SOON else []


def _presented(url: str, proxy: str | None) -> bytes | None:
    """The certificate that the server at `url` presents, valid or not; None without TLS, or if only `proxy` may connect
    to it. Raises `OSError`.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or (proxy is not None and not is_loopback(url)):
        return None
    # Nothing is sent: an expired certificate has to be seen, not refused.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((parts.hostname, parts.port or 443), _SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=parts.hostname) as secured,
    ):
        return secured.getpeercert(binary_form=True)


def of_ports(url: str, state: Path) -> list[Finding]:
    """Where the stack in `state` listens, if it runs and the port of `url` is none of its ports."""
    holder = statelock.holder(state)
    if holder is None or not holder.isdecimal():
        return []
    ports = sorted(_ports(_descendants(int(holder))))
    wanted = urlsplit(url).port or (443 if urlsplit(url).scheme == "https" else 80)
    if not ports or wanted in ports or not _is_here(url):
        return []
    seen = f"the stack of {state} listens on {', '.join(map(str, ports))}, and not on {wanted}"
    return [Finding("ports", False, seen, "name its HTTP or HTTPS port with --url")]


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in {"localhost", "127.0.0.1", "::1"}


def _ports(pids: Iterable[int]) -> set[int]:
    found: set[int] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            found |= listeners.ports_of(pid)
    return found


def _descendants(pid: int) -> list[int]:
    found, left = [], [pid]
    while left:
        current = left.pop()
        found.append(current)
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{current}/task/{current}/children").read_text(encoding="ascii")
            left += map(int, children.split())
    return found


def of_store(state: Path) -> list[Finding]:
    """The database of the stack in `state`, or else of the gateway's settings, if it is on this machine."""
    here = stored.database(state).is_file()
    if not units.is_installed("gateway") or not (here or os.environ.get("BLINDSIGHT_DATABASE")):
        return []
    settings = stored.settings(state) if here else {}
    try:
        done = subprocess.run(
            units.command("gateway", "database", "current"), env=os.environ | settings, capture_output=True, text=True,
            check=False, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return [Finding("database", False, "cannot be asked", "run `python -m gateway database current`")]
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason"])[-1].removeprefix("gateway: ")
        return [Finding("database", False, reason[:400], "look at BLINDSIGHT_DATABASE, and at the database's server")]
    current, _, known = done.stdout.strip().partition(" (this release: ")
    findings = [
        Finding(
            "database",
            current == known.rstrip(")"),
            f"schema {done.stdout.strip()}",
            "start this release's gateway, or run `python -m gateway database upgrade`",
        )
    ]
    if here and not (state / stored.ROOT_SECRET).exists() and (number := stored.accounts(state)):
        seen = f"{state / stored.ROOT_SECRET} is missing: {number} accounts cannot be used"
        findings.append(Finding("root secret", False, seen, f"`blindsight restore --secrets FILE --state {state}`"))
    return findings
