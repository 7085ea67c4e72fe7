"""`python -m gateway serve` serves; `token` creates API tokens, `revoke` removes them; `audit verify` checks the audit
log; `backup`, `restore`, `database` and `forget-accounts` are about the Cape host's store; `boot-config` and `forward`
serve an enclave on this host.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from blindsight import interrupt
from blindsight.arguments import a_path
from blindsight.errors import AddressError, KmsError
from blindsight.wire.address import Address
from gateway import bootconfig, forward, log, tokens
from gateway.audit import verify
from gateway.audit.verify import BrokenTrail
from gateway.bootconfig import BootConfigServer
from gateway.tokens import BadTokenFile


def main() -> int:
    """Run one command. Errors are one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="serve until SIGTERM (the default); settings come from the environment")
    command = commands.add_parser("token", help="make an API token, print it once and store its hash")
    command.add_argument("name", help="what to call it")
    command.add_argument("--file", type=a_path, required=True, help="the file that BLINDSIGHT_TOKENS_FILE names")
    command = commands.add_parser("revoke", help="remove an API token from its file; a running gateway follows")
    command.add_argument("name", help="what it is called")
    command.add_argument("--file", type=a_path, required=True, help="the file that BLINDSIGHT_TOKENS_FILE names")
    command = commands.add_parser("audit", help="look at the file that BLINDSIGHT_AUDIT_LOG names")
    command = command.add_subparsers(required=True).add_parser("verify", help="check that no line was changed")
    command.add_argument("file", type=a_path, nargs="+", help="the files, oldest first")
    command.add_argument("--expect", metavar="SHA256", help="the digest of a line that has to be there")
    _add_store_commands(commands)
    command = commands.add_parser("boot-config", help="give an enclave what it needs to ask AWS KMS: docs/kms.md")
    command.add_argument("--listen", required=True, metavar="URL", help="where its enclave asks: vsock://-1:9001")
    command.add_argument("--file", type=a_path, required=True, help="the ciphertexts, as JSON")
    command.add_argument("--bundle", type=a_path, help="the encrypted bundle, if the image has none")
    forward.add_options(commands.add_parser("forward", help="carry an enclave's connections to one destination"))
    arguments = parser.parse_args()
    try:
        if arguments.command in {"token", "revoke"}:
            return _tokens(arguments)
        if arguments.command == "audit":
            print("\n".join(verify.report(arguments.file, wanted=arguments.expect)))
            return 0
        if arguments.command == "boot-config":
            log.configure()
            return asyncio.run(_boot_config(arguments))
        if arguments.command == "forward":
            log.configure()
            return asyncio.run(forward.run(arguments))
        if arguments.command in {"backup", "restore", "database", "forget-accounts"}:
            return _store(arguments)
        return _serve()
    except KeyboardInterrupt:
        _fail("interrupted")
        return interrupt.EXIT_STATUS
    except OSError as error:
        what = f"{error.filename} cannot be used: {error.strerror}." if error.filename else f"{error}."
        return _fail(f"{what} Check the path and this user's rights.")
    except (AddressError, KmsError, BadTokenFile, BrokenTrail) as error:
        return _fail(f"{error} {getattr(error, 'next_step', '')}".strip())


def _tokens(arguments: argparse.Namespace) -> int:
    from gateway.audit import command  # noqa: PLC0415 -- with pydantic, which an enclave's forwarders do not need
    from gateway.audit.log import AuditUnusable  # noqa: PLC0415 -- as above

    log.configure()  # For an entry of the audit log that cannot be written.
    logging.getLogger().setLevel(logging.WARNING)
    try:
        audit = command.opened()
    except AuditUnusable as error:
        return _fail(str(error))
    if arguments.command == "token":
        print(tokens.create(arguments.name, arguments.file), flush=True)
    else:
        tokens.revoke(arguments.name, arguments.file)
    command.note(audit, "token.added" if arguments.command == "token" else "token.revoked", arguments.name)
    return 0


def _add_store_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    help_text = "write accounts, functions and tokens of the running Cape host to one file: docs/day-two.md"
    command = commands.add_parser("backup", help=help_text)
    command.add_argument("--out", type=a_path, required=True, help="the archive to write, with mode 0600")
    command = commands.add_parser("restore", help="restore an archive of `backup` into an empty store")
    command.add_argument("archive", type=a_path, help="the archive")
    command.add_argument("--sha256", metavar="HEX", help="refuse any other archive")
    command = commands.add_parser("forget-accounts", help="delete accounts with their functions and tokens")
    command.add_argument("name", nargs="*", help="the accounts; none: all, such as those whose root secret is lost")
    command.add_argument("--yes", action="store_true", help="do so; without it only their number is printed")
    command = commands.add_parser("database", help="the schema of the Cape host's database")
    actions = command.add_subparsers(dest="action", required=True)
    actions.add_parser("current", help="print the schema's revision")
    actions.add_parser("upgrade", help="take it to this release's, as the gateway does at its start")
    action = actions.add_parser("downgrade", help="take it back, before an older release is started")
    action.add_argument("revision", help="the revision that the older release knows, such as 0002")


async def _boot_config(arguments: argparse.Namespace) -> int:
    return await bootconfig.serve(Address.parse(arguments.listen), BootConfigServer(arguments.file, arguments.bundle))


def _serve() -> int:
    from gateway.start import CannotStart, start  # noqa: PLC0415 -- 70 MB, which an enclave's forwarders do not need

    log.configure()  # After what libraries say as they are loaded.
    try:
        return start()
    except CannotStart as error:
        return _fail(str(error))


def _store(arguments: argparse.Namespace) -> int:
    from gateway.start import CannotStart, about_the_store  # noqa: PLC0415 -- as above

    log.configure()
    try:
        return about_the_store(arguments)
    except CannotStart as error:
        return _fail(str(error))


def _fail(message: str) -> int:
    print(f"gateway: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
