"""Commands that belong to a unit of their own: run there, with the same arguments, output and exit status.

This package imports no unit; each is a program that may be installed elsewhere.
"""

from __future__ import annotations

import subprocess
import sys

import typer


def model_build(context: typer.Context) -> None:
    """Build the model directory."""
    _pass_on("model_build", "build", *context.args)


def model_check(context: typer.Context) -> None:
    """Check a model directory."""
    _pass_on("model_build", "check", *context.args)


def bundle_build(context: typer.Context) -> None:
    """Build a function bundle."""
    _pass_on("enclave_function", "bundle", "build", *context.args)


def bundle_inspect(context: typer.Context) -> None:
    """Show what is in a function bundle."""
    _pass_on("enclave_function", "bundle", "inspect", *context.args)


def evil_gateway(context: typer.Context) -> None:
    """Play the evil gateway's tricks."""
    _pass_on("evil_gateway", *context.args)


def run(module: str, *arguments: str, python: str = sys.executable) -> None:
    """Run a unit's command, showing its progress; exit with status 1 if it fails. Its own last line says why."""
    if subprocess.run([python, "-m", module, *arguments], check=False, stdout=subprocess.DEVNULL).returncode:
        raise typer.Exit(1)


def output(module: str, *arguments: str) -> str:
    """What a unit's command prints, in one line; exit with status 1 if it fails. Its own last line says why."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise typer.Exit(1)
    return done.stdout.strip()


def _pass_on(module: str, *arguments: str) -> None:
    raise typer.Exit(subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode)
