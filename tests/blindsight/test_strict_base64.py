"""One reading of base64, and one error."""

from __future__ import annotations

import base64
import binascii
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blindsight import strict_base64
from blindsight.attestation import Claims
from blindsight.cape import messages
from blindsight.client import cape
from blindsight.errors import CapeError, EvidenceClaimsError, KmsError, ReceiptError, ReleaseError, TransportError
from blindsight.receipts import _evidence
from blindsight.release_file import open_envelope
from blindsight.release_file.statement import PAYLOAD_TYPE
from blindsight.wire.bootconfig import BootConfig

TOO_MUCH_PADDING = ["AAAA=", "AAAA==", "AAAA===", "AAAA====", "AAAAAAAA===="]


@pytest.mark.parametrize(
    "text", [*TOO_MUCH_PADDING, "A", "AA", "AAA", "A===", "AA=A", "====", "AA==AAAA", "-_==", "AAA\n", "é", "AAé="]
)
def test_refused(text: str) -> None:
    for form in (text, text.encode(), memoryview(text.encode())):
        with pytest.raises(binascii.Error):
            strict_base64.decode(form)


@given(st.binary(max_size=40))
def test_taken(content: bytes) -> None:
    text = base64.b64encode(content)
    assert (
        strict_base64.decode(text)
        == strict_base64.decode(text.decode())
        == strict_base64.decode(memoryview(text))
        == content
    )


@given(st.text("A/+=", max_size=12))
def test_what_is_taken_is_what_the_page_takes(text: str) -> None:
    """`fromBase64` of clients/js/src/bytes.ts; WebCrypto's `atob` decodes what passes its pattern."""
    page = len(text) % 4 == 0 and re.fullmatch("[A-Za-z0-9+/]*={0,2}", text) and not re.fullmatch("=+", text)
    try:
        strict_base64.decode(text)
        taken = True
    except binascii.Error:
        taken = False
    assert taken == bool(page)


@pytest.mark.parametrize("text", TOO_MUCH_PADDING)
def test_every_reader_refuses_padding_where_none_is_due(text: str) -> None:
    """But for the plain lane's, which reads what programs write (tests/gateway/test_base64_in_json.py)."""
    with pytest.raises(ReceiptError):
        _evidence({"document": text, "model": {}})
    with pytest.raises(CapeError):
        messages.nonce_of(f'{{"message": {{"nonce": "{text}"}}}}')
    with pytest.raises(TransportError):
        cape._decoded(text)
    with pytest.raises(KmsError):
        BootConfig.parse(f'{{"format": "blindsight-boot-config/1", "root_secret": "{text}"}}'.encode())
    envelope: dict[str, object] = {"payloadType": PAYLOAD_TYPE}
    for payload, signature in ((text, "AAAA"), ("AAAA", text)):
        with pytest.raises(ReleaseError):
            open_envelope(json.dumps(envelope | {"payload": payload, "signatures": [{"sig": signature}]}).encode())
    with pytest.raises(EvidenceClaimsError):
        Claims.parse(f'{{"model_sha256": "{text}"}}'.encode())


@pytest.mark.parametrize("text", ["é", "AAA\N{SNOWMAN}", "\ud800"])
def test_a_cape_host_that_answers_with_other_text_is_refused(text: str) -> None:
    with pytest.raises(TransportError):
        cape._decoded(text)
