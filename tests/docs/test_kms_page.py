"""docs/kms.md: what needs no AWS account is typed as it stands; the key policy that comes of it is the image's."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from tests.docs.reader import type_in
from tests.support.documented import REPOSITORY, commands_of
from tests.support.eif_golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path


def test_its_commands(tmp_path: Path) -> None:
    (tmp_path / "enclave.eif").write_bytes((FOLDER / "signed.eif").read_bytes())
    path = f"{REPOSITORY / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert type_in(tmp_path, commands_of("docs/kms.md"), {"PATH": path}) == []
    measured = json.loads((tmp_path / "measured.json").read_text())["Measurements"]["PCR0"]
    assert measured in (tmp_path / "policy.json").read_text()
    assert measured not in (tmp_path / "draft.json").read_text()
