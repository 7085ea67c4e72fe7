"""Evaluates key policies: the part of AWS's policy language that an attested key needs. Unknown elements are refused.

IAM User Guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators"; KMS Developer Guide, "AWS
KMS condition keys for attested platforms". An explicit denial overrides any permission; an action that no statement
allows is denied. Unlike the real service, the stand-in has no IAM policies, grants or service control policies, and
refuses to load a policy that releases a secret without attestation, because its purpose is to test such policies.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from kms_standin.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTESTATION = "kms:RecipientAttestation:"
_ATTESTED = re.compile(r"kms:RecipientAttestation:(ImageSha384|PCR([0-9]|[12][0-9]|3[01]))")
_CONTEXT = re.compile(r"kms:EncryptionContext:.{1,384}")
_PLAIN_KEYS = {"aws:PrincipalArn", "kms:EncryptionContextKeys", "kms:KeySpec"}

_MEMBERS = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
_OPERATORS = {
    "StringEquals",
    "StringEqualsIgnoreCase",
    "StringNotEquals",
    "StringNotEqualsIgnoreCase",
    "Null",
    "ForAllValues:StringEquals",
    "ForAnyValue:StringEquals",
}
_RELEASES = ("kms:Decrypt", "kms:ReEncryptFrom", "kms:CreateGrant")
"""Actions that can reveal an existing secret to another party."""


@dataclass(frozen=True)
class Asked:
    """A request, as policies evaluate it.

    `principal` and `resource` are ARNs, `action` is such as `kms:Decrypt`, `values` maps each condition key of the
    request to its values.
    """

    principal: str
    action: str
    resource: str
    values: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class _Statement:
    allows: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def applies(self, asked: Asked) -> bool:
        return (
            any(each in {"*", asked.principal} for each in self.principals)
            and any(fnmatchcase(asked.action.lower(), each.lower()) for each in self.actions)
            and any(fnmatchcase(asked.resource, each) for each in self.resources)
            and all(_holds(operator, asked.values.get(key, ()), wanted) for operator, key, wanted in self.conditions)
        )


class KeyPolicy:
    """A parsed key policy."""

    def __init__(self, text: str) -> None:
        """Parse a policy's JSON. Raises `Refused` (`MalformedPolicyDocumentException`)."""
        try:
            policy = json.loads(text)
            if policy["Version"] != "2012-10-17" or policy.keys() - {"Version", "Id", "Statement"}:
                raise ValueError("another version, or an unknown element")
            self._statements = [_statement(each) for each in _list(policy["Statement"])]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused("MalformedPolicyDocumentException", f"The key policy cannot be used: {error}") from error

    def allows(self, asked: Asked) -> bool:
        """Whether at least one statement that applies allows the request, and none that applies denies it."""
        applying = [each.allows for each in self._statements if each.applies(asked)]
        return bool(applying) and all(applying)


def _statement(members: dict[str, Any]) -> _Statement:
    if unknown := members.keys() - _MEMBERS:
        raise ValueError(f"unknown element {min(unknown)}")
    if members["Effect"] not in {"Allow", "Deny"}:
        raise ValueError("Effect is neither Allow nor Deny")
    principal = members["Principal"]
    principals = _texts(["*"] if principal == "*" else principal["AWS"])
    if isinstance(principal, dict) and principal.keys() != {"AWS"}:
        raise ValueError("only principals of AWS are known")
    statement = _Statement(
        members["Effect"] == "Allow",
        principals,
        _texts(members["Action"]),
        _texts(members["Resource"]),
        tuple(_conditions(members.get("Condition", {}))),
    )
    if statement.allows and not _is_attested(statement):
        for action in statement.actions:
            if any(fnmatchcase(each.lower(), action.lower()) for each in _RELEASES):
                raise ValueError(f"{action} is allowed without a condition on {ATTESTATION}…")
    return statement


def _is_attested(statement: _Statement) -> bool:
    return any(
        key.startswith(ATTESTATION) and operator in {"StringEquals", "StringEqualsIgnoreCase"}
        for operator, key, _ in statement.conditions
    ) and not any(fnmatchcase("kms:creategrant", action.lower()) for action in statement.actions)


def _conditions(members: dict[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    found = []
    for operator, keys in members.items():
        if operator not in _OPERATORS:
            raise ValueError(f"unknown condition operator {operator}")
        for key, wanted in keys.items():
            if not (_ATTESTED.fullmatch(key) or _CONTEXT.fullmatch(key) or key in _PLAIN_KEYS):
                raise ValueError(f"unknown condition key {key}")
            found.append((operator, key, _texts([str(wanted).lower()] if isinstance(wanted, bool) else wanted)))
    return found


def _holds(operator: str, found: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    if operator == "Null":
        return (wanted == ("true",)) == (not found)
    if operator == "ForAllValues:StringEquals":
        return all(each in wanted for each in found)
    if operator == "ForAnyValue:StringEquals":
        return any(each in wanted for each in found)
    if operator.endswith("IgnoreCase"):
        found, wanted = tuple(map(str.lower, found)), tuple(map(str.lower, wanted))
    matches = len(found) == 1 and found[0] in wanted
    # IAM: a negated operator also matches if the request does not have the key.
    return not matches if "Not" in operator else matches


def _texts(value: object) -> tuple[str, ...]:
    values = tuple(_list(value))
    if not values or not all(isinstance(each, str) for each in values):
        raise ValueError("a value is neither a text nor a list of texts")
    return values


def _list(value: Any) -> list[Any]:  # noqa: ANN401 -- JSON
    return value if isinstance(value, list) else [value]
