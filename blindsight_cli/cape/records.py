"""`cape list`, `cape delete`, `cape token …`: the account's functions and tokens at the host."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

from blindsight import strict_json
from blindsight.cape import ids, tokens
from blindsight.errors import TransportError
from blindsight_cli.cape import names
from blindsight_cli.cape.console import CliError, arguments_error, box_table, go_json, log, out
from blindsight_cli.cape.context import refused
from blindsight_cli.cape.durations import parse_duration
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from blindsight_cli.cape.context import Context


def list_functions(context: Context) -> None:
    """List the deployed functions."""
    if context.arguments:
        raise arguments_error("list does not take any arguments")
    path = f"/v1/functions?limit={context.number('limit')}&offset={context.number('offset')}"
    response = _rest(context, "list failed", "GET", path)
    if response.status_code == 401:
        raise CliError("list failed: unauthorized: authentication required")
    if response.status_code != 200:
        raise CliError(f"list failed: {refused(response)}")
    functions = _rows(response, "list failed")
    if not functions:
        out("No functions deployed.")
    elif context.as_json:
        shown = [{name: _text(each, name) for name in ("id", "name", "created_at")} for each in functions]
        out(go_json({"deployments": shown, "count": len(shown)}))
    else:
        rows = [
            [str(position), _text(each, "name"), _text(each, "id"), _moment(each.get("created_at"))]
            for position, each in enumerate(functions)
        ]
        out(box_table(["#", "NAME", "ID", "CREATED AT"], rows))


def delete(context: Context) -> None:
    """Delete a function."""
    if len(context.arguments) != 1:
        raise arguments_error("you must pass a function ID")
    function_id = context.arguments[0]
    response = _rest(context, "delete failed", "DELETE", f"/v1/functions/{quote(function_id, safe='')}")
    if response.status_code == 404:
        step = "" if ids.is_id(function_id) else names.ID_STEP
        raise CliError(f"delete failed: function ID not found: {function_id}", step=step)
    if response.status_code != 200:
        raise CliError(f"delete failed: {refused(response)}")
    log(f"Success! Function {function_id} deleted.\n")


def token_create(context: Context) -> None:
    """Sign a token with the owner key, and register it at the host."""
    if context.arguments:
        raise arguments_error("token create does not take any arguments")
    if not context.text("name"):
        raise CliError("token names must be alphanumeric", usage=True)
    lifetime = _lifetime(context.text("expiry"))
    account_token = context.token
    failure = "something went wrong, your token was not created"
    function_id = context.text("function")
    if function_id:
        names.function_id(function_id, failure)
    key, username = context.owner
    token = tokens.mint(key, username, "run", lifetime=lifetime, function_id=function_id or None)
    minted = tokens.peek(token)
    body = {
        "name": context.text("name"),
        "description": context.text("description"),
        "function_id": function_id,
        "token": token,
    }
    # From the token, so that both say the same second.
    expiry = minted.expires.strftime("%Y-%m-%dT%H:%M:%SZ") if minted.expires else None
    if expiry:
        body["expiry"] = expiry
    response = _rest(context, failure, "POST", "/v1/token", token=account_token, body=body)
    if response.status_code != 201:
        _fail_with_reason(failure, refused(response))
    if context.as_json:
        out(go_json({"id": minted.id, "token": token, "expiry": expiry}))
    elif context.is_set("bare"):
        out(token)
    else:
        out(f"Success! Your token: {token}")


def token_list(context: Context) -> None:
    """List the tokens that were created with `token create`."""
    if context.arguments:
        raise arguments_error("token list does not take any arguments")
    response = _rest(context, "something went wrong", "GET", "/v1/tokens")
    if response.status_code != 200:
        _fail_with_reason("something went wrong", refused(response))
    found = _rows(response, "something went wrong")
    if context.as_json:
        out(go_json({"tokens": found, "count": len(found)}))
    elif not found:
        out("No tokens found. You can create tokens with cape token create")
    else:
        rows = [
            [
                *(_text(each, name) for name in ("id", "name", "description")),
                *(_moment(each.get(name)) for name in ("created_at", "last_used", "expiry")),
            ]
            for each in found
        ]
        out(box_table(["ID", "NAME", "DESCRIPTION", "CREATED AT", "LAST USED", "EXPIRES"], rows))


def token_delete(context: Context) -> None:
    """Revoke a token."""
    if len(context.arguments) != 1:
        raise arguments_error("you must pass a token ID")
    token_id = context.arguments[0]
    failure = "something went wrong, your token was not deleted"
    response = _rest(context, failure, "DELETE", f"/v1/token/{quote(token_id, safe='')}")
    if response.status_code != 200:
        _fail_with_reason(failure, refused(response))
    out(f"Deleted token {token_id}")


def _rest(context: Context, failure: str, method: str, path: str, **content: Any) -> httpx2.Response:  # noqa: ANN401 -- what httpx2 takes
    content.setdefault("token", context.token)
    try:
        return context.host.rest(method, path, **content)
    except TransportError as error:
        raise CliError(f"{failure}: {error}") from error


def _fail_with_reason(failure: str, reason: str) -> NoReturn:
    """Fail with Cape's fixed sentence, and say the host's reason beside it."""
    log(printable(reason))
    raise CliError(failure)


def _lifetime(text: str) -> timedelta | None:
    if not text:
        return None
    try:
        lifetime = parse_duration(text)
    except ValueError as error:
        message = f'invalid argument "{text}" for "-e, --expiry" flag: {error}'
        raise CliError(message, usage=True) from error
    if lifetime < timedelta(seconds=1):
        raise CliError("a token has to be good for a second or more", usage=True)
    return lifetime


def _rows(response: httpx2.Response, failure: str) -> list[dict[str, Any]]:
    try:
        content = strict_json.loads(response.content)
    except ValueError:
        content = None
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise CliError(f"{failure}: the host's answer is not a list")
    return content


def _text(row: Mapping[str, Any], name: str) -> str:
    return str(row.get(name) or "")


def _moment(value: object) -> str:
    """An RFC 3339 time as local time; `Never` for none."""
    if not value:
        return "Never"
    try:
        return datetime.fromisoformat(str(value)).astimezone().strftime("%b %d %Y %H:%M")
    except (ValueError, OverflowError):
        return str(value)
