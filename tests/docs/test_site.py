"""The documentation site: complete, no broken links, no requests to other hosts, the same bytes at each build."""

from __future__ import annotations

import html.parser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import blindsight
import blindsight.errors
from gateway.settings import Settings
from site_build import navigation, pages
from site_build.docstrings import converted
from site_build.errors import SiteError
from tests.browser.conftest import FLAGS
from tests.support import chromium
from tests.support.accessibility import faults
from tests.support.command_tree import programs
from tests.support.site import served

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
TEXTS = {".html", ".js", ".css", ".svg", ".json", ".txt"}
SHOWN = ("index.html", "docs/from-an-app.html", "reference/http.html", "reference/commands/blindsight.html")
"""The start page, a guide and two references."""
HIDDEN = {"--host", "--port", "--model-options"}
"""Options that help does not show: two retired ones, and one that `blindsight` reads before a unit does."""
_LOADS = {
    "script": "src", "link": "href", "img": "src", "source": "src", "iframe": "src", "embed": "src", "object": "data",
    "video": "src", "audio": "src", "use": "href", "image": "href", "form": "action", "track": "src",
}  # fmt: skip
"""Elements that make a browser request something, and the attribute that names it."""


def build(out: Path, *, repository: Path = REPOSITORY, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "site_build", "--out", out],
        cwd=repository, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=170,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "site"
    build(folder)
    return folder


class _Read(html.parser.HTMLParser):
    """Ids, links and requested files of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = {""}
        self.links: list[str] = []
        self.loads: list[str] = []
        self.scripts_and_styles: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in _LOADS and _LOADS[tag] in given:
            self.loads.append(given[_LOADS[tag]])
        self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]
        self.scripts_and_styles.append(given.get("style", ""))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"}:
            self.scripts_and_styles.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def read(text: str) -> _Read:
    reader = _Read()
    reader.feed(text)
    return reader


def foreign_loads(name: str, text: str) -> list[str]:
    """The URLs of other origins that a file makes a browser request."""
    if name.endswith((".html", ".svg")):
        page = read(text)
        inside = "\n".join(page.scripts_and_styles)
        found = [*page.loads, *dict.fromkeys([*_in_styles(inside), *_in_scripts(inside)])]
    elif name.endswith(".css"):
        found = _in_styles(text)
    else:
        found = _in_scripts(text) if name.endswith(".js") else []
    return [each for each in found if re.match(r"(?:[a-z][a-z+.-]*:)?//", each, re.IGNORECASE)]


def _in_styles(text: str) -> list[str]:
    found = re.findall(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)", text)
    return [first or second for first, second in found]


def _in_scripts(text: str) -> list[str]:
    """URLs in strings, except XML's names of vocabularies. Comments hold none: they have no quotation marks there."""
    found = re.findall(r"[\"'`]((?:https?|wss?):)?(//[\w.-]+\.[a-z]{2,}[^\"'`\s]*)", text)
    return [f"{scheme}{rest}" for scheme, rest in found if not rest.startswith("//www.w3.org/")]


def files(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*")):
        if path.is_file() and path.suffix in TEXTS and "_downloads" not in path.parts:
            yield path.relative_to(site).as_posix(), path.read_text("utf-8")


def test_every_link_leads_to_a_page_and_to_its_paragraph(site: Path) -> None:
    read_pages = {name: read(text) for name, text in files(site) if name.endswith(".html")}
    broken = []
    for name, page in read_pages.items():
        for link in [*page.links, *page.loads]:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = os.path.normpath(str(Path(name).parent / urllib.parse.unquote(parts.path))) if parts.path else name
            anchor = urllib.parse.unquote(parts.fragment)
            if not (site / path).is_file() or (path in read_pages and anchor not in read_pages[path].ids):
                broken.append(f"{name}: {link}")
    assert len(read_pages) > 60
    assert broken == []


_BROKEN = """\
# A page

[a page](missing.md) [an anchor](#nowhere) [an anchor of a page](other.md#nowhere) ![a picture](missing.png)
[a file](missing.py) [a page that exists](other.md) [its heading](other.md#another-page)

```{toctree}
other
```
"""


def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "index.md").write_text(_BROKEN)
    (tmp_path / "source" / "other.md").write_text("# Another page\n")
    (tmp_path / "source" / "lost.md").write_text("# A page without a place\n")
    program = (
        "import sys, pathlib; from site_build.build import run_sphinx; from site_build.errors import SiteError\n"
        "try: run_sphinx(*map(pathlib.Path, sys.argv[1:]))\n"
        "except SiteError as error: sys.exit(str(error))"
    )
    command = [sys.executable, "-c", program, tmp_path / "source", tmp_path / "site"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    for found in ("'missing.md'", "'nowhere'", "in doc 'other'", "missing.png", "'missing.py'", "lost.md"):
        assert found in done.stderr, done.stderr
    assert done.stderr.count("WARNING") == 6, done.stderr


def test_every_page_has_a_place(tmp_path: Path) -> None:
    assert set(pages.of_repository(REPOSITORY)) >= {"README.md", "docs/operations.md", "docs/adr/0001-names.md"}
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "new.md").write_text("# New\n")
    with pytest.raises(SiteError, match=r"docs/new\.md is in no section"):
        pages.of_repository(tmp_path)


