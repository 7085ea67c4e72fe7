"""`blindsight classify FILES…`: sends photos to a gateway, and prints the answers as a table or as JSON lines."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated, Any

import httpx2
import typer
from rich.progress import Progress
from rich.table import Table

from blindsight import files, strict_json
from blindsight.client import answers, photos, routes
from blindsight.errors import ConversionError, ProxyError
from blindsight_cli import given, receipt, replies
from blindsight_cli import sealed as sealed_lane
from blindsight_cli.console import err, fail, out
from blindsight_cli.gateway_url import DEFAULT_URL, Url
from blindsight_cli.paths import a_path
from blindsight_cli.photos import MAX_PHOTO_BYTES
from blindsight_cli.printable import cell, printable
from blindsight_cli.proxy import Proxy  # noqa: TC001 -- typer reads the annotations

TIMEOUT_SECONDS = 60.0
_MAX_ANSWER_BYTES = 16 << 20
"""An answer with all classes of a large model has two megabytes, its evidence ten kilobytes."""

_OURS = frozenset({"file", "problem"})
"""Members of a line of --json that are not the gateway's."""

_TEXTS = frozenset({"notice", "receipt"})
_PROBLEM_TEXTS = frozenset({"title", "detail"})

_Ask = Callable[[bytes, int | None], dict[str, Any]]
"""The answer to an image and a number of classes, or `{"problem": …}`."""


@dataclass(frozen=True)
class _Lane:
    """How to send photos, and the accepted formats."""

    ask: _Ask
    taken: Callable[[], Collection[str]]


