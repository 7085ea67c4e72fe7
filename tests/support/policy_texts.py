"""Cases of tests/vectors/policy.json about what a policy file may say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blindsight.attestation import AWS_NITRO_ROOT_G1
from tests.support.policy_cases import (
    AFTER,
    FIRST,
    FUNCTION,
    MODEL,
    NITRO,
    OPEN,
    OTHER,
    OTHER_PCR,
    PCR0,
    PCR1,
    PCR2,
    PCR8,
    PCR16,
    PEM_OF_AWS,
    RELEASE,
    SIMULATED,
    ZIP_OF_AWS,
    changed,
    document,
    policy,
    release,
)

if TYPE_CHECKING:
    from tests.support.policy_cases import Cases


def add(made: Cases) -> None:
    _first_format(made)
    _unreadable(made)
    _invalid(made)
    _invalid_releases(made)
    _too_much(made)


def _first_format(made: Cases) -> None:
    simulated = {"kind": "simulated", "sha256": SIMULATED}
    first = FIRST["roots"][0]
    made.accepted("first format", FIRST, release=None)
    made.accepted(
        "first format with PCR 16", changed(FIRST, {"pcrs": {"0": [PCR0], "16": [PCR16]}, **OPEN}), release=None
    )
    made.accepted("first format with PCR 1 and 2", changed(FIRST, {"pcrs": {"1": [PCR1], "2": [PCR2]}}), release=None)
    made.accepted(
        "first format without what may be left out",
        {name: FIRST[name] for name in ("schema", "roots", "pcrs", "function_checksums")},
        release=None,
    )
    both = FIRST | {"roots": [simulated, first]}
    made.accepted("first format, two kinds: the one", both, release=None)
    made.accepted("first format, two kinds: the other", both, document(root=SIMULATED), release=None, kind="simulated")
    made.refused("function_not_accepted", 9, "first format, another function", FIRST | {"function_checksums": [OTHER]})
    made.refused("model_not_accepted", 9, "first format, another model", FIRST | {"model_digests": [OTHER]})
    made.refused("pcr_mismatch", 7, "first format, other code", FIRST | {"pcrs": {"0": [OTHER_PCR]}})
    made.unusable("function_not_pinned", "first format, PCR 0 alone", FIRST | {"function_checksums": None})
    made.unusable(
        "function_not_pinned",
        "first format, PCR 0 and a model",
        FIRST | {"function_checksums": None, "model_digests": [MODEL]},
    )
    made.unusable("code_not_pinned", "first format, PCR 16 alone", changed(FIRST, {"pcrs": {"16": [PCR16]}, **OPEN}))
    made.unusable("code_not_pinned", "first format, PCR 1 without PCR 2", FIRST | {"pcrs": {"1": [PCR1]}})
    made.unusable("no_roots", "first format, no roots", FIRST | {"roots": []})
    made.unusable("no_measurements", "first format, no PCRs", FIRST | {"pcrs": {}})
    made.unusable("empty_allow_list", "first format, no functions", FIRST | {"function_checksums": []})
    for what, changes in (
        ("roots left out", {"roots": ...}),
        ("PCRs left out", {"pcrs": ...}),
        ("a root that is a text", {"roots": [NITRO]}),
        ("a root without kind", {"roots": [{"sha256": NITRO}]}),
        ("a root of no kind", {"roots": [first | {"kind": "any"}]}),
        ("a root twice", {"roots": [first, first]}),
        ("a root of two kinds", {"roots": [first, simulated | {"sha256": NITRO}]}),
        ("AWS's root as simulated", {"roots": [simulated | {"sha256": AWS_NITRO_ROOT_G1}]}),
    ):
        made.unusable("invalid_policy", f"first format, {what}", changed(FIRST, changes))
    for what, changes in (
        ("releases", {"releases": [RELEASE]}),
        ("a key of the second format", {"refuse": []}),
        ("any_function", {"any_function": True, "function_checksums": None}),
        ("a key more in a root", {"roots": [first | {"note": ""}]}),
    ):
        made.unusable("unknown_policy_key", f"first format with {what}", FIRST | changes)


def _unreadable(made: Cases) -> None:
    good = json.dumps(policy(max_age_seconds=300))
    for what, text in (
        ("nothing", ""),
        ("an end too early", good[:-1]),
        ("something after it", good + "x"),
        ("a byte order mark", "\ufeff" + good),
        ("a fraction", good.replace("300", "300.0")),
        ("an exponent", good.replace("300", "3e2")),
        ("NaN", good.replace("300", "NaN")),
        ("a comma too many", good.replace('["', '["x",],["', 1)),
        ("a comment", "// a policy\n" + good),
        ("a control character in a name", good.replace('"name": "1.4.0"', '"name": "1.4\t0"')),
        ("other quotes", good.replace('"', "'")),
        ("a number with a zero before it", good.replace("300", "0300")),
    ):
        made.unusable("unreadable_policy", f"no JSON: {what}", text)
    made.accepted(
        "JSON with spaces, line feeds and escapes",
        json.dumps(policy(), indent=3).replace('"releases"', '"\\u0072eleases"') + "\r\n\t ",
    )


def _invalid(made: Cases) -> None:
    twice = json.dumps(policy())
    for what, text in (
        ("a list", "[]"),
        ("null", "null"),
        ("a text", '"blindsight-policy/2"'),
        ("an empty object", "{}"),
        ("no schema", policy(schema=...)),
        ("another schema", policy(schema="blindsight-policy/3")),
        ("a schema that is a list", policy(schema=["blindsight-policy/2"])),
        ("the schema in capitals", policy(schema="Blindsight-Policy/2")),
        ("the schema twice", twice.replace("{", '{"schema": "blindsight-policy/2", ', 1)),
        ("PCR 0 twice", twice.replace('"pcrs": {', f'"pcrs": {{"0": ["{OTHER_PCR}"], ')),
        ("a key of a release twice", twice.replace('"kind": "nitro"', '"kind": "nitro", "kind": "nitro"')),
        (
            "a key twice, once escaped",
            twice.replace('"kind"', '"any_function": true, "any_functio\\u006e": true, "kind"'),
        ),
        ("releases left out", policy(releases=...)),
        ("no releases", policy(releases=[])),
        ("releases of null", policy(releases=None)),
        ("releases that are an object", policy(releases=RELEASE)),
        ("a release that is a text", policy(releases=["1.4.0"])),
        ("a release that is a list", policy(releases=[[RELEASE]])),
        ("one root for two kinds", policy(release(), release(kind="simulated"))),
        ("what is refused as a text", policy(refuse=PCR0)),
        ("what is refused as null", policy(refuse=None)),
        ("SHA-1 refused", policy(refuse=["ab" * 20])),
        ("no hexadecimal refused", policy(refuse=["x" * 64])),
        ("a number refused", policy(refuse=[7])),
        ("a minimum of null", policy(minimum_version=None)),
        ("a minimum that is a number", policy(minimum_version=1)),
        ("a minimum of two words", policy(minimum_version="1.4 beta")),
        ("a negative age", policy(max_age_seconds=-1)),
        ("an age beyond a day", policy(max_age_seconds=86_401)),
        ("an age of null", policy(max_age_seconds=None)),
        ("an age that is true", policy(max_age_seconds=True)),
        ("an age as a text", policy(max_age_seconds="300")),
        ("an age beyond all", policy(max_age_seconds=10**30)),
        ("a skew beyond a day", policy(max_future_skew_seconds=86_401)),
        ("a skew of null", policy(max_future_skew_seconds=None)),
    ):
        made.unusable("invalid_policy", f"invalid: {what}", text)
    for time in (
        "2027-01-01",
        "2027-01-01T00:00:00",
        "2027-01-01T00:00:00+00:00",
        "2027-01-01T01:00:00+01:00",
        "2027-01-01t00:00:00z",
        "2027-01-01 00:00:00Z",
        "2027-01-01T00:00:00.000Z",
        "2027-02-29T00:00:00Z",
        "2027-01-01T24:00:00Z",
        "2026-12-31T23:59:60Z",
        "2027-13-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "12027-01-01T00:00:00Z",
        "",
        "2027-01-01T00:00:00Z\n",
        "\u0662\u0660\u0662\u0667-01-01T00:00:00Z",
        1798761600,
        None,
    ):
        made.unusable("invalid_policy", f"invalid end of a policy: {time!a}", policy(expires=time))
    made.unusable("invalid_policy", "invalid end of a release: 2027-01-01", policy(release(expires="2027-01-01")))
    made.unusable("invalid_policy", "invalid end of a release: None", policy(release(expires=None)))
    made.accepted("an end in a leap year", policy(expires="2028-02-29T23:59:59Z"))
    made.accepted("an end that is far away", policy(release(expires="9999-12-31T23:59:59Z")))
    for what, text in (
        ("a key of the policy", policy(expiry=AFTER)),
        ("a key of a release", policy(release(function_checksum=[FUNCTION]))),
        ("a key with other capitals", policy(release(Any_function=True, **OPEN))),
        ("a comment", policy(comment="")),
        ("PCRs outside a release", policy(pcrs={"0": [PCR0]})),
        ("roots outside a release", policy(roots=[NITRO])),
        ("a limit inside a release", policy(release(max_age_seconds=300))),
        ("__proto__", policy(__proto__={"any_code": True})),
        ("an empty key", policy(**{"": True})),
    ):
        made.unusable("unknown_policy_key", f"unknown key: {what}", text)


def _invalid_releases(made: Cases) -> None:
    for what, changes in (
        ("no kind", {"kind": ...}),
        ("a kind that is not known", {"kind": "tdx"}),
        ("a kind in capitals", {"kind": "Nitro"}),
        ("a kind that is a list", {"kind": ["nitro"]}),
        ("a kind of null", {"kind": None}),
        ("an empty name", {"name": ""}),
        ("a name of 65 characters", {"name": "x" * 65}),
        ("a name in another script", {"name": "1.4.\u0660"}),
        ("a name of two lines", {"name": "1.4.0\nGenuine"}),
        ("a name that ends in a line feed", {"name": "1.4.0\n"}),
        ("a name with an escape sequence", {"name": "\x1b[2J"}),
        ("a name of null", {"name": None}),
        ("a name that is a number", {"name": 1}),
        ("a version with a letter", {"version": "1.4.0b"}),
        ("a version of five parts", {"version": "1.2.3.4.5"}),
        ("an empty version", {"version": ""}),
        ("a version with an empty part", {"version": "1..4"}),
        ("a version that ends in a dot", {"version": "1.4."}),
        ("a version with a zero before a number", {"version": "1.04"}),
        ("a version with a v", {"version": "v1.4"}),
        ("a version that ends in a line feed", {"version": "1.4\n"}),
        ("a version of ten digits", {"version": "1000000000"}),
        ("a version in other digits", {"version": "\u0661.4"}),
        ("a negative version", {"version": "-1"}),
        ("a version that is a number", {"version": 1}),
        ("a version of null", {"version": None}),
        ("roots of null", {"roots": None}),
        ("roots as a text", {"roots": NITRO}),
        ("a short root", {"roots": [NITRO[:-2]]}),
        ("a root that is no hexadecimal", {"roots": ["x" * 64]}),
        ("a root twice", {"roots": [NITRO, NITRO]}),
        ("a root twice, once in capitals", {"roots": [NITRO, NITRO.upper()]}),
        ("a root of the first format", {"roots": FIRST["roots"]}),
        ("AWS's root as simulated", {"kind": "simulated", "roots": [AWS_NITRO_ROOT_G1]}),
        ("PCRs of null", {"pcrs": None}),
        ("PCRs as a list", {"pcrs": [PCR0]}),
        ("a PCR as a text", {"pcrs": {"0": PCR0}}),
        ("a PCR of null", {"pcrs": {"0": None}}),
        ("a PCR of SHA-256", {"pcrs": {"0": [FUNCTION]}}),
        ("a PCR with a prefix", {"pcrs": {"0": ["0x" + PCR0[2:]]}}),
        ("PCR 32", {"pcrs": {"0": [PCR0], "32": [PCR8]}}),
        ("PCR 99", {"pcrs": {"0": [PCR0], "99": [PCR8]}}),
        ("PCR -1", {"pcrs": {"0": [PCR0], "-1": [PCR8]}}),
        ("PCR 00", {"pcrs": {"00": [PCR0]}}),
        ("PCR with a space", {"pcrs": {" 0": [PCR0]}}),
        ("PCR 100", {"pcrs": {"0": [PCR0], "100": [PCR8]}}),
        ("a PCR named", {"pcrs": {"PCR0": [PCR0]}}),
        ("a PCR in other digits", {"pcrs": {"\u0660": [PCR0]}}),
        ("a function as a text", {"function_checksums": FUNCTION}),
        ("functions of null", {"function_checksums": None}),
        ("a function of SHA-384", {"function_checksums": [PCR0]}),
        ("a function that is a number", {"function_checksums": [0]}),
        ("models of null", {"model_digests": None}),
        ("a short model", {"model_digests": [MODEL[:-1]]}),
        ("any function, false", {"any_function": False}),
        ("any code, false", {"any_code": False}),
        ("in the image, false", {"function_in_image": False}),
        ("any function, as a text", {"any_function": "true", **OPEN}),
        ("any function, 1", {"any_function": 1, **OPEN}),
        ("any function, null", {"any_function": None, **OPEN}),
        ("in the image, 1", {"function_in_image": 1, **OPEN}),
        ("any code, and PCR 0", {"any_code": True}),
        ("any code, and PCR 1 and 2", {"any_code": True, "pcrs": {"1": [PCR1], "2": [PCR2]}}),
        ("any function, and its checksum", {"any_function": True}),
        ("any function, and PCR 16", {"any_function": True, "pcrs": {"0": [PCR0], "16": [PCR16]}, **OPEN}),
        ("any function, in the image", {"any_function": True, "function_in_image": True, **OPEN}),
        ("in the image, without PCR 0", {"function_in_image": True, "pcrs": {"1": [PCR1], "2": [PCR2]}, **OPEN}),
        (
            "in the image, without PCR 0, and a checksum",
            {"function_in_image": True, "pcrs": {"1": [PCR1], "2": [PCR2]}},
        ),
    ):
        made.unusable("invalid_policy", f"invalid release: {what}", policy(release(**changes)))
    made.unusable("invalid_policy", "invalid release: the second one", policy(release(), release(kind="tdx")))


def _too_much(made: Cases) -> None:
    for code, what, changes in (
        ("no_roots", "no roots", {"roots": []}),
        ("no_roots", "simulated, and no roots", {"kind": "simulated", "roots": ...}),
        ("no_measurements", "no PCRs", {"pcrs": {}}),
        ("no_measurements", "PCRs left out", {"pcrs": ...}),
        ("no_measurements", "any code, and no PCRs", {"pcrs": ..., "any_code": True}),
        ("no_measurements", "any function, and no PCRs", {"pcrs": ..., "any_function": True, **OPEN}),
        ("empty_allow_list", "no value of PCR 0", {"pcrs": {"0": []}}),
        ("empty_allow_list", "no functions", {"function_checksums": []}),
        ("empty_allow_list", "no models", {"model_digests": []}),
        ("zero_measurement", "PCR 0 of zeros, as in debug mode", {"pcrs": {"0": ["00" * 48]}}),
        ("zero_measurement", "zeros beside another value", {"pcrs": {"0": [PCR0], "8": [PCR8, "00" * 48]}}),
        ("zero_measurement", "a function of zeros", {"function_checksums": ["00" * 32]}),
        ("zero_measurement", "a root of zeros", {"roots": ["00" * 32]}),
        ("not_a_certificate_fingerprint", "the hash of AWS's ZIP file", {"roots": [ZIP_OF_AWS]}),
        ("not_a_certificate_fingerprint", "the hash of AWS's PEM file", {"roots": [NITRO, PEM_OF_AWS.upper()]}),
        ("code_not_pinned", "PCR 1 without PCR 2", {"pcrs": {"1": [PCR1]}}),
        ("code_not_pinned", "PCR 2 without PCR 1", {"pcrs": {"2": [PCR2]}}),
        ("code_not_pinned", "PCR 16 alone", {"pcrs": {"16": [PCR16]}, **OPEN}),
        ("code_not_pinned", "PCR 8, who signed it", {"pcrs": {"8": [PCR8]}}),
        ("code_not_pinned", "PCR 8, and any function", {"pcrs": {"8": [PCR8]}, "any_function": True, **OPEN}),
        ("function_not_pinned", "PCR 0 alone", OPEN),
        ("function_not_pinned", "PCR 0 and a model", {"model_digests": [MODEL], **OPEN}),
        ("function_not_pinned", "PCR 1 and 2", {"pcrs": {"1": [PCR1], "2": [PCR2]}, **OPEN}),
        ("function_not_pinned", "any code, and no function", {"pcrs": {"8": [PCR8]}, "any_code": True, **OPEN}),
    ):
        made.unusable(code, f"too much: {what}", policy(release(**changes)))
    made.unusable("function_not_pinned", "too much: the second release", policy(release(), release(**OPEN)))
    made.unusable("zero_measurement", "too much: zeros refused, which unused PCRs are", policy(refuse=["00" * 48]))
    made.unusable("zero_measurement", "too much: a digest of zeros refused", policy(refuse=["00" * 32]))
