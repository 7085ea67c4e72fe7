"""Strict parser of release files: every known member has its form, digests have a single encoding, and the parts are
consistent.

It refuses JSON that is not canonical (RFC 8785), duplicate members, names that are not plain file names, measurements
of unlisted functions, and policies that accept values that the release does not measure.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, get_args

import rfc8785

from blindsight import files as user_files
from blindsight import strict_json
from blindsight.attestation.claims import CLAIMS_PCR, expected_pcr16
from blindsight.attestation.policy import Policy
from blindsight.attestation.roots import EvidenceKind
from blindsight.errors import PolicyError, ReleaseError
from blindsight.release_file.dsse import open_envelope
from blindsight.release_file.statement import (
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Function,
    Kernel,
    Measurement,
    ReleaseFile,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MAX_BYTES: Final = 4_000_000
"""Of a release file. One with a dozen images has some 50 kB."""

_FAMILY: Final = PREDICATE_TYPE.rpartition(":")[0]
_MEMBERS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset(
        ("release", "formats", "functions", "measurements", "wheel", "sbom", "page", "requirements", "images", "policy")
    ),
    "release": frozenset({"name", "version"}),
    "functions": frozenset({"file", "function_checksum", "model_digest"}),
    "measurements": frozenset({"kind", "variant", "function", "pcrs", "file", "kernel", "python"}),
    "measurements.kernel": frozenset({"name", "version", "sha256"}),
    "subject": frozenset({"name", "digest"}),
    "subject.digest": frozenset({"sha256", "sha384"}),
}
"""Known members by position; others are skipped, and listed."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]{0,199}")
_PATH_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._+-]*){0,3}")
_VERSION: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})(?:\.(?:0|[1-9][0-9]{0,8})){0,3}")
_PLAIN: Final = re.compile(r"[ -~]{1,200}")
_INDEX: Final = re.compile("0|[1-9]|[12][0-9]|3[01]")
_VARIANTS: Final = ("cape", "classifier")


def load(path: Path) -> ReleaseFile:
    """Read the release file at `path`, or in the envelope there, whose signatures are not verified here.

    Raises `ReleaseError`.
    """
    return parse(open_envelope(read(path)).payload)


def read(path: Path) -> bytes:
    """The bytes of a release file. Raises `ReleaseError` (`unreadable_release`)."""
    try:
        return user_files.read(path, MAX_BYTES)
    except OSError as error:
        raise ReleaseError("unreadable_release", f"{path} cannot be read: {error.strerror}.") from error


def parse(encoded: bytes) -> ReleaseFile:
    """Read a statement. Raises `ReleaseError`."""
    statement = _statement(encoded)
    predicate = _object(statement["predicate"], "predicate")
    release = ReleaseFile(
        version=_version(_member(predicate, "release")),
        subjects=_subjects(statement["subject"]),
        formats=_texts(_member(predicate, "formats"), "formats"),
        functions=tuple(_function(each) for each in _list(_member(predicate, "functions"), "functions")),
        measurements=tuple(_measurement(each) for each in _list(_member(predicate, "measurements"), "measurements")),
        wheel=_text(_member(predicate, "wheel"), _FILE_NAME, "wheel"),
        sbom=_text(_member(predicate, "sbom"), _FILE_NAME, "sbom"),
        page=_digests(_member(predicate, "page"), "page"),
        requirements=_digests(_member(predicate, "requirements"), "requirements"),
        images=_digests(_member(predicate, "images"), "images"),
        policy=_policy(predicate["policy"]) if "policy" in predicate else None,
        unknown=tuple(sorted([*_unknown(predicate, ""), *_unknown_of_subjects(statement["subject"])])),
    )
    _check_names(release)
    _check_measurements(release)
    _check_policy(release)
    return release


def _unknown(members: dict[str, Any], where: str) -> Iterator[str]:
    """Positions of unknown members, such as `measurements[0].later`. The form of the visited values has been
    checked.
    """
    for name, value in members.items():
        inner = f"{where}.{name}" if where else name
        if name not in _MEMBERS[_part(where)]:
            yield inner
        elif _part(inner) in _MEMBERS:
            parts = (
                {inner: value} if isinstance(value, dict) else {f"{inner}[{at}]": each for at, each in enumerate(value)}
            )
            for place, part in parts.items():
                yield from _unknown(part, place)


def _unknown_of_subjects(subjects: list[dict[str, Any]]) -> Iterator[str]:
    for at, each in enumerate(subjects):
        yield from _unknown(each, f"subject[{at}]")


def _part(where: str) -> str:
    return re.sub(r"\[[0-9]+\]", "", where)


def _statement(encoded: bytes) -> dict[str, Any]:
    try:
        statement = strict_json.loads(encoded)
        canonical = rfc8785.dumps(statement) == encoded
    except (ValueError, RecursionError) as error:
        raise ReleaseError("not_a_release", "The release file is not JSON.") from error
    if not isinstance(statement, dict) or statement.get("_type") != STATEMENT_TYPE:
        raise ReleaseError("not_a_release", "The file is not an in-toto statement of version 1.")
    kind = statement.get("predicateType")
    if kind != PREDICATE_TYPE:
        if isinstance(kind, str) and kind.rpartition(":")[0] == _FAMILY:
            raise ReleaseError("unsupported_release", "The release file is of another version than is known here.")
        raise ReleaseError("not_a_release", "The statement is about something else than a release of Blindsight.")
    # One spelling only, so that no two readers of one signed file can read it differently.
    if not canonical:
        raise _invalid("the file", "is not canonical JSON (RFC 8785)")
    if statement.keys() != {"_type", "subject", "predicateType", "predicate"}:
        raise _invalid("the statement", "has other members than an in-toto statement")
    return statement