def test_the_sections_are_on_the_start_page(site: Path) -> None:
    text = (site / "index.html").read_text("utf-8")
    for section in navigation.SECTIONS:
        assert f">{section.title}<" in text
    assert "enclave" in text


def test_folders_and_files_of_the_repository(site: Path) -> None:
    monitoring = (site / "docs" / "monitoring.html").read_text("utf-8")
    assert "(a folder of the repository)" in monitoring
    assert 'download=""' in (site / "docs" / "performance.html").read_text("utf-8")


def test_comments_stay_in_the_sources(site: Path) -> None:
    assert [name for name, text in files(site) if "not-run:" in text] == []


def headings(site: Path, page: str) -> list[str]:
    text = (site / page).read_text("utf-8")
    found = re.findall(r"<h[1-6]>(.*?)<a class=\"headerlink\"", text, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]+>", "", each).split()) for each in found]


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    for program, tree in programs().items():
        called = program if program in {"blindsight", "cape"} else f"python -m {program}"
        page = f"reference/commands/{program.replace('_', '-')}.html"
        found, text = headings(site, page), (site / page).read_text("utf-8")
        assert called in found
        for path, node in tree.walk():
            assert " ".join((called, *path)) in found
            assert {option for option in node.options if option not in text} <= HIDDEN, path


def test_every_operation_of_the_api_is_in_the_reference(site: Path) -> None:
    from tests.gateway.test_openapi import OPERATIONS

    assert set(OPERATIONS.values()) <= set(headings(site, "reference/http.html"))
    text = (site / "reference" / "http.html").read_text("utf-8")
    assert (text.count("Requires an API token."), text.count("Requires a token of the account")) == (3, 9)


def test_every_public_name_of_the_clients_is_in_the_reference(site: Path) -> None:
    text = (site / "reference" / "python.html").read_text("utf-8")
    for name in blindsight.__all__:
        assert name.startswith("_") or f'id="blindsight.{name}"' in text, name
    for name in blindsight.errors.__all__:
        assert f".{name}" in text, name
    index = (REPOSITORY / "clients/js/dist/types/index.d.ts").read_text("utf-8")
    exported = re.findall(r"\w+(?=[,\s}]*(?:,| \}))", " ".join(re.findall(r"\{([^}]*)\}", index)) + " }")
    assert len(exported) > 20
    assert set(exported) <= set(headings(site, "reference/javascript.html"))


def test_every_setting_is_on_its_page(site: Path) -> None:
    text = (site / "docs" / "settings.html").read_text("utf-8")
    assert [name for name in Settings.model_fields if f"BLINDSIGHT_{name.upper()}" not in text] == []


def test_nothing_is_loaded_from_another_origin(site: Path) -> None:
    assert [f"{name}: {each}" for name, text in files(site) for each in foreign_loads(name, text)] == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/a.js"></script>'),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/css">'),
        ("a.html", '<img srcset="https://cdn.example/a.png 2x">'),
        ("a.html", "<style>@import 'https://fonts.example/css';</style>"),
        ("a.html", '<p style="background: url(https://cdn.example/a.png)">'),
        ("a.html", '<script>fetch("https://count.example/hit")</script>'),
        ("a.svg", '<svg><image href="https://cdn.example/a.png"/></svg>'),
        ("a.css", 'a { background: url("https://cdn.example/a.png") }'),
        ("a.js", "const count = '//count.example/hit';"),
    ],
)
def test_such_a_load_is_found(name: str, text: str) -> None:
    assert len(foreign_loads(name, text)) == 1
    assert foreign_loads(name, text.replace("https:", "").replace("//", "")) == []


