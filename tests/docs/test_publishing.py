"""Publishing of the site: one commit on a branch, with the site's files at its root."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

REPOSITORY = Path(__file__).resolve().parents[2]
NAMED = {
    "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": "/dev/null",
}  # fmt: skip


def run(*command: str, folder: Path, more: Mapping[str, str] | None = None) -> str:
    environment = {"PATH": os.environ["PATH"], **NAMED, **(more or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_site_is_the_only_commit_of_its_branch(tmp_path: Path) -> None:
    work, forge, site = tmp_path / "work", tmp_path / "forge.git", tmp_path / "site"
    (work / ".ci").mkdir(parents=True)
    (work / ".ci" / "pages").write_bytes((REPOSITORY / ".ci" / "pages").read_bytes())
    (work / ".ci" / "pages").chmod(0o755)
    (work / ".gitignore").write_text("*.html\n")
    (site / "_static").mkdir(parents=True)
    for name in ("index.html", ".nojekyll", "_static/site.css"):
        (site / name).write_text(name)
    run("git", "init", "--bare", "--quiet", str(forge), folder=tmp_path)
    run("git", "init", "--quiet", "--initial-branch=main", ".", folder=work)
    run("git", "add", "--all", folder=work)
    run("git", "commit", "--quiet", "--message=First", folder=work)
    (work / "unfinished").write_text("not to be published")
    run("git", "add", "unfinished", folder=work)
    before = run("git", "status", "--porcelain", folder=work)
    for _ in range(2):
        run(".ci/pages", str(forge), "site", folder=work, more={"SITE": str(site)})
        listed = run("git", "ls-tree", "-r", "--name-only", "site", folder=forge).split()
        assert listed == [".nojekyll", "_static/site.css", "index.html"]
        assert run("git", "rev-list", "--count", "site", folder=forge).strip() == "1"
    assert run("git", "status", "--porcelain", folder=work) == before
