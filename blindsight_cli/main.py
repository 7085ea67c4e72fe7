"""The commands and their help texts."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

import blindsight
from blindsight import interrupt
from blindsight_cli import (
    attest,
    backup,
    classify,
    doctor,
    eif,
    kms,
    localtrust,
    modelpath,
    policies,
    receipt,
    release,
    tls,
    units,
    up,
)
from blindsight_cli.console import err
from blindsight_cli.hardware import command as hardware


class _Interruptible(TyperGroup):
    """Ctrl-C in any command: one line, and the shell's exit status for it."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 -- typer has a click of its own
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            err.print("error: interrupted.", style="red")
            raise typer.Exit(interrupt.EXIT_STATUS) from None


app = typer.Typer(
    cls=_Interruptible,
    name="blindsight",
    help="Confidential image classification: a photo in, an attested top-5 out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("up")(up.up)
app.command("classify")(classify.classify)
app.add_typer(attest.app, name="attest")
app.add_typer(receipt.app, name="receipt")
app.add_typer(eif.app, name="eif")
app.add_typer(kms.app, name="kms")
app.add_typer(policies.app, name="policy")
app.command("doctor")(doctor.doctor)
app.add_typer(hardware.app, name="hardware-report")
app.command("tls")(tls.tls)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("forget-accounts")(backup.forget_accounts)

app.command("with-local-trust", context_settings={"allow_interspersed_args": False})(localtrust.with_local_trust)

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
model = typer.Typer(help="Build and check the model (the unit model_build).", no_args_is_help=True)
model.command("build", context_settings=_PASS_ON, help="Build the model directory; see --help.")(units.model_build)
model.command("quantise", context_settings=_PASS_ON, help="Write a model's int8 variant; see --help.")(
    units.model_quantise
)
model.command("check", context_settings=_PASS_ON, help="Check a model directory; see --help.")(units.model_check)
app.add_typer(model, name="model")
bundle = typer.Typer(help="Build, inspect, encrypt function bundles (the unit enclave_function).", no_args_is_help=True)
bundle.command(
    "build", context_settings=_PASS_ON, help="Build a bundle of a model; see --help, and docs/models.md for ONNX files."
)(modelpath.bundle_build)
bundle.command("inspect", context_settings=_PASS_ON, help="Show what is in a bundle; see --help.")(units.bundle_inspect)
bundle.command("encrypt", context_settings=_PASS_ON, help="Encrypt a bundle whose model is secret; see --help.")(
    units.bundle_encrypt
)
app.add_typer(bundle, name="bundle")
release.app.command(
    "make", context_settings=_PASS_ON, help="Make a release and its release file (the unit release_build); see --help."
)(modelpath.release_make)
app.add_typer(release.app, name="release")
demo = typer.Typer(help="Demonstrations.", no_args_is_help=True)
demo.callback()(lambda: None)
demo.command(
    "evil-gateway",
    context_settings=_PASS_ON,
    help="A hostile gateway plays its tricks on the client, which refuses them; see --help.",
)(units.evil_gateway)
app.add_typer(demo, name="demo")


@app.callback(invoke_without_command=True)
def version(
    context: typer.Context,
    show: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Confidential image classification: a photo in, an attested top-5 out."""
    if show:
        typer.echo(blindsight.__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run() -> None:
    """The entry point of the `blindsight` script."""
    app()


if __name__ == "__main__":
    run()