def classify(  # noqa: PLR0917 -- typer passes them by name
    files: Annotated[
        list[Path],
        typer.Argument(help="JPEG, PNG or WebP files; HEIC if pillow-heif is installed.", parser=a_path),
    ],
    context: typer.Context,
    url: Url = DEFAULT_URL,
    top_k: Annotated[int | None, typer.Option(min=1, help="Classes per photo; default: five.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    sealed: Annotated[bool, typer.Option("--sealed", help="Seal the photos here: the gateway sees none.")] = False,
    policy: Annotated[
        Path | None,
        typer.Option(
            help="With --sealed: which enclaves you accept.",
            envvar="BLINDSIGHT_POLICY",
            show_default=str(sealed_lane.DEFAULT_POLICY),
            parser=a_path,
        ),
    ] = None,
    receipts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep each answer with the enclave's receipt in this folder.", parser=a_path),
    ] = None,
    proxy: Proxy = None,
) -> None:
    """Classify photos through a gateway, which encrypts each to its enclave; with --sealed this command encrypts them.

    HEIC, and AVIF if the model does not accept it, is first converted to JPEG on this machine, without its metadata. An
    API token is read from BLINDSIGHT_TOKEN. Exit status: 0 if every photo was answered, 1 if not.
    """
    # The environment's policy is for the commands that use one; on the command line it is for this very photo.
    if not sealed and given.on_the_command_line(context, "policy"):
        fail("--policy has no effect without --sealed", "add --sealed, or leave --policy out")
    token = os.environ.get("BLINDSIGHT_TOKEN")
    with_receipt = receipts is not None
    opening = (
        _sealed_lane(url, token, policy, proxy, with_receipt=with_receipt)
        if sealed
        else _plain_lane(url, token, proxy, with_receipt=with_receipt)
    )
    if receipts:
        receipt.prepare(receipts)
    failed = again = not_kept = 0
    notices: set[str] = set()
    with (
        opening as lane,
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        for file in progress.track(files, description="Classifying"):
            answer, converted = _ask_file(lane, file, top_k)
            failed += "problem" in answer
            again += _may_be_sent_again(answer)
            if answer.get("notice"):
                notices.add(answer["notice"])
            if as_json:
                typer.echo(json.dumps({"file": str(file), **answer}))
            else:
                _show(file, answer)
            if receipts and answer.get("receipt"):
                not_kept += not receipt.save(receipts, file, answer, sent=converted)
    for notice in sorted(notices):
        err.print(printable(notice), style="bold yellow", markup=False)
    if failed:
        fail(
            f"{failed} of {len(files)} photos were not answered",
            f"see above{'; send those marked (retryable) again' if again else ''}",
        )
    if not_kept:
        fail(f"{not_kept} receipts could not be kept", "look at the folder of --receipts, and send those photos again")


def _ask_file(lane: _Lane, file: Path, top_k: int | None) -> tuple[dict[str, Any], bytes | None]:
    """The answer, and the content that was sent if it differs from the file's."""
    try:
        content = files.read(file, MAX_PHOTO_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            return _no_photo("The file is not a photo", f"It has more than {MAX_PHOTO_BYTES >> 20} MiB."), None
        if error.errno == errno.EINVAL:
            return _no_photo("The file is not a photo", "It is not a regular file."), None
        return _no_photo("The file cannot be read", f"{error.strerror}."), None
    found = photos.kind(content)
    if found is None:
        return lane.ask(content, top_k), None
    try:
        jpeg = photos.as_jpeg(content, formats=lane.taken())
    except ConversionError as error:
        return _no_photo(f"The photo was not sent. {error}".rstrip("."), error.next_step), None
    if jpeg is content:
        return lane.ask(content, top_k), None
    err.print(f"{file}: turned from {found} into JPEG on this machine, upright, without place, time and other metadata")
    return lane.ask(jpeg, top_k), jpeg


def _may_be_sent_again(answer: dict[str, Any]) -> bool:
    problem = answer.get("problem")
    return isinstance(problem, dict) and problem.get("retryable") is True


def _no_photo(title: str, detail: str) -> dict[str, Any]:
    return {"problem": {"title": title, "detail": detail}}


@contextlib.contextmanager
def _sealed_lane(
    url: str, token: str | None, policy: Path | None, proxy: str | None, *, with_receipt: bool
) -> Iterator[_Lane]:
    with sealed_lane.connect(url, policy=policy, token=token, proxy=proxy, timeout=TIMEOUT_SECONDS) as client:
        if token:
            _warn_of_cleartext(url, "the API token", sealed=True)
        yield _Lane(
            functools.partial(sealed_lane.ask, client, with_receipt=with_receipt),
            lambda: photos.taken(client.recipient.manifest if client.recipient else {}),
        )


@contextlib.contextmanager
def _plain_lane(url: str, token: str | None, proxy: str | None, *, with_receipt: bool) -> Iterator[_Lane]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        client = routes.blocking(url, timeout=TIMEOUT_SECONDS, proxy=proxy, readable="the photos", headers=headers)
    except ProxyError as error:
        sealed_lane.stop(error)
    except httpx2.InvalidURL:
        fail(f"{url} is not an address", "check --url")
    with client:
        _warn_of_cleartext(url, "the photos", sealed=False)
        yield _Lane(functools.partial(_ask, client, with_receipt=with_receipt), functools.partial(_taken, client))


def _warn_of_cleartext(url: str, readable: str, *, sealed: bool) -> None:
    if routes.in_the_clear(url):
        err.print(
            f"WARNING: {routes.address(url)} is not encrypted: everyone between here and there can read {readable}. "
            f"Use an https:// address{'' if sealed else ', or --sealed'}.",
            style="bold yellow",
            markup=False,
        )


def _ask(client: httpx2.Client, content: bytes, top_k: int | None, *, with_receipt: bool) -> dict[str, Any]:
    try:
        reply = replies.read(
            client,
            "POST",
            "/classify",
            seconds=TIMEOUT_SECONDS,
            limit=_MAX_ANSWER_BYTES,
            params=({} if top_k is None else {"top_k": top_k}) | ({"receipt": "true"} if with_receipt else {}),
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        body = _answer(strict_json.loads(reply.content), answered=reply.status == 200)
    except (httpx2.UnsupportedProtocol, httpx2.InvalidURL):
        fail(f"{client.base_url} is not an address of a gateway", "check --url: it begins with http:// or https://")
    except httpx2.TransportError as error:
        if fault := routes.fault(error):
            fail(f"{client.base_url}: {fault}", fault.next_step)
        fail(
            f"{client.base_url} does not answer ({type(error).__name__})",
            "start it with `blindsight up`, or give --url",
        )
    except ValueError:
        fail(f"{client.base_url} answers, but is not a Blindsight gateway", "check --url")
    return body


def _answer(body: object, *, answered: bool) -> dict[str, Any]:
    """A gateway's answer, or `{"problem": …}`. Raises `ValueError` if `body` has the structure of neither.

    No member has the name of one that the command adds.
    """
    if not isinstance(body, dict) or body.keys() & _OURS:
        raise ValueError("JSON of something else")
    # The API's description lets the first two be null.
    texts = {name for name in _TEXTS if body.get(name) is not None} if answered else _PROBLEM_TEXTS
    if not all(isinstance(body.get(name), str) for name in texts):
        raise ValueError("a text is missing, or of another type")
    if not answered:
        return {"problem": body}
    scores = [each.score for each in answers.predictions_of(body)]
    # The rest stays as it is: a receipt covers members that a later version may add.
    predictions = [{**each, "score": score} for each, score in zip(body["predictions"], scores, strict=True)]
    return {**body, "model": answers.model_of(body), "predictions": predictions}


def _taken(client: httpx2.Client) -> Collection[str]:
    """The accepted formats according to the gateway. If it states none, the photo is sent unchanged."""
    try:
        reply = replies.read(client, "GET", "/info", seconds=TIMEOUT_SECONDS, limit=_MAX_ANSWER_BYTES)
        model = strict_json.loads(reply.content).get("model")
    except (httpx2.HTTPError, ValueError, AttributeError):
        model = None
    return photos.taken(model if isinstance(model, dict) else {})


def _show(file: Path, answer: dict[str, Any]) -> None:
    if "problem" in answer:
        problem = answer["problem"]
        mark = " (retryable)" if _may_be_sent_again(answer) else ""
        err.print(printable(f"{file}: {problem['title']}. {problem['detail']}{mark}"), style="red", markup=False)
        return
    table = Table(title=cell(str(file)), title_justify="left", box=None, pad_edge=False)
    several = answer["model"].get("multi_label") is True
    table.add_column("score of its own" if several else "score", justify="right")
    table.add_column("class")
    for prediction in answer["predictions"]:
        table.add_row(f"{prediction['score']:.1%}", cell(str(prediction["label"])))
    out.print(table)
    if several:
        out.print("Several classes can be right, or none: each is scored by itself.", style="dim")
