"""Cases of tests/vectors/policy.json in which a good policy meets a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blindsight.attestation import AWS_NITRO_ROOT_G1
from tests.support.policy_cases import (
    AFTER,
    AT,
    BEFORE,
    EMULATED,
    FIRST,
    FUNCTION,
    MODEL,
    NITRO,
    NO_CLAIMS,
    OPEN,
    OTHER,
    OTHER_PCR,
    OTHER_ROOT,
    PCR0,
    PCR1,
    PCR2,
    PCR8,
    PCR16,
    SIMULATED,
    UNSIGNED_ROOT,
    document,
    measured,
    policy,
    release,
)

if TYPE_CHECKING:
    from tests.support.policy_cases import Cases

BOTH = ("code", "function")


def add(made: Cases) -> None:
    _pinned(made)
    _left_open(made)
    _several_releases(made)
    _versions_and_ends(made)
    _recalled(made)
    _mismatches(made)
    _emulated(made)


def _pinned(made: Cases) -> None:
    made.accepted("PCR 0 and a function checksum", policy())
    made.accepted(
        "PCR 1 with PCR 2, and PCR 16", policy(release(pcrs={"1": [PCR1], "2": [PCR2], "16": [PCR16]}, **OPEN))
    )
    made.accepted("a function in the image", policy(release(function_in_image=True, **OPEN)))
    made.accepted("a function in the image, and no claims", policy(release(function_in_image=True, **OPEN)), NO_CLAIMS)
    made.accepted("a function in the image, and its checksum", policy(release(function_in_image=True)))
    made.accepted("the model, too", policy(release(model_digests=[OTHER, MODEL])))
    made.accepted("one of several values", policy(release(pcrs={"0": [OTHER_PCR, PCR0], "8": [PCR8, OTHER_PCR]})))
    made.accepted(
        "capitals",
        policy(release(pcrs={"0": [PCR0.upper()]}, roots=[NITRO.upper()], function_checksums=[FUNCTION.upper()])),
    )
    made.accepted("a value twice", policy(release(pcrs={"0": [PCR0, PCR0.upper()]})))
    made.accepted("without a name", policy(release(name=...)), release=None)
    made.accepted(
        "any printable name", policy(release(name='~ 1.4 (build 7) "x\\y"')), release='~ 1.4 (build 7) "x\\y"'
    )
    made.accepted("AWS's root, which is the default", policy(release(roots=...)), document(root=AWS_NITRO_ROOT_G1))
    made.accepted(
        "AWS's root, listed", policy(release(roots=[OTHER_ROOT, AWS_NITRO_ROOT_G1])), document(root=AWS_NITRO_ROOT_G1)
    )
    simulated = release(kind="simulated", roots=[SIMULATED])
    made.accepted("simulated", policy(simulated), document(root=SIMULATED, kind="simulated"), kind="simulated")
    made.accepted(
        "not simulated by its name, listed as simulated", policy(simulated), document(root=SIMULATED), kind="simulated"
    )
    made.accepted("limits", policy(max_age_seconds=86_400, max_future_skew_seconds=0))


def _left_open(made: Cases) -> None:
    none = {"pcrs": ..., "any_code": True, "any_function": True, **OPEN}
    made.accepted("any function", policy(release(any_function=True, **OPEN)), left_open=("function",))
    made.accepted(
        "any function, and no claims", policy(release(any_function=True, **OPEN)), NO_CLAIMS, left_open=("function",)
    )
    made.accepted(
        "any function of this model",
        policy(release(any_function=True, model_digests=[MODEL], **OPEN)),
        left_open=("function",),
    )
    made.accepted(
        "any code, and PCR 16", policy(release(pcrs={"16": [PCR16]}, any_code=True, **OPEN)), left_open=("code",)
    )
    made.accepted(
        "any code, a PCR and a function checksum",
        policy(release(pcrs={"8": [PCR8]}, any_code=True)),
        left_open=("code",),
    )
    made.accepted("any code and any function, without PCRs", policy(release(**none)), left_open=BOTH)
    made.accepted(
        "any code and any function, with an empty list of PCRs", policy(release(**none | {"pcrs": {}})), left_open=BOTH
    )
    made.accepted(
        "any code and any function, and PCR 8", policy(release(**none | {"pcrs": {"8": [PCR8]}})), left_open=BOTH
    )
    made.accepted("any code and any function, and no claims", policy(release(**none)), NO_CLAIMS, left_open=BOTH)
    made.refused(
        "pcr_mismatch",
        7,
        "any code and any function, another PCR 8",
        policy(release(**none | {"pcrs": {"8": [OTHER_PCR]}})),
    )
    made.refused(
        "root_not_pinned",
        3,
        "any code and any function, another root",
        policy(release(**none)),
        document(root=OTHER_ROOT),
    )
    made.refused(
        "model_not_accepted",
        9,
        "any function of another model",
        policy(release(any_function=True, model_digests=[OTHER], **OPEN)),
    )


def _several_releases(made: Cases) -> None:
    named = release(name="named")
    other_code, other_function = release(pcrs={"0": [OTHER_PCR]}), release(function_checksums=[OTHER])
    other_model, other_root = release(model_digests=[OTHER]), release(roots=[OTHER_ROOT])
    old, ended = release(version="1.2.9"), release(expires=AT)
    missing = release(pcrs={"0": [PCR0], "9": [OTHER_PCR]})
    for what, other in (
        ("code", other_code),
        ("function", other_function),
        ("model", other_model),
        ("root", other_root),
        ("end", ended),
        ("PCR that is missing", missing),
    ):
        made.accepted(f"the second release, after one of another {what}", policy(other, named), release="named")
    made.accepted("the second release, after one too old", policy(old, named, minimum_version="1.3"), release="named")
    made.accepted("both: the first is named", policy(release(name="first"), release(name="second")), release="first")
    open_one = release(any_function=True, name="open", **OPEN)
    made.accepted("what the first leaves open", policy(open_one, named), release="open", left_open=("function",))
    made.accepted("what the second leaves open does not count", policy(named, open_one), release="named")
    simulated = release(kind="simulated", roots=[SIMULATED], name="test")
    made.accepted("two kinds: the one", policy(simulated, named), release="named")
    made.accepted(
        "two kinds: the other", policy(named, simulated), document(root=SIMULATED), kind="simulated", release="test"
    )
    made.accepted("two releases of two roots", policy(other_root, named), document(root=OTHER_ROOT))

    # Refused for what parts the document from the release that it came furthest with; of several, the first.
    minimum = {"minimum_version": "1.3"}
    made.refused("pcr_mismatch", 7, "further than a root: PCRs", policy(other_root, other_code))
    made.refused("pcr_mismatch", 7, "further than a version: PCRs", policy(old, other_code, **minimum))
    made.refused("pcr_mismatch", 7, "further than an end: PCRs", policy(other_code, ended))
    made.refused("function_not_accepted", 9, "further than PCRs: the function", policy(other_code, other_function))
    made.refused(
        "function_not_accepted", 9, "further than PCRs: the function, listed first", policy(other_function, other_code)
    )
    made.refused("model_not_accepted", 9, "further than the function: the model", policy(other_function, other_model))
    made.refused(
        "model_not_accepted", 9, "further than all: the model", policy(other_model, other_function, other_code, ended)
    )
    made.refused("claims_missing", 9, "further than PCRs: claims", policy(other_code, release()), NO_CLAIMS)
    made.refused("pcr_mismatch", 7, "two PCRs: the first release", policy(other_code, missing))
    made.refused("pcr_missing", 7, "two PCRs: the first release, the other way round", policy(missing, other_code))
    made.refused("release_too_old", 7, "old, and at its end: the first release", policy(old, ended, **minimum))
    made.refused("release_expired", 7, "at its end, and old: the first release", policy(ended, old, **minimum))


def _versions_and_ends(made: Cases) -> None:
    for version, least in (
        ("1.4.0", "1.4.0"),
        ("1.10", "1.9"),
        ("1.4", "1.4.0"),
        ("1.4.0.0", "1.4"),
        ("2", "1.99.99.99"),
        ("0.0.1", "0"),
        ("1.4.0.1", "1.4"),
        ("10.0", "9.9"),
        ("999999999", "999999998.9"),
    ):
        made.accepted(f"version {version}, {least} wanted", policy(release(version=version), minimum_version=least))
    for version, least in (("1.9", "1.10"), ("1.3.9", "1.4"), ("1.4", "1.4.0.1"), ("9.9", "10.0"), ("0", "0.0.0.1")):
        made.refused(
            "release_too_old",
            7,
            f"version {version}, {least} wanted",
            policy(release(version=version), minimum_version=least),
        )
    made.refused("release_too_old", 7, "no version, 0 wanted", policy(release(version=...), minimum_version="0"))
    made.accepted("no version, none wanted", policy(release(version=...)))
    made.accepted("a release that ends a second later", policy(release(expires=AFTER)))
    made.refused("release_expired", 7, "a release that ends now", policy(release(expires=AT)))
    made.refused("release_expired", 7, "a release that ended a second ago", policy(release(expires=BEFORE)))
    made.refused(
        "release_too_old",
        7,
        "too old, and ended: the version is told",
        policy(release(version="1", expires=AT), minimum_version="2"),
    )
    made.refused(
        "release_expired",
        7,
        "ended, and of other code: the end is told",
        policy(release(expires=AT, pcrs={"0": [OTHER_PCR]})),
    )
    made.accepted("a policy that ends a second later", policy(expires=AFTER))
    made.unusable("policy_expired", "a policy that ends now", policy(expires=AT))
    made.unusable("policy_expired", "a policy that ended a second ago", policy(expires=BEFORE))


def _recalled(made: Cases) -> None:
    made.accepted("others are recalled", policy(refuse=[OTHER_PCR, OTHER]))
    made.accepted("nothing is recalled", policy(refuse=[]))
    made.refused("release_recalled", 7, "PCR 0 is recalled", policy(refuse=[OTHER, PCR0]))
    made.refused("release_recalled", 7, "PCR 0 is recalled, in capitals", policy(refuse=[PCR0.upper()]))
    made.refused("release_recalled", 7, "a PCR that no release lists is recalled", policy(refuse=[PCR8]))
    made.refused("release_recalled", 7, "PCR 16 is recalled", policy(refuse=[PCR16]))
    made.refused(
        "release_recalled", 7, "recalled, and of no release", policy(release(pcrs={"0": [OTHER_PCR]}), refuse=[PCR0])
    )
    made.refused("release_recalled", 7, "recalled, and at its end", policy(release(expires=AT), refuse=[PCR0]))
    made.refused("release_recalled", 9, "the function is recalled", policy(refuse=[FUNCTION]))
    made.refused("release_recalled", 9, "the function is recalled, in capitals", policy(refuse=[FUNCTION.upper()]))
    made.refused("release_recalled", 9, "the model is recalled", policy(refuse=[MODEL]))
    made.refused(
        "release_recalled",
        9,
        "any function, but not this one",
        policy(release(any_function=True, **OPEN), refuse=[FUNCTION]),
    )
    made.refused(
        "release_recalled",
        9,
        "a function recalled and not accepted",
        policy(release(function_checksums=[OTHER]), refuse=[FUNCTION]),
    )
    made.refused(
        "pcr_mismatch",
        7,
        "a function recalled, of other code",
        policy(release(pcrs={"0": [OTHER_PCR]}), refuse=[FUNCTION]),
    )
    made.refused(
        "root_not_pinned", 3, "recalled, under another root", policy(release(roots=[OTHER_ROOT]), refuse=[PCR0])
    )
    made.accepted("a root is no release: recalling its digest is without effect", policy(refuse=[NITRO]))


def _mismatches(made: Cases) -> None:
    made.refused("root_not_pinned", 3, "another root", policy(), document(root=OTHER_ROOT))
    made.refused("root_not_pinned", 3, "not AWS's root, which is the default", policy(release(roots=...)))
    made.refused(
        "root_not_pinned", 3, "AWS's root, where another is listed", policy(), document(root=AWS_NITRO_ROOT_G1)
    )
    made.refused("simulated_root", 3, "a simulated root, listed as a genuine one", policy(), document(kind="simulated"))
    made.refused("pcr_mismatch", 7, "other code", policy(), measured(pcr0=OTHER_PCR))
    made.refused("pcr_missing", 7, "no PCR 0", policy(), document("0"))
    made.refused(
        "pcr_mismatch",
        7,
        "PCR 1 of another",
        policy(release(pcrs={"1": [PCR1], "2": [PCR2]})),
        measured(pcr1=OTHER_PCR),
    )
    made.refused(
        "pcr_mismatch",
        7,
        "PCR 2 of another",
        policy(release(pcrs={"1": [PCR1], "2": [PCR2]})),
        measured(pcr2=OTHER_PCR),
    )
    made.refused(
        "pcr_mismatch",
        7,
        "PCR 0 of one release and PCR 2 of another",
        policy(release(pcrs={"0": [PCR0], "2": [OTHER_PCR]}), release(pcrs={"0": [OTHER_PCR], "2": [PCR2]})),
    )
    made.refused("pcr_mismatch", 7, "the value of PCR 0 in PCR 8", policy(release(pcrs={"0": [PCR0], "8": [PCR0]})))
    made.refused(
        "pcr_mismatch", 7, "PCR 16 of another function", policy(release(pcrs={"0": [PCR0], "16": [OTHER_PCR]}, **OPEN))
    )
    made.refused("pcr_missing", 7, "PCR 31 listed and missing", policy(release(pcrs={"0": [PCR0], "31": [PCR8]})))
    made.refused("pcr_mismatch", 7, "PCR 3 listed and empty", policy(release(pcrs={"0": [PCR0], "3": [PCR8]})))
    made.refused(
        "pcr_mismatch", 7, "two PCRs: the lower index is told", policy(release(pcrs={"31": [PCR8], "0": [OTHER_PCR]}))
    )
    made.refused("function_not_accepted", 9, "another function", policy(release(function_checksums=[OTHER])))
    made.refused(
        "function_not_accepted", 9, "the model's digest for the function's", policy(release(function_checksums=[MODEL]))
    )
    made.refused(
        "function_not_accepted",
        9,
        "in the image, says the release, but another checksum",
        policy(release(function_in_image=True, function_checksums=[OTHER])),
    )
    made.refused("model_not_accepted", 9, "another model", policy(release(model_digests=[OTHER])))
    made.refused(
        "function_not_accepted",
        9,
        "function and model of others",
        policy(release(function_checksums=[OTHER], model_digests=[OTHER])),
    )
    made.refused("claims_missing", 9, "no claims, a function wanted", policy(), NO_CLAIMS)
    made.refused(
        "claims_missing",
        9,
        "no claims, a model wanted",
        policy(release(any_function=True, model_digests=[MODEL], **OPEN)),
        NO_CLAIMS,
    )


def _emulated(made: Cases) -> None:
    """QEMU's machine signs nothing, so its documents have no root, and only a release that names it accepts them."""
    emulated, shown = release(kind=EMULATED, roots=..., name="qemu"), document(root=None, kind=EMULATED)
    none = document("16", root=None, kind=EMULATED, function_checksum=None, model_digest=None)
    open_one = release(kind=EMULATED, roots=..., pcrs=..., any_code=True, any_function=True, name="qemu", **OPEN)
    accepted = {"kind": EMULATED, "release": "qemu"}
    made.accepted("emulated", policy(emulated), shown, **accepted)
    made.accepted("emulated, beside a genuine release", policy(release(), emulated), shown, **accepted)
    made.accepted("emulated, and any code and any function", policy(open_one), none, **accepted, left_open=BOTH)
    made.accepted("genuine, beside an emulated release", policy(emulated, release()))
    for name, other in (
        ("a genuine release", release()),
        ("AWS's root", release(roots=...)),
        ("a simulated release", release(kind="simulated", roots=[SIMULATED])),
        ("any genuine code and function", release(pcrs=..., any_code=True, any_function=True, **OPEN)),
        ("a root of zeros in hexadecimal digits", release(roots=[UNSIGNED_ROOT])),
    ):
        made.refused("wrong_algorithm", 1, f"emulated, and the policy lists {name}", policy(other), shown)
    for name, other in (("signed", document()), ("simulated", document(root=SIMULATED, kind="simulated"))):
        made.refused("root_not_pinned", 3, f"{name}, and the policy lists QEMU's machine", policy(emulated), other)
    for name, changes, code, step in (
        ("other code", {"pcrs": {"0": [OTHER_PCR]}}, "pcr_mismatch", 7),
        ("a PCR that is missing", {"pcrs": {"0": [PCR0], "9": [OTHER_PCR]}}, "pcr_missing", 7),
        ("an end", {"expires": AT}, "release_expired", 7),
        ("another function", {"function_checksums": [OTHER]}, "function_not_accepted", 9),
        ("another model", {"model_digests": [OTHER]}, "model_not_accepted", 9),
    ):
        made.refused(code, step, f"emulated: {name}", policy(emulated | changes), shown)
    made.refused("claims_missing", 9, "emulated, without claims", policy(emulated), none)
    made.refused("release_recalled", 7, "emulated, and recalled", policy(emulated, refuse=[PCR0]), shown)
    made.refused("release_too_old", 7, "emulated, and too old", policy(emulated, minimum_version="1.5"), shown)
    # What a genuine release accepts says nothing of QEMU's.
    made.refused(
        "pcr_mismatch", 7, "emulated, with the PCRs of the genuine release",
        policy(release(), emulated | {"pcrs": {"0": [OTHER_PCR]}}), shown,
    )  # fmt: skip
    for name, roots in (("a root", [NITRO]), ("AWS's root", [AWS_NITRO_ROOT_G1]), ("no root", []), ("null", None)):
        made.unusable("invalid_policy", f"emulated, with {name} listed", policy(emulated | {"roots": roots}))
    made.unusable("code_not_pinned", "emulated, and PCR 16 alone", policy(emulated | {"pcrs": {"16": [PCR16]}}))
    made.unusable("function_not_pinned", "emulated, and PCR 0 alone", policy(release(kind=EMULATED, roots=..., **OPEN)))
    first = {"kind": EMULATED, "sha256": NITRO}
    made.unusable("invalid_policy", "emulated, in the first format", FIRST | {"roots": [first]})
