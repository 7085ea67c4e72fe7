"""`blindsight classify FILES…`: photos to a gateway, answers as a table or as JSON lines."""

from __future__ import annotations

import json
import os
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import Annotated, Any

import httpx2
import typer
from rich.progress import Progress
from rich.table import Table

from blindsight.cli.console import err, fail, out

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT_SECONDS = 60.0


def classify(
    files: Annotated[list[Path], typer.Argument(help="JPEG, PNG or WebP files.")],
    url: Annotated[str, typer.Option(help="The gateway.", envvar="BLINDSIGHT_URL")] = DEFAULT_URL,
    top_k: Annotated[int, typer.Option(min=1, help="Classes per photo.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Classify photos through a gateway, which seals each to its enclave.

    An API token is read from BLINDSIGHT_TOKEN. Exit status: 0 if every photo was answered, 1 if not.
    """
    token = os.environ.get("BLINDSIGHT_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    failed = 0
    notices: set[str] = set()
    with (
        httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client,
        Progress(console=err, transient=True, disable=not err.is_terminal) as progress,
    ):
        for file in progress.track(files, description="Classifying"):
            answer = _ask(client, file, top_k)
            failed += "problem" in answer
            if answer.get("notice"):
                notices.add(answer["notice"])
            if as_json:
                typer.echo(json.dumps({"file": str(file), **answer}))
            else:
                _show(file, answer)
    for notice in sorted(notices):
        err.print(notice, style="bold yellow", markup=False)
    if failed:
        fail(f"{failed} of {len(files)} photos were not answered", "see above; `retryable` ones may be sent again")


def _ask(client: httpx2.Client, file: Path, top_k: int) -> dict[str, Any]:
    try:
        content = file.read_bytes()
    except OSError as error:
        return {"problem": {"title": "The file cannot be read", "detail": f"{error.strerror}."}}
    try:
        response = client.post(
            "/classify",
            params={"top_k": top_k},
            content=content,
            headers={"Content-Type": "application/octet-stream"},
        )
        body: dict[str, Any] = response.json()
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        fail(
            f"{client.base_url} does not answer ({type(error).__name__})",
            "start it with `blindsight up`, or give --url",
        )
    except ValueError:
        fail(f"{client.base_url} answers, but is no Blindsight gateway", "check --url")
    return body if response.status_code == 200 else {"problem": body}


def _show(file: Path, answer: dict[str, Any]) -> None:
    if "problem" in answer:
        err.print(f"{file}: {answer['problem']['title']}. {answer['problem']['detail']}", style="red", markup=False)
        return
    table = Table(title=str(file), title_justify="left", box=None, pad_edge=False)
    table.add_column("score", justify="right")
    table.add_column("class")
    for prediction in answer["predictions"]:
        table.add_row(f"{prediction['score']:.1%}", prediction["label"])
    out.print(table)
