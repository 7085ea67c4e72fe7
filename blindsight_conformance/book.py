"""Collects the suite's cases for the manifest (vectors/attestation/README.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from blindsight_conformance import mock
from blindsight_conformance.forge import NONCE
from blindsight_conformance.pki import NOW

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from blindsight_conformance.forge import Forge
    from blindsight_conformance.pki import Party

Scope = Literal["document", "blindsight"]
"""`document`: every verifier of documents can run the case; `blindsight`: only one with this project's claims and
policies."""

Mode = Literal["live", "archived"]


@dataclass(frozen=True)
class Case:
    """A case: document, policy, nonce, time and mode of the verification, and the expected verdict.

    `section` names the specification or verification step, `rows` are numbers of known weaknesses (`rows.py`). `time`
    is aware.
    """

    id: str
    title: str
    section: str
    rows: tuple[int, ...]
    scope: Scope
    document: bytes
    policy: Mapping[str, Any]
    nonce: bytes | None
    time: datetime
    mode: Mode
    expected: Mapping[str, Any]
    binding: Mapping[str, Any] | None = None
    note: str = ""


@dataclass
class Book:
    """The cases of all groups, and the defaults that most of them share."""

    forge: Forge = field(default_factory=mock.forge)
    cases: list[Case] = field(default_factory=list)
    roots: dict[str, Party] = field(default_factory=dict)
    """SHA-256 (hexadecimal), as in policies, to root."""
    group: str = ""

    def __post_init__(self) -> None:
        self.roots[self.forge.fingerprint] = self.forge.root

    def release(self, **changes: object) -> dict[str, Any]:
        """A release that accepts the mock enclave's code with any function. The value `...` removes a member."""
        measured = mock.pcrs()
        members: dict[str, Any] = {
            "kind": "nitro",
            "name": "conformance",
            "roots": [self.forge.fingerprint],
            "pcrs": {str(index): [measured[index].hex()] for index in (0, 1, 2)},
            "any_function": True,
        }
        return {name: value for name, value in (members | changes).items() if value is not ...}

    def policy(self, *releases: Mapping[str, Any], **members: object) -> dict[str, Any]:
        """The JSON object of a policy with `releases`, by default the one of `release`, and further members."""
        return {"schema": "blindsight-policy/2", "releases": list(releases) or [self.release()], **members}

    def under(self, forge: Forge, **changes: object) -> dict[str, Any]:
        """A policy that lists the root of `forge`."""
        self.roots[forge.fingerprint] = forge.root
        return self.policy(self.release(roots=[forge.fingerprint], **changes))

    def document(self, forge: Forge | None = None, /, **changes: object) -> bytes:
        """The mock enclave's document with changed fields, signed by `forge`."""
        fields = {"pcrs": mock.pcrs(), "module_id": mock.MODULE_ID} | changes
        return (forge or self.forge).document(**fields)

    def payload(self, forge: Forge | None = None, /, **changes: object) -> bytes:
        """The payload of `document`, in CBOR."""
        fields = {"pcrs": mock.pcrs(), "module_id": mock.MODULE_ID} | changes
        return (forge or self.forge).payload(**fields)

    def accepted(
        self,
        title: str,
        document: bytes | None = None,
        *,
        kind: str = "nitro",
        unknown: Sequence[str | int] = (),
        left_open: Sequence[str] = ("function",),
        release: str | None = "conformance",
        kem_id: int | None = None,
        **rest: Any,  # noqa: ANN401 -- the arguments of _add
    ) -> None:
        """Add a case that must be accepted, with the expected content of the report."""
        expected: dict[str, Any] = {
            "result": "accepted",
            "kind": kind,
            "release": release,
            "left_open": list(left_open),
            "unknown_fields": list(unknown),
        }
        if kem_id is not None:
            expected["kem_id"] = kem_id
        self._add(title, document, expected, **rest)

    def refused(
        self,
        code: str,
        step: int | None,
        title: str,
        document: bytes | None = None,
        **rest: Any,  # noqa: ANN401 -- the arguments of _add
    ) -> None:
        """Add a case that must be refused with `code` at `step`; None if the policy itself is refused."""
        step_of: dict[str, Any] = {} if step is None else {"step": step}
        self._add(title, document, {"result": "refused", "code": code, **step_of}, **rest)

    def _add(
        self,
        title: str,
        document: bytes | None,
        expected: Mapping[str, Any],
        *,
        section: str,
        rows: Sequence[int] = (),
        scope: Scope = "document",
        policy: Mapping[str, Any] | None = None,
        nonce: bytes | None = NONCE,
        time: datetime = NOW,
        mode: Mode = "live",
        binding: Mapping[str, Any] | None = None,
        note: str = "",
    ) -> None:
        slug = re.sub("[^a-z0-9]+", "-", title.lower()).strip("-")
        self.cases.append(
            Case(
                id=f"{self.group}/{slug}",
                title=title,
                section=section,
                rows=tuple(rows),
                scope=scope,
                document=self.document() if document is None else document,
                policy=self.policy() if policy is None else policy,
                nonce=nonce,
                time=time,
                mode=mode,
                expected=expected,
                binding=binding,
                note=note,
            )
        )
