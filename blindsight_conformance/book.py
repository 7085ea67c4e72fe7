"""What the suite's cases are collected in, on their way to the manifest."""

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
"""Whether every verifier of documents can run a case, or only one that knows this project's claims and policies."""

Mode = Literal["live", "archived"]


@dataclass(frozen=True)
class Case:
    """One document, what it is judged by, and the verdict."""

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
    """The cases of all groups, and what most of them have in common."""

    forge: Forge = field(default_factory=mock.forge)
    cases: list[Case] = field(default_factory=list)
    roots: dict[str, Party] = field(default_factory=dict)
    """By SHA-256: what policies pin."""
    group: str = ""

    def __post_init__(self) -> None:
        self.roots[self.forge.fingerprint] = self.forge.root

    def release(self, **changes: object) -> dict[str, Any]:
        """The release that accepts the mock enclave's code and any function; a change to `...` removes a member."""
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
        return {"schema": "blindsight-policy/2", "releases": list(releases) or [self.release()], **members}

    def under(self, forge: Forge, **changes: object) -> dict[str, Any]:
        """A policy under another root."""
        self.roots[forge.fingerprint] = forge.root
        return self.policy(self.release(roots=[forge.fingerprint], **changes))

    def document(self, forge: Forge | None = None, /, **changes: object) -> bytes:
        """The mock enclave's document, with changes to its fields."""
        fields = {"pcrs": mock.pcrs(), "module_id": mock.MODULE_ID} | changes
        return (forge or self.forge).document(**fields)

    def payload(self, forge: Forge | None = None, /, **changes: object) -> bytes:
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
        """`step` is None if the policy is refused, before any document is looked at."""
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
