"""docs/protocol.md, section 8: each format has one row; formats and codes of refusals are the code's."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SECTION = (REPOSITORY / "docs" / "protocol.md").read_text("utf-8").partition("\n## 8. Versions\n")[2]
PACKAGES = ("blindsight", "blindsight_cli", "enclave_function", "enclave_image", "enclave_runtime", "gateway")


def sources() -> str:
    return "\n".join(path.read_text("utf-8") for name in PACKAGES for path in (REPOSITORY / name).rglob("*.py"))


def test_each_format_is_listed_once() -> None:
    formats = Counter(re.findall(r"`(blindsight[ \w-]+/\d)`", SECTION))
    assert [name for name, count in formats.items() if count > 1] == []
    assert len(formats) > 10
    code = sources()
    assert [name for name in formats if name not in code] == []


def test_the_codes_of_the_refusals_exist() -> None:
    rows = [row.split(" | ") for row in re.findall(r"^\| (.+) \|$", SECTION, re.MULTILINE)]
    codes = [code for row in rows[1:] for code in re.findall(r"`([a-z_]+)`", row[3])]
    assert len(codes) >= 9
    code = sources()
    assert [name for name in codes if f'"{name}"' not in code] == []
