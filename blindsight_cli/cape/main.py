"""The commands, their flags and their help; the entry point of `cape`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from blindsight.errors import BlindsightError
from blindsight_cli.cape import accounts, functions, keys, local, records, untrusted
from blindsight_cli.cape.console import CliError, fail, log, out_bytes
from blindsight_cli.cape.context import Context
from blindsight_cli.cape.flags import Command, Flag, Parsed, UsageError, parse, usage
from blindsight_cli.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN = Flag("token", "authorization token to use instead of the login's", "t")
_PCR = Flag("pcr", "expected PCR, NUMBER:HEX, several for any of them", "p", kind="strings")
_OWNER = Flag("owner", "fingerprint of the account's owner, SHA256:…, instead of the one that was seen first")
_FILE = Flag("file", "input data file, - for standard input", "f")

ROOT: Final = Command(
    "cape",
    "Cape: run functions that only an attested enclave can read",
    flags=(
        Flag("config", "presets file", "c"),
        Flag("url", "the Cape host", "u"),
        Flag("root", "trusted root certificate in PEM, instead of AWS's"),
        Flag("insecure", "accept any TLS certificate", kind="bool"),
        Flag("proxy", "proxy to other machines, or env for that of HTTPS_PROXY; by default none (BLINDSIGHT_PROXY)"),
        Flag("verbose", "say more when something fails", "v", "bool"),
        Flag("output", "output format, plain or json", "o", default="plain"),
    ),
    commands=(
        Command("config", "Configure the command line", local.config, "[KEY VALUE]"),
        Command("delete", "Delete a deployed function", records.delete, "ID", (_TOKEN,)),
        Command(
            "deploy",
            "Deploy a function",
            functions.deploy,
            "DIRECTORY|ZIP",
            (
                _TOKEN,
                Flag("name", "name of the function, by default its directory's", "n"),
                _OWNER,
                _PCR,
                Flag("public", "let every account run it", kind="bool"),
            ),
        ),
        Command(
            "encrypt",
            "Encrypt a value for a user's functions",
            keys.encrypt,
            "[DATA]",
            (_FILE, Flag("username", "whose functions can read it, by default your own"), _OWNER, _PCR),
        ),
        Command(
            "function",
            "Work with functions",
            commands=(
                Command(
                    "create",
                    "Start a new function",
                    local.function_create,
                    "NAME",
                    (Flag("location", "where to put its directory", "l", default="."),),
                ),
            ),
        ),
        Command("get-pcrs", "Show what the host's enclave measures", keys.get_pcrs, "", (_TOKEN, _PCR)),
        Command("key", "Show the Cape Key", keys.key, "", (_TOKEN, _OWNER, _PCR)),
        Command(
            "list",
            "List the deployed functions",
            records.list_functions,
            "",
            (
                _TOKEN,
                Flag("limit", "how many", kind="int", default=50),
                Flag("offset", "after how many", kind="int", default=0),
            ),
        ),
        Command(
            "login",
            "Log in with the owner key, or through a machine that has it",
            accounts.login,
            "",
            (
                Flag("username", "the account, by default that of the last login or approval"),
                Flag("yes", "ask no question: take any account, or let any machine in", "y", "bool"),
                Flag("approve", "let the machine that shows this code in"),
                Flag("deny", "turn the machine that shows this code away"),
                _OWNER,
            ),
        ),
        Command(
            "run",
            "Run a deployed function with data",
            functions.run,
            "ID|USER/NAME [DATA]",
            (
                _TOKEN,
                _FILE,
                Flag("function-checksum", "expected SHA-256 of the function, in hexadecimal"),
                Flag("key-policy-checksum", "expected SHA-256 of the key policy, in hexadecimal"),
                _PCR,
            ),
        ),
        Command(
            "signup",
            "Make an account with an owner key on this machine",
            accounts.signup,
            "NAME",
            (Flag("api-token", "API token of the host, if it asks for one (BLINDSIGHT_API_TOKEN)"),),
        ),
        Command("test", "Run a function that is not deployed", functions.test, "DIRECTORY|ZIP [DATA]",
                (_TOKEN, _FILE, _PCR)),
        Command(
            "token",
            "Create, list and delete tokens that run functions",
            commands=(
                Command(
                    "create",
                    "Create a token",
                    records.token_create,
                    "",
                    (
                        Flag("name", "name of the token (required)", "n"),
                        Flag("description", "what it is for", "d"),
                        Flag("expiry", "how long it is good for: 1h30m, 300s, or seconds; for ever if left out", "e"),
                        Flag("function", "the only function that it runs, by ID", "f"),
                        Flag("bare", "print nothing but the token", kind="bool"),
                        _TOKEN,
                    ),
                ),
                Command("delete", "Delete a token", records.token_delete, "ID", (_TOKEN,)),
                Command("list", "List the tokens", records.token_list, "", (_TOKEN,)),
            ),
        ),
        Command("version", "Print the version", local.version),
    ),
)  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """Run one command line, without the program's name, and return its exit status: 0, or 1 after printing an error.

    Does not raise `CliError` or `BlindsightError`.
    """
    words = list(argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        parsed = parse(ROOT, words)
    except UsageError as error:
        fail(str(error))
        log(usage(error.path))
        return 1
    run_command = parsed.command.run
    if parsed.wants_help or run_command is None:
        out_bytes(f"{parsed.command.summary}\n\n{usage(parsed.path)}".encode())
        return 0
    context = Context(parsed.values, parsed.arguments)
    try:
        if parsed.values["output"] not in {"plain", "json"}:
            raise CliError(f"unknown output option: {parsed.values['output']}")
        run_command(context)
    except (CliError, BlindsightError) as error:
        _report(error, parsed, untrusted.advice(error, context))
        return 1
    return 0


def _report(error: CliError | BlindsightError, parsed: Parsed, advice: str) -> None:
    fail(f"{error}{advice}")
    if isinstance(error, CliError) and error.step:
        log(printable(error.step))
    if isinstance(error, CliError) and error.usage:
        log(usage(parsed.path))
    known = error if isinstance(error, BlindsightError) else error.__cause__
    if parsed.values["verbose"] and isinstance(known, BlindsightError):
        log(f"{known.code}: {known.next_step}")


def run() -> None:
    """The entry point of the `cape` script."""
    try:
        status = main(sys.argv[1:])
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # The reader of our output has seen enough. What is left of it must not fail again when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


if __name__ == "__main__":
    run()
