"""Pictures of the documentation site, by one command: `make site-screenshots`.

They go into the folder that is named, `.blindsight/site-screenshots` by default. Needs Debian's chromium. Look at the
pictures after a change of the site's theme or structure.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

from tests.support.site import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES: Final = {
    "start": "index.html",
    "guide": "docs/from-an-app.html",
    "settings": "docs/settings.html",
    "http": "reference/http.html",
    "python": "reference/python.html",
    "commands": "reference/commands/blindsight.html",
}
"""Pages by the names of their pictures."""
SIZES: Final = {"wide": {"width": 1280, "height": 900}, "phone": {"width": 375, "height": 812}}
SCHEMES: Final = ("light", "dark")


def main() -> int:
    """Take all pictures. Exit status 2 where the browser or the site is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", type=Path, default=Path(".blindsight/site"), help="default %(default)s")
    parser.add_argument("--out", type=Path, default=Path(".blindsight/site-screenshots"), help="default %(default)s")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None or not (arguments.site / "index.html").is_file():
        missing = "Debian's package chromium" if chromium is None else f"a site in {arguments.site}: make site"
        print(f"error: the pictures need {missing}", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    with served(arguments.site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in SCHEMES:
            for size in SIZES:
                take(browser, address, arguments.out, scheme, size)
        browser.close()
    return 0


def take(browser: Browser, address: str, out: Path, scheme: str, size: str) -> None:
    """All pages in one scheme and at one size: the first screens of each."""
    context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, reduced_motion="reduce", locale="en-GB")
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(f"{address}/{path}")
        height = page.evaluate("document.documentElement.scrollHeight")
        clip = {"x": 0, "y": 0, "width": SIZES[size]["width"], "height": min(height, 2 * SIZES[size]["height"])}
        file = out / f"{name}-{size}-{scheme}.png"
        page.screenshot(path=file, full_page=True, clip=clip, animations="disabled")
        print(f"{file}: {file.stat().st_size // 1024} KiB")
    context.close()


if __name__ == "__main__":
    sys.exit(main())
