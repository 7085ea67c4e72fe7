"""Differences between two images, and the registers that they change.

The inputs are two descriptions (`describe.describe`), so that an image can be compared with the stored description of
an older one.
"""

from __future__ import annotations

from typing import Any

from blindsight import strict_json
from blindsight.eif.describe import SCHEMA
from blindsight.errors import EifError

_UNMEASURED_FIELDS = ("metadata", "default_memory_bytes", "default_cpus")


def diff(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The differences of two descriptions as JSON values; each lists the registers that it changes.

    `measurements` are the registers that differ, `parts` kernel, command line, signature and ramdisks, `files` the
    entries of ramdisks, `unmeasured` differences that change no register. `same_measurements` states whether all
    registers are equal, so that a policy cannot distinguish the images. Raises `EifError` `not_an_image` for an
    incomplete description.
    """
    try:
        return _diff(old, new)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise EifError("not_an_image", "A description is damaged.") from error


def _diff(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    measurements = {
        name: {"old": old["measurements"].get(name), "new": new["measurements"].get(name)}
        for name in sorted({*old["measurements"], *new["measurements"]}, key=lambda name: int(name[3:]))
        if old["measurements"].get(name) != new["measurements"].get(name)
    }
    parts: list[dict[str, Any]] = []
    _part(parts, "kernel", [0, 1], old["kernel"], new["kernel"])
    _part(parts, "command line", [0, 1], old["command_line"], new["command_line"])
    _part(parts, "signing certificate", [8], _signer(old), _signer(new))
    files: list[dict[str, Any]] = []
    for number in range(max(len(old["ramdisks"]), len(new["ramdisks"]))):
        _ramdisk(number, old, new, parts, files)
    before, after = old["unmeasured"], new["unmeasured"]
    return {
        "same_measurements": not measurements,
        "measurements": measurements,
        "parts": parts,
        "files": files,
        "unmeasured": {
            name: {"old": before[name], "new": after[name]}
            for name in _UNMEASURED_FIELDS
            if before[name] != after[name]
        }
        | ({} if old["architecture"] == new["architecture"] else _architectures(old, new)),
    }


def parse(text: bytes) -> dict[str, Any]:
    """Parse a stored description. Raises `EifError` `not_an_image` for anything else."""
    try:
        description = strict_json.loads(text)
    except ValueError as error:
        raise EifError("not_an_image", "The file is neither an image nor a description of one.") from error
    if not isinstance(description, dict) or description.get("schema") != SCHEMA:
        raise EifError("not_an_image", f"The file is not a description of the form {SCHEMA}.")
    return description


def _architectures(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {"architecture": {"old": old["architecture"], "new": new["architecture"]}}


def _part(parts: list[dict[str, Any]], what: str, registers: list[int], old: object, new: object) -> None:
    if old != new:
        parts.append({"what": what, "registers": registers, "old": old, "new": new})


def _signer(description: dict[str, Any]) -> str | None:
    signed = description["signature"]
    return None if signed is None else str(signed["certificate_sha256"])


def _ramdisk(
    number: int, old: dict[str, Any], new: dict[str, Any], parts: list[dict[str, Any]], files: list[dict[str, Any]]
) -> None:
    (before, old_section), (after, new_section) = _at(old, number), _at(new, number)
    if old_section == new_section:
        return
    registers = [0, 2 if number else 1]
    changes = [
        {"ramdisk": number, "registers": registers, **change} for change in _changes(_entries(before), _entries(after))
    ]
    listed = all(each is None or each["entries"] is not None for each in (before, after))
    note = None
    if not listed:
        note = "not listed"
    elif not changes:
        note = "the same entries, packed otherwise"
    parts.append(
        {"what": f"ramdisk {number}", "registers": registers, "old": old_section, "new": new_section}
        | ({"note": note} if note else {})
    )
    files += changes if listed else []


def _at(description: dict[str, Any], number: int) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The ramdisk of that number, and size and digest of its section; None if there are fewer."""
    if number >= len(description["ramdisks"]):
        return None, None
    section = [each for each in description["sections"] if each["type"] == "ramdisk"][number]
    return description["ramdisks"][number], {"size": section["size"], "sha256": section["sha256"]}


def _entries(ramdisk: dict[str, Any] | None) -> dict[tuple[str, int], dict[str, Any]]:
    """By name and occurrence: an archive may have two entries of one name."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    times: dict[str, int] = {}
    for entry in (ramdisk and ramdisk["entries"]) or ():
        times[entry["path"]] = times.get(entry["path"], 0) + 1
        found[entry["path"], times[entry["path"]]] = entry
    return found


def _changes(
    old: dict[tuple[str, int], dict[str, Any]], new: dict[tuple[str, int], dict[str, Any]]
) -> list[dict[str, Any]]:
    changes = []
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if before != after:
            if before is None or after is None:
                what, fields = "added" if before is None else "removed", []
            else:
                what, fields = "changed", [name for name in before | after if before.get(name) != after.get(name)]
            changes.append({"path": key[0], "change": what, "what": fields, "old": before, "new": after})
    return changes