def test_links_to_other_sites_load_nothing() -> None:
    assert foreign_loads("a.html", '<a href="https://example.org/">a</a>') == []


def test_no_path_of_the_machine_is_in_it(site: Path) -> None:
    paths = {str(REPOSITORY), str(Path.home()), sysconfig.get_path("purelib"), "/tmp/", sys.prefix}
    # Pages show commands with /tmp; generated pages must not.
    for name, text in files(site):
        generated = name.startswith(("reference/", "_static/"))
        # `/root`, and not `/root_secret`.
        named = [path for path in paths if len(path) > 1 and re.search(re.escape(path.rstrip("/")) + r"(?!\w)", text)]
        found = [path for path in named if generated or path != "/tmp/"]
        assert found == [], name


def test_two_builds_are_the_same(site: Path, tmp_path: Path) -> None:
    """Of another folder, at another time, in another zone, for another user, with another terminal."""
    copy, home = tmp_path / "elsewhere", tmp_path / "home"
    home.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, copy / name)
    build(
        tmp_path / "again", repository=copy, TZ="Pacific/Apia", HOME=str(home), PYTHONHASHSEED="7", COLUMNS="40",
        LANG="de_DE.UTF-8", BLINDSIGHT_PORT="9", BLINDSIGHT_URL="http://other.example", PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    first, second = ({path.relative_to(root) for path in root.rglob("*")} for root in (site, tmp_path / "again"))
    assert first == second
    differing = [
        str(path)
        for path in first
        if (site / path).is_file() and (site / path).read_bytes() != (tmp_path / "again" / path).read_bytes()
    ]
    assert differing == []


def test_a_folder_with_other_files_is_kept(tmp_path: Path) -> None:
    from site_build.build import _replace

    (tmp_path / "notes").write_text("mine")
    with pytest.raises(SiteError, match="holds other files"):
        _replace(tmp_path, tmp_path / "unused")
    assert (tmp_path / "notes").read_text() == "mine"


def test_make_builds_it() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--assume-old=.venv/installed-dev", "site", "site-screenshots"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        ".venv/bin/python -m site_build --out '.blindsight/site'",
        ".venv/bin/python -m tests.browser.site_screenshots --site '.blindsight/site'",
    ]


def test_docstrings_become_restructuredtext() -> None:
    lines = ["Takes `a*b`, *args and name_.", "", "    x = `y`", "", "    z", "", "Then `b`."]
    assert converted(lines) == [
        "Takes ``a*b``, \\*args and name\\_.", "", "", ".. code-block:: text", "", "    x = `y`", "", "    z",
        "", "Then ``b``.",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with served(site) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium.executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_a_browser_asks_the_sites_own_host_alone(address: str, page: Page) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: wrong.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    for name in (*SHOWN, "reference/python.html", "docs/performance.html", "quick-start.html"):
        page.goto(f"{address}/{name}", wait_until="networkidle")
    page.goto(f"{address}/search.html?q=evidence", wait_until="networkidle")
    page.wait_for_function("document.querySelectorAll('#search-results li a').length > 3")
    assert len(asked) > 30
    assert [url for url in asked if not url.startswith(f"{address}/")] == []
    # Browsers ask for this by themselves.
    assert [each for each in wrong if not each.endswith("/favicon.ico")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", SHOWN)
def test_pages_are_accessible(address: str, page: Page, name: str, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{name}")
    # axe-core looks at what lies under each letter: the first operations or commands stand for all.
    page.evaluate("for (const each of [...document.querySelectorAll('section section')].slice(12)) each.remove()")
    assert faults(page) == []


@pytest.mark.parametrize("name", [*SHOWN, "docs/settings.html", "reference/python.html", "docs/threat-model.html"])
def test_pages_fit_a_phone(address: str, page: Page, name: str) -> None:
    page.set_viewport_size({"width": 375, "height": 812})
    page.goto(f"{address}/{name}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
