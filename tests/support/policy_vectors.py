"""Makes tests/vectors/policy.json, of which docs/policy.md says what its members are.

`python -m tests.support.policy_vectors` writes it anew: always the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import policy_matches, policy_texts
from tests.support.policy_cases import Cases

FILE = Path(__file__).parents[1] / "vectors" / "policy.json"


def text() -> str:
    """The file's content."""
    made = Cases()
    policy_matches.add(made)
    policy_texts.add(made)
    return json.dumps({"cases": made.made}, indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
