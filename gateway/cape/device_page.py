"""The page at a device's verification address: the requesting device, the account, and how to approve."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from blindsight.cape.fingerprint import fingerprint
from blindsight.errors import CapeError
from gateway.cape.answers import moment
from gateway.cape.device_codes import unknown_code
from gateway.cape.services import cape_of
from gateway.connections import source_of

if TYPE_CHECKING:
    from gateway.cape.device_codes import CodeRow
    from gateway.cape.services import CapeServices

router = APIRouter(include_in_schema=False)

_USER_CODE: Final = re.compile(r"[A-Z0-9-]{9}")

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Approve a login</title><link rel="stylesheet" href="static/style.css"></head>
<body><main><h1>Approve a login</h1>
{waiting}
<p>This page cannot approve it: only the owner key can, which never leaves the machine on which the account was made. On
that machine, run</p>
<pre>cape login --approve {code}</pre>
<p>if the device is in front of you and shows the same code. It asks you once more. If this link was sent to
you, do nothing: its sender would be let in. The code expires after ten minutes.</p>
</main></body></html>
"""
_WAITING: Final = """<p>A device asks to act as an account of this service:</p>
<dl>
<dt>calls itself</dt><dd>{name}</dd>
<dt>asked from</dt><dd>{address}</dd>
<dt>at</dt><dd>{since}</dd>
<dt>account</dt><dd>{account}</dd>
<dt>owner key</dt><dd>{owner}</dd>
</dl>"""
_THE_APPROVERS: Final = "that of the machine on which you approve, which shows it"
_NOTHING: Final = "<p>No device is waiting with this code.</p>"
_WAIT: Final = (
    "<p>Too many wrong codes came from your address. What the device is, `cape login --approve` shows, too.</p>"
)


@router.get("/device")
async def device_page(request: Request) -> HTMLResponse:
    """Instructions for the code, which is shown only if it has the form of one: the page repeats no other input."""
    code = request.query_params.get("user_code", "")
    if not _USER_CODE.fullmatch(code):
        return HTMLResponse(_PAGE.format(code="CODE", waiting=_NOTHING))
    cape = cape_of(request)
    address = request.client.host if request.client else ""
    try:
        with cape.guesses.attempt(f"address {source_of(address)}"):
            row = await cape.store.device_codes.by_user_code(code)
            if row is None or row.status != "pending":
                raise unknown_code()
            waiting = await _shown(cape, row)
    except CapeError as error:
        if error.code not in {"unknown_code", "too_many_guesses"}:
            raise
        waiting = _NOTHING if error.code == "unknown_code" else _WAIT
    return HTMLResponse(_PAGE.format(code=code, waiting=waiting))


async def _shown(cape: CapeServices, row: CodeRow) -> str:
    account = await cape.store.account(row.device.account) if row.device.account else None
    return _WAITING.format(
        name=html.escape(row.device.name or "nothing"),
        address=html.escape(row.device.address or "an unknown address"),
        since=moment(row.created_at.replace(microsecond=0)),
        account=html.escape(account.username) if account else _THE_APPROVERS,
        owner=fingerprint(account.owner_public_key) if account else _THE_APPROVERS,
    )
