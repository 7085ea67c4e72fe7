"""The stand-in's policy engine: what AWS's language says, and refusal of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kms_standin.keypolicy import Asked, KeyPolicy
from kms_standin.refusal import Refused

PCR0 = "kms:RecipientAttestation:PCR0"
ME = "arn:aws:iam::111122223333:role/me"
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1"


def policy(*statements: dict[str, Any]) -> KeyPolicy:
    return KeyPolicy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}))


def statement(**changed: Any) -> dict[str, Any]:
    given = {"Effect": "Allow", "Principal": {"AWS": ME}, "Action": "kms:Encrypt", "Resource": "*"} | changed
    return {name: value for name, value in given.items() if value is not None}


def asked(*, principal: str = ME, action: str = "kms:Encrypt", **values: Any) -> Asked:
    named = {name.replace("__", ":"): value for name, value in values.items()}
    return Asked(principal, action, KEY, {name: (v,) if isinstance(v, str) else v for name, v in named.items()})


def when(**condition: Any) -> dict[str, Any]:
    return statement(Condition={name.replace("_", ":"): value for name, value in condition.items()})


def test_what_no_statement_allows_is_denied():
    assert not policy(statement()).allows(asked(principal="arn:aws:iam::111122223333:role/other"))
    assert not policy(statement()).allows(asked(action="kms:GenerateDataKey"))
    assert not policy(statement(Resource=KEY + "2")).allows(asked())
    assert policy(statement(Resource=[KEY], Action=["kms:X", "kms:encr*"])).allows(asked())


def test_a_denial_wins():
    assert policy(statement()).allows(asked())
    assert not policy(statement(), statement(Effect="Deny", Principal="*", Action="kms:*")).allows(asked())


@pytest.mark.parametrize(
    ("condition", "found", "holds"),
    [
        ({"StringEquals": {PCR0: "ab"}}, "ab", True),
        ({"StringEquals": {PCR0: "ab"}}, "AB", False),
        ({"StringEquals": {PCR0: ["cd", "ab"]}}, "ab", True),
        ({"StringEquals": {PCR0: "ab"}}, None, False),
        ({"StringEqualsIgnoreCase": {PCR0: "AB"}}, "ab", True),
        ({"StringEqualsIgnoreCase": {PCR0: "ab"}}, "ab0", False),
        ({"StringNotEquals": {PCR0: "ab"}}, "cd", True),
        ({"StringNotEquals": {PCR0: "ab"}}, "ab", False),
        ({"StringNotEquals": {PCR0: "ab"}}, None, True),
        ({"Null": {PCR0: "true"}}, None, True),
        ({"Null": {PCR0: "true"}}, "ab", False),
        ({"Null": {PCR0: False}}, "ab", True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a", "b"]}}, ("a", "b"), True),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, ("a", "b"), False),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, None, True),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, ("a", "b"), True),
        ({"ForAnyValue:StringEquals": {"kms:EncryptionContextKeys": ["a"]}}, None, False),
    ],
)
def test_conditions(condition: dict[str, Any], found: Any, holds: bool):
    key = next(iter(next(iter(condition.values()))))
    values = {} if found is None else {key: (found,) if isinstance(found, str) else found}
    assert policy(statement(Condition=condition)).allows(Asked(ME, "kms:Encrypt", KEY, values)) is holds


def test_every_condition_of_a_statement_must_hold():
    both = statement(Condition={"StringEquals": {PCR0: "ab", "kms:RecipientAttestation:PCR1": "cd"}})
    assert policy(both).allows(Asked(ME, "kms:Encrypt", KEY, {PCR0: ("ab",), "kms:RecipientAttestation:PCR1": ("cd",)}))
    assert not policy(both).allows(Asked(ME, "kms:Encrypt", KEY, {PCR0: ("ab",)}))


@pytest.mark.parametrize(
    "wrong",
    [
        statement(Condition={"StringLike": {PCR0: "*"}}),
        statement(Condition={"StringEqualsIfExists": {PCR0: "ab"}}),
        statement(Condition={"StringEquals": {"kms:RecipientAttestation:PCR32": "ab"}}),
        statement(Condition={"StringEquals": {"kms:RecipientAttestation:PCR01": "ab"}}),
        statement(Condition={"StringEquals": {"aws:SourceIp": "ab"}}),
        statement(Condition={"StringEquals": {PCR0: []}}),
        statement(Condition={"StringEquals": {PCR0: 1}}),
        statement(Effect="allow"),
        statement(Principal={"Service": "x"}),
        statement(Principal={"AWS": ME, "Service": "x"}),
        statement(NotAction="kms:Decrypt", Action=None),
        statement(Action=[]),
        statement(Resource=None),
        statement(NotPrincipal="*"),
    ],
)
def test_what_is_not_known_is_refused(wrong: dict[str, Any]):
    with pytest.raises(Refused) as error:
        policy(wrong)
    assert error.value.name == "MalformedPolicyDocumentException"


@pytest.mark.parametrize(
    "leak",
    [
        statement(Action="kms:Decrypt"),
        statement(Action="kms:*"),
        statement(Action="*"),
        statement(Action="kms:De*"),
        statement(Action="kms:CreateGrant"),
        statement(Action="kms:ReEncryptFrom"),
        statement(Action="kms:Decrypt", Condition={"Null": {PCR0: "true"}}),
        statement(Action="kms:Decrypt", Condition={"StringNotEquals": {PCR0: "ab"}}),
        statement(Action=["kms:Decrypt", "kms:CreateGrant"], Condition={"StringEquals": {PCR0: "ab"}}),
    ],
)
def test_a_policy_that_lets_secrets_out_without_attestation_is_not_loaded(leak: dict[str, Any]):
    with pytest.raises(Refused, match="without a condition on"):
        policy(leak)
    assert policy(statement(Action="kms:Decrypt", Condition={"StringEquals": {PCR0: "ab"}}))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"Version":"2008-10-17","Statement":[]}', '{"Version":"2012-10-17"}']
)
def test_what_is_no_policy_is_refused(text: str):
    with pytest.raises(Refused):
        KeyPolicy(text)
