"""Writes and reads vectors/attestation: the manifest, and the documents that it lists."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from datetime import datetime
from pathlib import Path
from typing import Any

from blindsight_conformance.book import Book, Case
from blindsight_conformance.cases import accepted, chain, content, encodings, envelope, fields, ours
from blindsight_conformance.rows import ROWS

FOLDER = Path(__file__).parents[1] / "vectors" / "attestation"
SCHEMA = "blindsight-attestation-conformance/1"
MANIFEST = "manifest.json"
DOCUMENTS = "documents"

_TIME = "%Y-%m-%dT%H:%M:%SZ"


def book() -> Book:
    """Make all cases. The result is always the same. Raises `ValueError` for a duplicate id."""
    made = Book()
    for group in (accepted, envelope, fields, chain, encodings, content, ours):
        group.add(made)
    ids = [case.id for case in made.cases]
    if len(set(ids)) != len(ids):
        raise ValueError("two cases have one id")
    return made


def files() -> dict[str, bytes]:
    """The files of the folder except its README: path to content."""
    made = book()
    names: dict[bytes, str] = {}
    contents: dict[str, bytes] = {}
    policies: dict[str, str] = {}
    entries = []
    for case in made.cases:
        # Cases that differ only in time or policy share one file.
        name = names.setdefault(case.document, f"{DOCUMENTS}/{case.id.replace('/', '-')[:80]}.cbor")
        contents[name] = case.document
        policy = policies.setdefault(json.dumps(case.policy), f"policy-{len(policies) + 1}")
        entries.append(_entry(case, name, policy))
    roots = {
        fingerprint: {"name": root.certificate.subject.rfc4514_string(), "der": b64encode(root.der).decode()}
        for fingerprint, root in sorted(made.roots.items())
    }
    rows = {
        str(number): {
            "title": row.title,
            "source": row.source,
            "cases": [case.id for case in made.cases if number in case.rows],
            **({"note": row.note} if row.note else {}),
            **({"tests": list(row.tests)} if row.tests else {}),
        }
        for number, row in ROWS.items()
    }
    named = {name: json.loads(text) for text, name in policies.items()}
    manifest = {"schema": SCHEMA, "roots": roots, "rows": rows, "policies": named, "cases": entries}
    text = json.dumps(manifest, indent=1, ensure_ascii=True) + "\n"
    return {MANIFEST: text.encode(), **contents}


def write(folder: Path = FOLDER) -> None:
    """Write all files to `folder`, and remove files that are no longer made. Raises `OSError`."""
    contents = files()
    documents = folder / DOCUMENTS
    documents.mkdir(parents=True, exist_ok=True)
    for path in documents.iterdir():
        if f"{DOCUMENTS}/{path.name}" not in contents:
            path.unlink()
    for name, encoded in contents.items():
        (folder / name).write_bytes(encoded)


def load(folder: Path = FOLDER) -> list[Case]:
    """Read the cases of a folder. Raises `ValueError` if the manifest is invalid, `OSError` if a file is missing."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    if manifest.get("schema") != SCHEMA:
        raise ValueError(f"{folder} holds no cases of {SCHEMA}")
    return [_case(folder, entry, manifest["policies"]) for entry in manifest["cases"]]


def roots(folder: Path = FOLDER) -> dict[str, str]:
    """The roots that the cases' policies list: SHA-256 (hexadecimal) to DER in base64."""
    manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
    return {fingerprint: root["der"] for fingerprint, root in manifest["roots"].items()}


def _entry(case: Case, document: str, policy: str) -> dict[str, Any]:
    optional = {"binding": case.binding, "note": case.note}
    return {
        "id": case.id,
        "title": case.title,
        "section": case.section,
        "rows": list(case.rows),
        "scope": case.scope,
        "document": document,
        "sha256": hashlib.sha256(case.document).hexdigest(),
        "policy": policy,
        "nonce": None if case.nonce is None else case.nonce.hex(),
        "time": case.time.strftime(_TIME),
        "mode": case.mode,
        "expected": case.expected,
        **{name: value for name, value in optional.items() if value},
    }


def _case(folder: Path, entry: dict[str, Any], policies: dict[str, Any]) -> Case:
    document = (folder / entry["document"]).read_bytes()
    if hashlib.sha256(document).hexdigest() != entry["sha256"]:
        raise ValueError(f"{entry['document']} is not the document of the manifest")
    return Case(
        id=entry["id"],
        title=entry["title"],
        section=entry["section"],
        rows=tuple(entry["rows"]),
        scope=entry["scope"],
        document=document,
        policy=policies[entry["policy"]],
        nonce=None if entry["nonce"] is None else bytes.fromhex(entry["nonce"]),
        time=datetime.fromisoformat(entry["time"]),
        mode=entry["mode"],
        expected=entry["expected"],
        binding=entry.get("binding"),
        note=entry.get("note", ""),
    )
