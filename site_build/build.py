"""The build: pages into a temporary folder, and Sphinx from there. Every warning is an error."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

import blindsight
from site_build import command_pages, http_api, javascript, pages, python_api
from site_build.environment import neutral
from site_build.errors import SiteError

_STATIC: Final = Path(__file__).resolve().parent / "static"
_LEFT_OUT: Final = (".buildinfo", "objects.inv")
"""What Sphinx writes for its own next run, and for the Sphinx sites of others."""
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_LIGHT: Final = {"color-brand-primary": "#0b5394", "color-brand-content": "#0b5394", "color-brand-visited": "#5b3a8c"}
_DARK: Final = {"color-brand-primary": "#8ab4f8", "color-brand-content": "#8ab4f8", "color-brand-visited": "#c58af9"}


def settings() -> dict[str, Any]:
    """Sphinx's configuration. Nothing in it depends on the time or on the machine."""
    return {
        "project": "Blindsight",
        "version": blindsight.__version__,
        "release": blindsight.__version__,
        "extensions": ["myst_parser", "sphinx.ext.autodoc", "site_build.docstrings", "site_build.captions"],
        "root_doc": "index",
        "source_suffix": {".md": "markdown", ".rst": "restructuredtext"},
        "language": "en",
        # They would turn the two hyphens of options into a dash.
        "smartquotes": False,
        "today": " ",
        "highlight_language": "text",
        # Blocks show ellipses in JSON, and lines of output in scripts.
        "suppress_warnings": ["misc.highlighting_failure"],
        "myst_heading_anchors": 6,
        "myst_links_external_new_tab": False,
        "autodoc_member_order": "bysource",
        "autodoc_preserve_defaults": True,
        "autodoc_typehints": "signature",
        "python_maximum_signature_line_length": 88,
        "toc_object_entries_show_parents": "hide",
        "html_theme": "furo",
        "html_title": f"Blindsight {blindsight.__version__}",
        "html_static_path": [str(_STATIC)],
        "html_css_files": ["site.css"],
        "html_js_files": ["site.js"],
        "html_copy_source": False,
        "html_show_sourcelink": False,
        "html_show_copyright": False,
        "html_last_updated_fmt": None,
        "html_use_index": False,
        "html_theme_options": {
            "light_css_variables": _LIGHT,
            "dark_css_variables": _DARK,
            "top_of_page_buttons": [],
        },
    }


def build(repository: Path, out: Path) -> None:
    """Build the site into `out`, whose earlier content is replaced once the build has succeeded.

    Raises `SiteError` with every fault that was found, among them links that lead nowhere.
    """
    with tempfile.TemporaryDirectory(prefix="site-") as name:
        source, built = Path(name) / "source", Path(name) / "site"
        write_sources(repository, source)
        run_sphinx(source, built)
        _replace(out, built)


def write_sources(repository: Path, source: Path) -> None:
    """Write all pages below `source`. Raises `SiteError`."""
    source.mkdir(parents=True)
    with neutral():
        pages.write(repository, source)
        http_api.write(source)
        python_api.write(source)
        javascript.write(repository, source)
        command_pages.write(source)


def run_sphinx(source: Path, built: Path) -> None:
    """Build `source` into the new folder `built`. Raises `SiteError`, with paths below `source` as they are there."""
    warnings = io.StringIO()
    doctrees = built.parent / "doctrees"
    # Dates in it would be those of the build.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    try:
        app = Sphinx(
            source, None, built, doctrees, "html", confoverrides=settings(), status=None, warning=warnings,
            freshenv=True,
        )  # fmt: skip
        app.build(force_all=True)
    except SphinxError as error:
        raise SiteError(str(error)) from error
    if faults := warnings.getvalue().strip():
        raise SiteError(_COLOUR.sub("", faults).replace(f"{source}/", ""))
    for each in _LEFT_OUT:
        (built / each).unlink(missing_ok=True)
    # Otherwise GitHub's pages leave out folders that begin with an underscore.
    (built / ".nojekyll").touch()
    # Empty: the pages' sources are those of the repository.
    (built / "_sources").rmdir()


def _replace(out: Path, built: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        raise SiteError(f"{out} holds other files: choose a folder that is empty, or an earlier site")
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(built, out)
