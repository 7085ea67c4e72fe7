"""A model as a user names it: an ONNX file, a model directory, or a file in one.

`make run MODEL=` and `blindsight bundle build --model` take all three, `blindsight release make --model` the first two.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import shutil
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer  # noqa: TC002 -- Typer reads the annotations of commands

from blindsight.arguments import a_path
from blindsight_cli import units
from blindsight_cli.console import fail

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST: Final = "model.json"
_OPTIONS: Final = "--model-options"
_PREFIX: Final = "import-"
_GIVE: Final = "give an ONNX file or a model directory"


def bundle_build(context: typer.Context) -> None:
    """Build a function bundle."""
    _pass_on("enclave_function", "bundle", "build", arguments=context.args, called_as="blindsight")


def release_make(context: typer.Context) -> None:
    """Make a release."""
    _pass_on("release_build", "make", arguments=context.args, called_as="blindsight release")


@contextlib.contextmanager
def directory(
    model: Path, *, scratch: Path | None = None, formats: str | None = None, options: str | None = None
) -> Iterator[Path]:
    """What the bundle builder takes for `model`: a model directory, or a file in one.

    An ONNX file with `model.json` beside it is in one. Any other is imported anew each time, because its labels may
    have changed: into a folder that lasts until the block ends, in `scratch` or among the temporary files. `scratch` is
    for one process at a time. With `formats`, a list such as `jpeg,avif`, it is always such a folder: what a model
    takes is a part of it. `options` are those of `model build --onnx`, as one would type them. Exits with one line
    where there is no model, or where `model_build` refuses it.
    """
    try:
        mode = model.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        fail(f"there is no model at {model}", _GIVE)
    except OSError as error:
        fail(f"the model {model} cannot be read: {error.strerror}", _GIVE)
    if stat.S_ISDIR(mode):
        if not os.path.lexists(model / MANIFEST):
            found = sorted(model.glob("*.onnx"))
            step = f"give the ONNX file in it: {found[0]}" if found else _GIVE
            fail(f"{model} is not a model directory: it has no {MANIFEST}", step)
        source = ("--directory", model)
    elif not stat.S_ISREG(mode):
        fail(f"{model} is neither a file nor a folder", _GIVE)
    else:
        source = ("--directory", model.parent) if model.name == MANIFEST else ("--onnx", model)
    said = _words(options)
    if said and source[0] != "--onnx":
        fail("model options say what an ONNX file takes and gives, and this is a model directory", "give the ONNX file")
    if formats is None and not said and (source[0] == "--directory" or os.path.lexists(model.with_name(MANIFEST))):
        yield model
        return
    with _scratch(scratch) as folder:
        taken = () if formats is None else ("--formats", formats)
        units.run("model_build", "build", source[0], str(source[1]), *taken, *said, "--out", str(folder / "model"))
        yield folder / "model"


def _words(options: str | None) -> list[str]:
    try:
        return shlex.split(options or "")
    except ValueError as error:
        fail(f"the model options {options} cannot be read: {error}", "quote them as in a shell")


@contextlib.contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    with contextlib.ExitStack() as stack:
        try:
            if parent is not None:
                parent.mkdir(exist_ok=True)
                for left in parent.glob(f"{_PREFIX}*"):  # By a process that was killed.
                    shutil.rmtree(left, ignore_errors=True)
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, dir=parent))
        except OSError as error:
            fail(
                f"the model cannot be imported: {error.strerror}: {error.filename}",
                "check the folder and its free space",
            )
        yield Path(name)


def _pass_on(*command: str, arguments: list[str], called_as: str) -> None:
    """Run a unit's command that takes a model directory with what is one."""
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("--model", type=a_path)
    parser.add_argument(_OPTIONS)
    # argparse takes no value that begins with a hyphen, as these options do, unless it is part of the same word.
    joined = [
        f"{before}={word}" if before == _OPTIONS else word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if word != _OPTIONS
    ]
    try:
        options, others = parser.parse_known_args(joined)
    except argparse.ArgumentError:  # The unit says it, with its own usage.
        options, others = argparse.Namespace(model=None, model_options=None), arguments
    if options.model is None or "--help" in others or "-h" in others:
        units.pass_on(*command, *arguments, called_as=called_as)
    with directory(options.model, options=options.model_options) as folder:
        units.pass_on(*command, "--model", str(folder), *others, called_as=called_as)
