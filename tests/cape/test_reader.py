"""Cape's published function `reader`, as it was published: the text of documents, by packages with compiled parts."""

from __future__ import annotations

import io
import json
import os
import zipfile
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cape_host import Person

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def docx(text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        body = f"<w:body><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:body>"
        archive.writestr("word/document.xml", f'<?xml version="1.0"?><w:document xmlns:w="{WORD}">{body}</w:document>')
    return packed.getvalue()


def pdf(text: str) -> bytes:
    """One page without a table of references, which readers make anew."""
    drawn = f"BT /F 24 Tf 72 720 Td ({text}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(drawn), drawn),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    content = b"".join(b"%d 0 obj%s\nendobj\n" % (number, each) for number, each in enumerate(objects, 1))
    return b"%PDF-1.4\n" + content + b"trailer<</Root 1 0 R>>\n%%EOF\n"


INPUTS = {
    "a.pdf": ("application/pdf", pdf("text of a page"), "text of a page"),
    "a.docx": ("", docx("text of Word"), "text of Word"),
    "a.csv": ("application/octet-stream", b"x,y\n1,2\n", "x,y\n1,2"),
    "a.md": ("", b"# text", "# text"),
}


@pytest.fixture(scope="module")
def reader() -> Path:
    named = os.environ.get("BLINDSIGHT_CAPE_READER")
    if not named:
        pytest.skip(
            "`reader` (github.com/capeprivacy/functions) needs 175 MB of packages:"
            " name in BLINDSIGHT_CAPE_READER a folder of its app.py with `pip install --target` of its requirements"
        )
    return Path(named)


@pytest.mark.timeout(600)
def test_it_reads_documents(reader: Path, ada: Person, tmp_path: Path) -> None:
    ada.cape("deploy", str(reader), "--name", "reader")
    for name, (media_type, content, text) in INPUTS.items():
        file = tmp_path / f"{name}.json"
        file.write_text(
            json.dumps({"data": b64encode(content).decode(), "mimetype": media_type, "filename": name}), "utf-8"
        )
        assert ada.cape("run", "ada/reader", "-f", str(file)).text.strip() == text, name
