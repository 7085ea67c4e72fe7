"""Generates the key policy of an attested key, and explains each of its statements (docs/kms.md).

KMS Developer Guide, "Key policies in AWS KMS" and "AWS KMS condition keys for attested platforms".
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from blindsight import files, strict_json
from blindsight.attestation.policy import Policy
from blindsight.errors import KmsError, PolicyError, ReleaseError
from blindsight.release_file import reader as release_file
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

PURPOSE: Final = "kms:EncryptionContext:blindsight:purpose"
"""Condition key for the member of the encryption context that has a ciphertext's purpose."""

MEASURED: Final = (0, 1, 2, 3, 4, 8)
"""Registers that are set before the enclave runs. PCR 16 is not among them: it is set after the bundle is decrypted."""
_IMAGE: Final = (0, 1, 2)
_DIGITS: Final = 96
_REPORT_SCHEMA: Final = "blindsight-hardware-report/"
_MAX_FILE_BYTES: Final = 4 << 20

_ROLE: Final = re.compile(r"arn:(aws|aws-cn|aws-us-gov):iam::[0-9]{12}:(role|user)/[\w+=,.@/-]{1,512}", re.ASCII)
_HEX: Final = re.compile(f"[0-9a-fA-F]{{{_DIGITS}}}")

_ADMINISTRATION: Final = (
    "kms:CancelKeyDeletion",
    "kms:DescribeKey",
    "kms:DisableKey",
    "kms:EnableKey",
    "kms:GetKeyPolicy",
    "kms:ListGrants",
    "kms:ListKeyPolicies",
    "kms:ListResourceTags",
    "kms:RevokeGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)
"""Actions that reveal no secret. `kms:CreateGrant` is excluded, because a grant needs no attestation."""


@dataclass(frozen=True)
class Measured:
    """An accepted image: PCR index to the accepted SHA-384 values in lower-case hexadecimal."""

    name: str
    pcrs: Mapping[int, tuple[str, ...]]

    def __post_init__(self) -> None:
        """Check the values. Raises `KmsError` (`invalid_key_policy`)."""
        if 0 not in self.pcrs and not {1, 2} <= self.pcrs.keys():
            raise _invalid(f"{self.name} states neither PCR 0 nor PCR 1 and 2, so any image would be accepted.")
        for index, values in self.pcrs.items():
            if index not in MEASURED:
                raise _invalid(f"PCR {index} is not set before the enclave starts; use PCR {_listed(MEASURED)}.")
            if not values:
                raise _invalid(f"PCR {index} of {self.name} has no value.")
            for value in values:
                if not _HEX.fullmatch(value):
                    raise _invalid(f"PCR {index} of {self.name} is not {_DIGITS} hexadecimal digits.")
                if not int(value, 16):
                    raise _invalid(f"PCR {index} of {self.name} is zero: what an enclave in debug mode shows.")


def of_arguments(texts: Iterable[str]) -> Measured:
    """The image of arguments such as `0=HEX`, each register once. Raises `KmsError` (`invalid_key_policy`)."""
    pcrs: dict[int, tuple[str, ...]] = {}
    for text in texts:
        index, mark, value = text.partition("=")
        if not mark or not re.fullmatch("[0-9]{1,2}", index):
            raise _invalid(f"--pcr {text[:20]!a}… is not INDEX=HEX.")
        if int(index) in pcrs:
            # The policy would also accept mixtures of the registers of two images.
            raise _invalid(f"--pcr names PCR {int(index)} twice; give a second image by its file, with --measurements.")
        pcrs[int(index)] = (value.lower(),)
    return Measured("--pcr", pcrs)


def of_file(path: Path) -> list[Measured]:
    """The images in a file of measurements. Raises `KmsError` (`invalid_key_policy`).

    Five forms: a release file (its images of kind `nitro`), a Blindsight policy (its releases of that kind),
    `{"pcrs": {"0": HEX, …}}`, `{"Measurements": {"PCR0": HEX, …}}` as `blindsight eif measure --json` and `nitro-cli`
    print it, and with the member `measurements` what `blindsight eif describe --json` prints.
    """
    try:
        encoded = files.read(path, _MAX_FILE_BYTES)
        members = strict_json.loads(encoded)
    except OSError as error:
        raise _invalid(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise _invalid(f"{path} is not JSON.") from error
    if not isinstance(members, dict):
        raise _invalid(f"{path} is not an object of measurements.")
    if "_type" in members or "payload" in members:
        return _of_release(path)
    if "releases" in members:
        return _of_policy(path, encoded.decode())
    for member in ("Measurements", "measurements"):
        if isinstance(measurements := members.get(member), dict):
            found = {name[3:]: text for name, text in measurements.items() if re.fullmatch("PCR[0-9]{1,2}", name)}
            return [_measured(str(path), found)]
    if "pcrs" not in members:
        raise _without_measurements(path, members)
    return [_measured(str(path), _pcrs(members))]


def key_policy(images: Sequence[Measured], *, role: str, admin: str, owner: str | None, locked: bool) -> dict[str, Any]:
    """The key policy as a JSON object. Raises `KmsError` (`invalid_key_policy`).

    Arguments are ARNs: `role` is the parent instance's role, which may decrypt with attestation; `admin` administers
    the key; `owner` may generate data keys for bundles. `locked`: no principal may change the policy.
    """
    for name, arn in (("--role", role), ("--admin", admin), ("--owner", owner)):
        if arn is not None and not _ROLE.fullmatch(arn):
            raise _invalid(f"{name} is not the ARN of one role or user.")
    for name, arn in (("--admin", admin), ("--owner", owner)):
        # Names in IAM are unique regardless of case (IAM User Guide, "IAM and AWS STS quotas").
        if arn is not None and arn.casefold() == role.casefold():
            raise _invalid(f"--role and {name} are the same, so the instance could go around the attestation.")
    if not images:
        raise _invalid("There is no measurement, so the key would be released to none or to all.")
    statements = [_release(number, image, role) for number, image in enumerate(images, start=1)]
    if owner is not None:
        statements.append(_owner(owner))
    statements += [_root_secret(admin), _administration(admin, locked=locked), *_denials()]
    return {"Version": "2012-10-17", "Id": "blindsight-attested-key", "Statement": statements}


def explained(policy: dict[str, Any], *, locked: bool) -> str:
    """The purpose of each statement of `policy`, as lines for the user."""
    texts = {
        "Release": "the instance's role may decrypt, but only for an enclave with these registers. The answer is"
        " encrypted to a key that the attestation document names, so the role itself cannot read it.",
        "MakeBundleKeys": "the owner of a secret model makes the data key of a bundle, and sees that key. Not for root"
        " secrets.",
        "MakeRootSecrets": "a root secret is made inside KMS and never shown. Its maker gets a ciphertext only.",
        "Administer": "what makes no secret readable: describe, disable, delete."
        + ("" if locked else " AND CHANGE THIS POLICY: the holder of this role can release every secret to anyone."),
        "NoUnattestedDecrypt": "no one decrypts without an attestation document, whatever else is allowed.",
        "NoOtherWayOut": "no ciphertext of a chosen content, no re-encryption, no grant, no copy of the key with"
        " another policy: each would go around attestation.",
        "NoKnownRootSecrets": "a data key in the clear is never made for a root secret.",
    }
    lines = [f"{each['Sid']}: {texts[re.sub('[0-9]+$', '', each['Sid'])]}" for each in policy["Statement"]]
    if locked:
        lines.append(
            "Locked: no principal may change this policy, the account's root user included; setting it takes"
            " --bypass-policy-lockout-safety-check. What remains is AWS itself, which can restore access on request of"
            " the account's owner. A new image needs a new key: root secrets under this one are lost to it."
        )
    return "\n".join(lines)


def rendered(policy: dict[str, Any]) -> str:
    """The policy as JSON text for `aws kms create-key --policy file://…`."""
    return json.dumps(policy, indent=2) + "\n"


def _release(number: int, image: Measured, role: str) -> dict[str, Any]:
    conditions = {
        f"kms:RecipientAttestation:PCR{index}": _one_or_all([value.lower() for value in values])
        for index, values in sorted(image.pcrs.items())
    }
    return _statement(
        f"Release{number}",
        "Allow",
        {"AWS": role},
        "kms:Decrypt",
        {"StringEqualsIgnoreCase": conditions, "StringEquals": {PURPOSE: ["root-secret", "bundle-key"]}},
    )


def _owner(owner: str) -> dict[str, Any]:
    bundle = {"StringEquals": {PURPOSE: "bundle-key"}}
    return _statement("MakeBundleKeys", "Allow", {"AWS": owner}, "kms:GenerateDataKey", bundle)


def _root_secret(admin: str) -> dict[str, Any]:
    secret = {"StringEquals": {PURPOSE: "root-secret"}}
    return _statement("MakeRootSecrets", "Allow", {"AWS": admin}, "kms:GenerateDataKeyWithoutPlaintext", secret)


def _administration(admin: str, *, locked: bool) -> dict[str, Any]:
    actions = [*_ADMINISTRATION, *([] if locked else ["kms:PutKeyPolicy"])]
    return _statement("Administer", "Allow", {"AWS": admin}, sorted(actions), None)


def _denials() -> list[dict[str, Any]]:
    unattested = {"Null": {"kms:RecipientAttestation:ImageSha384": "true"}}
    secret = {"StringEquals": {PURPOSE: "root-secret"}}
    ways_out = ["kms:CreateGrant", "kms:Encrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:ReplicateKey"]
    return [
        _statement("NoUnattestedDecrypt", "Deny", "*", "kms:Decrypt", unattested),
        _statement("NoOtherWayOut", "Deny", "*", ways_out, None),
        _statement("NoKnownRootSecrets", "Deny", "*", "kms:GenerateDataKey", secret),
    ]


def _statement(
    sid: str, effect: str, principal: str | dict[str, str], action: str | list[str], condition: dict[str, Any] | None
) -> dict[str, Any]:
    members: dict[str, Any] = {"Sid": sid, "Effect": effect, "Principal": principal, "Action": action, "Resource": "*"}
    return members | ({"Condition": condition} if condition else {})


def _of_policy(path: Path, text: str) -> list[Measured]:
    try:
        policy = Policy.from_json(text)
    except PolicyError as error:
        raise _invalid(f"{path}: {error}") from error
    images = [
        Measured(
            release.name or f"release {number}",
            {
                index: tuple(sorted(value if isinstance(value, str) else value.hex() for value in values))
                for index, values in release.pcrs.items()
                if index in MEASURED
            },
        )
        for number, release in enumerate(policy.releases, start=1)
        if release.kind == "nitro"
    ]
    if not images:
        raise _invalid(f"{path} lists no release of kind nitro; the service verifies AWS's evidence only.")
    return images


def _of_release(path: Path) -> list[Measured]:
    try:
        release = release_file.load(path)
    except ReleaseError as error:
        raise _invalid(f"{path}: {error}") from error
    images = [
        _measured(each.file or each.variant, {str(index): value for index, value in each.pcrs.items()})
        for each in release.measurements
        if each.kind == "nitro"
    ]
    if not images:
        raise _invalid(f"{path} lists no enclave image of kind nitro.")
    return images


def _without_measurements(path: Path, members: Mapping[str, object]) -> KmsError:
    """The error for a file of none of the forms."""
    schema = members.get("schema")
    if isinstance(schema, str) and schema.startswith(_REPORT_SCHEMA):
        return _invalid(
            f"{path} is a hardware report ({printable(schema[:40])}): its registers are of whatever ran there."
            " Name the image that you mean to accept."
        )
    known = "a release file, a policy file, or what `blindsight eif measure --json` or `eif describe --json` prints"
    return _invalid(f"{path} states no measurements; it is not {known}.")


def _pcrs(members: object) -> dict[str, object]:
    pcrs = members.get("pcrs") if isinstance(members, dict) else None
    return pcrs if isinstance(pcrs, dict) else {}


def _measured(name: str, pcrs: Mapping[str, object]) -> Measured:
    found: dict[int, tuple[str, ...]] = {}
    for index, value in pcrs.items():
        # Measurements may also contain registers that are set later, such as PCR 16.
        if re.fullmatch("[0-9]|[1-9][0-9]", index) and int(index) in MEASURED:
            found[int(index)] = (str(value).lower(),)
    # Registers of an unsigned image are zero there, and pin nothing. Zeros in PCR 0, 1 and 2 are refused below.
    return Measured(name, {i: v for i, v in found.items() if i in _IMAGE or v != ("0" * _DIGITS,)})


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def _listed(indexes: Sequence[int]) -> str:
    return ", ".join(map(str, indexes))


def _invalid(message: str) -> KmsError:
    return KmsError("invalid_key_policy", message)