def _subjects(value: object) -> tuple[Subject, ...]:
    subjects = []
    for entry in _list(value, "subject"):
        members = _object(entry, "subject")
        digest = _object(_member(members, "digest"), "digest")
        name = _text(_member(members, "name"), _FILE_NAME, "name")
        subjects.append(Subject(name, _hash(digest.get("sha256"), 32, name), _hash(digest.get("sha384"), 48, name)))
    if not subjects or len({subject.name for subject in subjects}) != len(subjects):
        raise _invalid("subject", "is empty, or names one file twice")
    return tuple(subjects)


def _function(value: object) -> Function:
    members = _object(value, "functions")
    return Function(
        file=_text(_member(members, "file"), _FILE_NAME, "functions"),
        function_checksum=_hash(members.get("function_checksum"), 32, "function_checksum"),
        model_digest=_hash(members.get("model_digest"), 32, "model_digest"),
    )


def _measurement(value: object) -> Measurement:
    members = _object(value, "measurements")
    kind = next((each for each in get_args(EvidenceKind) if each == members.get("kind")), None)
    if kind is None:
        raise _invalid("measurements", "has evidence of a kind that is not known here")
    variant = members.get("variant")
    if variant not in _VARIANTS:
        raise _invalid("measurements", "has a variant that is not known here")
    pcrs = _object(_member(members, "pcrs"), "pcrs")
    if not pcrs or not all(_INDEX.fullmatch(index) for index in pcrs):
        raise _invalid("pcrs", "has an entry that is not a PCR index, or none")
    return Measurement(
        kind=kind,
        variant=str(variant),
        function=_hash(members.get("function"), 32, "function"),
        pcrs={int(index): _hash(value, 48, f"PCR {index}") for index, value in pcrs.items()},
        file=_text(members["file"], _FILE_NAME, "file") if "file" in members else None,
        kernel=_kernel(members["kernel"]) if "kernel" in members else None,
        python=_text(members["python"], _PLAIN, "python") if "python" in members else None,
    )


def _kernel(value: object) -> Kernel:
    members = _object(value, "kernel")
    name, version = (_text(_member(members, each), _PLAIN, "kernel") for each in ("name", "version"))
    return Kernel(name, version, _hash(members.get("sha256"), 32, "kernel"))


def _policy(value: object) -> Policy:
    try:
        return Policy.from_json(json.dumps(_object(value, "policy")))
    except PolicyError as error:
        raise _invalid("policy", f"is not a policy: {str(error).removesuffix('.')}") from error


def _check_names(release: ReleaseFile) -> None:
    """Every file that the predicate names must be a subject, with the same digest."""
    files = {function.file: function.function_checksum for function in release.functions} | dict(release.images)
    for name in (release.wheel, release.sbom, *(each.file for each in release.measurements if each.file), *files):
        subject = release.subject(name)
        if subject is None:
            raise _invalid("predicate", f"names {name}, which is not a subject")
        if files.get(name, subject.sha256) != subject.sha256:
            raise _invalid("predicate", f"states another digest of {name} than its subject")


def _check_measurements(release: ReleaseFile) -> None:
    functions = {function.function_checksum: function for function in release.functions}
    for measurement in release.measurements:
        function = functions.get(measurement.function)
        if function is None:
            raise _invalid("measurements", "is of a function that the release does not list")
        expected = expected_pcr16(bytes.fromhex(function.function_checksum), bytes.fromhex(function.model_digest))
        if measurement.pcrs.get(CLAIMS_PCR, expected.hex()) != expected.hex():
            raise _invalid("measurements", "has a PCR 16 that is not of its function and model")
        if (measurement.file is None) != (measurement.kind == "simulated"):
            raise _invalid("measurements", "is of an image without naming its file, or simulated and of a file")


def _check_policy(release: ReleaseFile) -> None:
    """Each accepted release of the policy must be one that this file measures."""
    for accepted in release.policy.releases if release.policy else ():
        if accepted.left_open:
            raise _invalid("policy", "leaves code or function open")
        for index, values in accepted.pcrs.items():
            measured = {each.pcrs.get(index) for each in release.measurements if each.kind == accepted.kind}
            if not values <= measured:
                raise _invalid("policy", f"accepts a value of PCR {index} that the release does not measure")
        listed = {function.function_checksum for function in release.functions}
        if not (accepted.function_checksums or frozenset()) <= listed:
            raise _invalid("policy", "accepts a function that the release does not list")


def _version(value: object) -> str:
    members = _object(value, "release")
    if members.get("name") != "blindsight":
        raise _invalid("release", "is of another project")
    return _text(_member(members, "version"), _VERSION, "version")


def _texts(value: object, where: str) -> dict[str, str]:
    return {_text(name, _PLAIN, where): _text(text, _PLAIN, where) for name, text in _object(value, where).items()}


def _digests(value: object, where: str) -> dict[str, str]:
    members = _object(value, where)
    return {_text(name, _PATH_NAME, where): _hash(digest, 32, name) for name, digest in members.items()}


def _hash(value: object, length: int, where: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * length}}}", value):
        raise _invalid(where, f"is not {2 * length} lower-case hexadecimal digits")
    return value


def _text(value: object, form: re.Pattern[str], where: str) -> str:
    if not isinstance(value, str) or not form.fullmatch(value):
        raise _invalid(where, "is not a text of its form")
    return value


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, "is not an object")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise _invalid(where, "is not a list")
    return value


def _member(members: dict[str, Any], name: str) -> Any:  # noqa: ANN401 -- whatever JSON holds
    if name not in members:
        raise _invalid(name, "is missing")
    return members[name]


def _invalid(where: str, what: str) -> ReleaseError:
    return ReleaseError("invalid_release", f"The release file: {where} {what.removesuffix('.')}.")
