"""The Cape host in the enclave: answers requests about accounts and opens sessions."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from blindsight.cape import envelope, ids, messages
from blindsight.cape.constants import RESULT_KEY_BITS
from blindsight.errors import CapeError, TransportError
from enclave_runtime import threads
from enclave_runtime.cape import accounts
from enclave_runtime.cape.accounts import Account, AccountVault, FunctionEntry
from enclave_runtime.cape.grant import ClassifierGrant
from enclave_runtime.cape.loaded import LoadedFunctions
from enclave_runtime.cape.process import HandlerLimits, HandlerProcess
from enclave_runtime.cape.quota import Quota
from enclave_runtime.cape.spares import Spares

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blindsight.cape.tokens import Token
    from enclave_runtime.cape.functions import BundleReader, LoadedFunction
    from enclave_runtime.cape.rootsecret import RootSecret
    from enclave_runtime.confinement.warden import Warden
    from enclave_runtime.evidence.producer import EvidenceProducer

_KEY_NONCE_BYTES = 16

PYTHON: Final = EXTENSION_SUFFIXES[0].strip(".").removesuffix(".so")
"""The interpreter of functions, as compiled modules are tagged for it (SOABI, PEP 3149): cpython-311-x86_64-linux-
gnu."""


class OwnerKeys:
    """The operations of a function with its owner's Cape Key: only Cape's in-function encryption."""

    def __init__(self, vault: AccountVault, owner: Account) -> None:
        self._key = vault.cape_key(owner)

    def encrypt(self, plaintext: memoryview) -> Iterable[bytes]:
        return envelope.encrypt_pieces(self._key.public_key(), plaintext)

    def decrypt(self, value: memoryview) -> Iterable[bytes]:
        return envelope.decrypt_pieces(self._key, value)


class NoKeys:
    """For code that its owner has not deployed: both methods raise `CapeError` (`forbidden`)."""

    def encrypt(self, plaintext: memoryview) -> Iterable[bytes]:  # noqa: ARG002 -- as `OwnerKeys`
        raise CapeError("forbidden", "this function may not use an account's key")

    def decrypt(self, value: memoryview) -> Iterable[bytes]:  # noqa: ARG002 -- as `OwnerKeys`
        raise CapeError("forbidden", "this function may not use an account's key")


@dataclass(frozen=True)
class SharedLimits:
    """Limits for all accounts together. One account can use a quarter of the sessions and inputs, and half of the
    bundles.
    """

    sessions: int = 1024
    bundle_bytes: int = 4_000_000_000
    """Memory for functions: received, unpacked, and copied for their processes. The largest function takes half of
    it."""
    input_bytes: int = 2_000_000_000
    """Memory for inputs of more than a megabyte, and for their results."""


class CapeHost:
    """Accounts, loaded functions and their processes; one instance for the runtime's lifetime."""

    def __init__(
        self,
        root: RootSecret,
        producer: EvidenceProducer,
        warden: Warden,
        limits: HandlerLimits,
        *,
        classifier_checksum: bytes,
        shared: SharedLimits | None = None,
    ) -> None:
        shared = shared or SharedLimits()
        self.vault = AccountVault(root, self._seen)
        self._grant = ClassifierGrant(classifier_checksum, self.vault.cape_key)
        self.producer = producer
        self.spares = Spares()
        self.sessions = Quota("connections", total=shared.sessions, each=shared.sessions // 4)
        self.bundles = Quota("bytes of functions", total=shared.bundle_bytes, each=shared.bundle_bytes // 2)
        self.inputs = Quota("bytes of inputs", total=shared.input_bytes, each=shared.input_bytes // 4)
        self.functions = LoadedFunctions(self.bundles, self.spares.drop)
        self.result_key = rsa.generate_private_key(65537, RESULT_KEY_BITS)
        self._warden = warden
        self._limits = limits

    async def aclose(self) -> None:
        """End the spare processes and delete the functions."""
        await self.functions.close()
        await self.spares.close()

    async def call(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Answer a CAPE_CALL. Raises `CapeError`, and `TransportError` for invalid fields."""
        match fields:
            case {
                "op": "create_account",
                "username": str() as username,
                "owner_public_key": bytes() as owner,
                "proof": str() as proof,
            }:
                self.vault.check_new(username, owner)
                account = await threads.KEYS.run(accounts.create, username, owner, proof)
                return {"record": self.vault.seal(account)}
            case {"op": "user_key", "record": bytes() as record}:
                return {"document": self.key_document(self.vault.open(record), None)}
            case {
                "op": "add_function",
                "record": bytes() as record,
                "token": str() as token,
            }:
                return self._add_function(self.vault.open(record), token)
            case {
                "op": "delete_function",
                "record": bytes() as record,
                "token": str() as token,
                "function_id": str() as function_id,
            }:
                account = self._account(record, token)
                return {"record": self.vault.seal(account.without_function(function_id))}
            case {
                "op": "revoke_token",
                "record": bytes() as record,
                "token": str() as token,
                "token_id": str() as token_id,
                "expires": int() | None as expires,
            }:
                account = self._account(record, token)
                return {"record": self.vault.seal(account.with_revoked(token_id, expires, now=time.time()))}
            case {"op": "commit", "record": bytes() as record}:
                self.vault.commit(record)
                return {}
            case {"op": "grant", "record": bytes() as record, "token": str() as token}:
                self._grant.give(self.vault.open(record), token)
                return {}
        raise TransportError("bad_frame", "This is not a question about an account.")

    def _seen(self, account: Account) -> None:
        self._grant.seen(account)

    def open_classifier_input(self, value: bytes | memoryview) -> bytes:
        """Decrypt a `cape:` value for the classifier, if the account's owner has granted it. Raises `CapeError`."""
        return self._grant.open(value)

    def run_document(self, key: bytes, checksum: bytes | None, nonce: bytes) -> bytes:
        """Evidence for a client of a function (`checksum`, if known) whose inputs are encrypted to `key`."""
        user_data: dict[str, bytes | str] = {} if checksum is None else {"func_checksum": checksum}
        user_data["python"] = PYTHON
        user_data["signature_verification_public_key"] = messages.pkcs1(self.result_key.public_key())
        user_data["result_binding"] = messages.RESULT_BINDING
        return self._attest(key, user_data, nonce)

    def key_document(self, account: Account, nonce: bytes | None) -> bytes:
        """Evidence for the account's Cape Key and its owner's key; with a random nonce if the caller gave none."""
        public_key = self.vault.cape_key(account).public_key()
        user_data: dict[str, bytes | str] = {
            "key": public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
            "username": account.username,
            "owner": account.owner_public_key,
            "python": PYTHON,
        }
        unused = X25519PrivateKey.generate().public_key().public_bytes_raw()  # No client takes a document without one.
        return self._attest(unused, user_data, secrets.token_bytes(_KEY_NONCE_BYTES) if nonce is None else nonce)

    def _attest(self, key: bytes, user_data: dict[str, bytes | str], nonce: bytes) -> bytes:
        return self.producer.attest(nonce=nonce, user_data=messages.user_data(user_data), public_key=key)

    def check_bundle(self, token: Token, reader: BundleReader) -> dict[str, Any]:
        """The claims of a verified deploy token that match the bundle of `reader`. Raises `CapeError`."""
        checksum, name, public = token.deploy
        if reader.finish() != checksum:
            raise CapeError("checksum_mismatch", "the bundle is not the one that the token allows")
        accounts.check_function_name(name)
        reader.check()
        return {"name": name, "public": public, "checksum": checksum}

    def _add_function(self, account: Account, token: str) -> dict[str, Any]:
        """Relies on the owner's signature: a host that stores another bundle has one that cannot be run."""
        verified = account.verify(token, "deploy")
        checksum, name, public = verified.deploy
        accounts.check_function_name(name)
        function_id = ids.new()
        entry = FunctionEntry(name, checksum, public)
        changed = account.with_function(function_id, entry, verified, now=time.time())
        return {"id": function_id, "record": self.vault.seal(changed)}

    async def process(self, function: LoadedFunction, owner: Account) -> HandlerProcess:
        """A new process of `owner`'s function. Raises `CapeError`."""
        keys = OwnerKeys(self.vault, owner)
        return await self.spares.take(function.code, lambda: self._start(function.code, keys))

    async def test_process(self, function: LoadedFunction, owner: Account | None) -> HandlerProcess:
        """A process of code that is not deployed; without any account's keys unless `owner` allowed it.

        Only without keys it returns a traceback: otherwise a party with the token and another user's ciphertext could
        read it.
        """
        if owner is None:
            return await self._start(function.code, NoKeys(), explain=True)
        return await self._start(function.code, OwnerKeys(self.vault, owner))

    async def _start(self, code: Path, keys: OwnerKeys | NoKeys, *, explain: bool = False) -> HandlerProcess:
        return await HandlerProcess.start(code, warden=self._warden, limits=self._limits, rpc=keys, explain=explain)

    def _account(self, record: bytes, token: str) -> Account:
        account = self.vault.open(record)
        account.verify(token, "account")
        return account
