"""Policy files: `blindsight-policy/2`, and `blindsight-policy/1` if such a file pins code and function.

docs/policy.md describes both formats. The parser refuses unknown and duplicate keys, null, and numbers that are not
integers. `Release` and `Policy` check the values.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blindsight.attestation.release import DIGEST_BYTES, Release, hash_of
from blindsight.attestation.roots import EMULATED
from blindsight.errors import PolicyError

if TYPE_CHECKING:
    from blindsight.attestation.policy import Policy

SCHEMA = "blindsight-policy/2"
FIRST_SCHEMA = "blindsight-policy/1"

_LIMITS = {"max_age_seconds": "max_age", "max_future_skew_seconds": "max_future_skew"}
_MEMBERS = {"schema", "releases", "refuse", "minimum_version", "expires", *_LIMITS}
_FIRST_MEMBERS = {"schema", "roots", "pcrs", "function_checksums", "model_digests", *_LIMITS}
_NAMED = ("function_in_image", "any_code", "any_function")
"""Members that are `true` or absent; absence means `false`."""

_LISTS = ("function_checksums", "model_digests")
_RELEASE_MEMBERS = {"kind", "name", "version", "roots", "pcrs", "expires", *_LISTS, *_NAMED}

_TIME = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
"""RFC 3339 in UTC with whole seconds: a single form for each second."""

_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def parse(text: str) -> dict[str, Any]:
    """Parse `text` into the arguments of `Policy`. Raises `PolicyError`."""
    try:
        members = json.loads(text, object_pairs_hook=_unique, parse_float=_no_integer, parse_constant=_no_integer)
    except (ValueError, RecursionError) as error:
        raise PolicyError("unreadable_policy", "The policy is not JSON with whole numbers.") from error
    schema = members.get("schema") if isinstance(members, dict) else None
    if schema == SCHEMA:
        return _second(members)
    if schema == FIRST_SCHEMA:
        return _first(members)
    raise PolicyError("invalid_policy", f"The policy states neither the schema {SCHEMA} nor {FIRST_SCHEMA}.")


def render(policy: Policy) -> str:
    """Render `policy` as a file of the newest format: indented, lists sorted, ending in a line feed."""
    members: dict[str, Any] = {"schema": SCHEMA, "releases": [_rendered(release) for release in policy.releases]}
    if policy.refuse:
        members["refuse"] = sorted(policy.refuse)
    if policy.minimum_version is not None:
        members["minimum_version"] = policy.minimum_version
    if policy.expires is not None:
        members["expires"] = _stated(policy.expires)
    members |= {member: getattr(policy, attribute) for member, attribute in _LIMITS.items()}
    return json.dumps(members, indent=2) + "\n"


def _rendered(release: Release) -> dict[str, Any]:
    members: dict[str, Any] = {"kind": release.kind}
    for name in ("name", "version"):
        if getattr(release, name) is not None:
            members[name] = getattr(release, name)
    if release.kind != EMULATED:
        members["roots"] = sorted(release.roots)
    if release.pcrs:
        members["pcrs"] = {str(index): sorted(values) for index, values in sorted(release.pcrs.items())}
    for name in _LISTS:
        if getattr(release, name) is not None:
            members[name] = sorted(getattr(release, name))
    members |= {name: True for name in _NAMED if getattr(release, name)}
    if release.expires is not None:
        members["expires"] = _stated(release.expires)
    return members


def _second(members: dict[str, Any]) -> dict[str, Any]:
    _only(members, _MEMBERS)
    releases = enumerate(_list(members.get("releases"), "releases"), start=1)
    return {
        "releases": tuple(_release(number, value) for number, value in releases),
        "refuse": _list(members.get("refuse", []), "refuse"),
        **_given(members, "minimum_version"),
        **_limits(members),
        **({"expires": _time(members["expires"])} if "expires" in members else {}),
    }


def _release(number: int, members: object) -> Release:
    try:
        if not isinstance(members, dict):
            raise PolicyError("invalid_policy", "not an object.")
        _only(members, _RELEASE_MEMBERS)
        given: dict[str, Any] = {"kind": members.get("kind"), "pcrs": _pcrs(members.get("pcrs", {}))}
        given |= {name: _list(members[name], name) for name in _LISTS if name in members}
        if "roots" in members:
            given["roots"] = _roots(_list(members["roots"], "roots"))
            if members.get("kind") == EMULATED:
                raise PolicyError("invalid_policy", f"roots: evidence of kind {EMULATED!r} is unsigned and has none.")
        if "expires" in members:
            given["expires"] = _time(members["expires"])
        for name in _NAMED:
            if name in members and members[name] is not True:
                raise PolicyError("invalid_policy", f"{name}: may be true or left out.")
        given |= {name: True for name in _NAMED if name in members}
        given |= _given(members, "name") | _given(members, "version")
        return Release(**given)
    except PolicyError as error:
        raise PolicyError(error.code, f"Release {number} of the policy: {error}") from error


def _first(members: dict[str, Any]) -> dict[str, Any]:
    """Read the older format, which had one list of PCRs for all roots, as one release for each kind of root."""
    _only(members, _FIRST_MEMBERS)
    kinds: dict[Any, list[str]] = {}
    for root, kind in _first_roots(members.get("roots")).items():
        kinds.setdefault(kind, []).append(root)
    if not kinds:
        raise PolicyError("no_roots", "The policy lists no root of trust.")
    pcrs = _pcrs(members.get("pcrs"))
    lists: dict[str, Any] = {name: _list(members[name], name) for name in _LISTS if members.get(name) is not None}
    releases = [Release(kind=kind, roots=frozenset(roots), pcrs=pcrs, **lists) for kind, roots in kinds.items()]
    return {"releases": tuple(releases), **_limits(members)}


def _first_roots(value: object) -> dict[str, str]:
    roots: dict[str, str] = {}
    for entry in _list(value, "roots"):
        if not isinstance(entry, dict) or not {"kind", "sha256"} <= entry.keys():
            raise PolicyError("invalid_policy", "roots: an entry is not an object with kind and sha256.")
        _only(entry, {"kind", "sha256"})
        root = hash_of(entry["sha256"], DIGEST_BYTES, "a root")
        if root in roots:
            raise PolicyError("invalid_policy", f"roots: {root[:16]}... is listed twice.")
        roots[root] = _text(entry["kind"], "kind")
    return roots


def _roots(values: list[Any]) -> frozenset[str]:
    roots = [hash_of(value, DIGEST_BYTES, "a root") for value in values]
    if len(set(roots)) != len(roots):
        raise PolicyError("invalid_policy", "roots: one is listed twice.")
    return frozenset(roots)


def _pcrs(value: object) -> dict[int, Any]:
    if not isinstance(value, dict):
        raise PolicyError("invalid_policy", "pcrs: not an object.")
    pcrs: dict[int, Any] = {}
    for index, values in value.items():
        # "01" and "1" would be two spellings of one register, the second quietly replacing the first.
        if not re.fullmatch("0|[1-9][0-9]?", index):
            raise PolicyError("invalid_policy", f"pcrs: {index!r} is not a PCR index.")
        pcrs[int(index)] = _list(values, f"PCR {index}")
    return pcrs


def _time(value: object) -> datetime:
    try:
        if _TIME.fullmatch(_text(value, "expires")):
            return datetime.strptime(str(value), _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise PolicyError("invalid_policy", "expires: no such time.") from error
    raise PolicyError("invalid_policy", "expires: not a time such as 2027-01-31T00:00:00Z.")


def _stated(time: datetime) -> str:
    return time.replace(tzinfo=None).isoformat() + "Z"


def _given(members: dict[str, Any], name: str) -> dict[str, str]:
    return {name: _text(members[name], name)} if name in members else {}


def _limits(members: dict[str, Any]) -> dict[str, Any]:
    return {attribute: members[member] for member, attribute in _LIMITS.items() if member in members}


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise PolicyError("invalid_policy", f"{where}: not a text.")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise PolicyError("invalid_policy", f"{where}: not a list.")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise PolicyError("invalid_policy", "An object has the same key twice.")
    return members


def _no_integer(text: str) -> object:
    raise ValueError(f"{text} is not an integer")


def _only(members: dict[str, Any], known: set[str]) -> None:
    for name in members.keys() - known:
        raise PolicyError("unknown_policy_key", f"Unknown key {name!r}.")
