"""Another's function opens what is encrypted for its owner, and nothing that its caller encrypted for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cape_client import ClientError, Envelope
from tests.support.cape_host import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.cape_host import CapeHost, Deployed, Person

TOLD = "the input cannot be decrypted: a cape: value has to be encrypted for bob, whose function this is"


@pytest.fixture(scope="module")
def bobs_public_echo(bob: Person) -> Deployed:
    return bob.deploy(FUNCTIONS / "echo", "public-echo", public=True)


def test_as_cape_s_ocr_example_does_it(
    pycape: Callable[..., Any], ada: Person, bob: Person, bobs_public_echo: Deployed
) -> None:
    """Each way that the error names works, with the published client."""
    script = """
        cape, got = Cape(), []
        cape.connect(given["function"], given["token"])
        for value in (cape.encrypt(b"page"), cape.encrypt(b"page", username="bob"), b"page"):
            try:
                got.append(cape.invoke(value).decode())
            except Exception as error:
                got.append(str(error))
        cape.close()
        answer(got)
    """
    assert pycape(script, function=bobs_public_echo.name, token=ada.token()) == [TOLD, "page", "page"]
    encrypted = ada.cape("encrypt", "page").text.strip()
    said = ada.cape("run", bobs_public_echo.name, encrypted, status=1).err
    assert said.endswith(f"Error: run request failed: {TOLD}\n")
    assert (
        ada.cape("run", bobs_public_echo.name, ada.cape("encrypt", "page", "--username", "bob").text).text == "page\n"
    )


def test_or_who_saw_a_token_would_read_all_that_is_encrypted_for_its_account(
    cape_host: CapeHost, ada: Person, bobs_public_echo: Deployed
) -> None:
    """The host sees ada's tokens, and can have a public function of its own, and ciphertexts that ada stored."""
    ciphertext = Envelope(ada.key_der).text(b"stored for later")
    for scope in ("run", "account"):
        with cape_host.js(f"/v1/run/{bobs_public_echo.id}", ada.token(scope)) as js:
            with pytest.raises(ClientError, match="cannot be decrypted"):
                js.invoke(ciphertext)
            assert js.invoke(b"goes on") == b"goes on"
