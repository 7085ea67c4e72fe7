"""Storage of encrypted functions in a bucket of S3, or of a compatible service, that several gateways can share.

PREFIX/<function id>          a function
PREFIX/uploads/<random>       an upload that is complete and about to become a function

Only a gateway whose setting names a bucket imports this module: AWS's library takes a third of a second to import.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from blindsight.cape import ids
from blindsight.cape.constants import MAX_FUNCTION_BYTES
from blindsight.errors import CapeError
from gateway.cape.bundles import CHUNK_BYTES, MAX_BUNDLE_BYTES, ORPHAN_SECONDS, missing
from gateway.cape.unusable import StoreUnusable
from gateway.threads import Threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Set

_log = logging.getLogger("gateway.bundles")

SCHEME: Final = "s3://"
_PART_BYTES: Final = 8 * 1024 * 1024
"""A part has at least 5 MiB (Amazon S3 User Guide, "Multipart upload limits")."""
_ABANDONED: Final = timedelta(days=1)
"""Minimum age for aborting a multipart upload of a gateway that was killed."""
_GONE: Final = frozenset({"NoSuchKey", "404", "NotFound"})
_CONNECTIONS: Final = 32
_CONFIG: Final = Config(
    connect_timeout=5,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=_CONNECTIONS,
    # Of services that do not know the newer checksums; TLS protects the transport, and the enclave checks the function.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Upload:
    """A bundle during upload, created by `S3Bundles.receiving`. `size`: bytes so far."""

    def __init__(self, store: S3Bundles) -> None:
        self._store = store
        self._key = f"{store.prefix}uploads/{secrets.token_hex(16)}"
        # A cancelled caller leaves its thread running.
        self._lock = threading.Lock()
        self._held = bytearray()
        self._multipart: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._stored: str | None = None
        """The key that has it, once it is complete."""
        self._kept = False
        self._open = True
        self.size = 0

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`. Raises `CapeError` (`too_large`; `overloaded` if the service refuses)."""
        if self.size + len(chunk) > self._store.limit:
            raise CapeError("too_large", f"deployment exceeds size limit of {MAX_FUNCTION_BYTES} bytes")
        self.size += len(chunk)
        self._held += chunk
        if len(self._held) >= _PART_BYTES:
            await self._store.threads.run(self._send_part)

    def _send_part(self) -> None:
        with self._lock, _service():
            if not self._open:
                return
            if self._multipart is None:
                begun = self._store.client.create_multipart_upload(Bucket=self._store.bucket, Key=self._key)
                self._multipart = begun["UploadId"]
            body, self._held = bytes(self._held), bytearray()
            number = len(self._parts) + 1
            done = self._store.client.upload_part(**self._upload, PartNumber=number, Body=body)
            self._parts.append({"PartNumber": number, "ETag": done["ETag"]})

    @property
    def _upload(self) -> dict[str, Any]:
        return {"Bucket": self._store.bucket, "Key": self._key, "UploadId": self._multipart}

    async def keep(self, function_id: str) -> None:
        """Make this the bundle of `function_id`, durably. Raises `CapeError` (`overloaded` if the service refuses).

        Calling it again renames the bundle.
        """
        if not ids.is_id(function_id):
            raise ValueError("not a function's id")
        if self._multipart is not None and self._held:
            await self._store.threads.run(self._send_part)
        await self._store.threads.run(self._keep, self._store.prefix + function_id)

    def _keep(self, key: str) -> None:
        client, bucket = self._store.client, self._store.bucket
        with self._lock, _service():
            if not self._open:
                return
            if self._stored is None and self._multipart is None:
                client.put_object(Bucket=bucket, Key=key, Body=bytes(self._held))
            else:
                if self._stored is None:
                    client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": self._parts})
                    self._multipart, self._stored = None, self._key
                client.copy_object(Bucket=bucket, Key=key, CopySource={"Bucket": bucket, "Key": self._stored})
                client.delete_object(Bucket=bucket, Key=self._stored)
            self._stored, self._kept = key, True

    def close(self) -> None:
        """End the upload, in a thread; removes what was sent unless it was kept."""
        with self._lock, _service():
            self._open = False
            if self._multipart is not None:
                self._store.client.abort_multipart_upload(**self._upload)
            elif self._stored is not None and not self._kept:
                self._store.client.delete_object(Bucket=self._store.bucket, Key=self._stored)


class S3Bundles:
    """The bucket of bundles: the same methods as `gateway.cape.bundles.Bundles`. Requests have their own threads."""

    def __init__(self, url: str, *, limit: int = MAX_BUNDLE_BYTES) -> None:
        """`url`: `s3://BUCKET` or `s3://BUCKET/PREFIX`. `limit`: maximum size of a bundle, bytes.

        Credentials, region and endpoint are those of AWS's library: `AWS_ACCESS_KEY_ID`, `AWS_REGION`,
        `AWS_ENDPOINT_URL_S3` and so on, or the role of the instance or pod. Raises `StoreUnusable`.
        """
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self.limit = limit
        self.threads = Threads("bundles", _CONNECTIONS)
        try:
            self.client: Any = boto3.client("s3", config=_CONFIG)
        except (BotoCoreError, ValueError) as error:
            raise StoreUnusable(f"the bucket of bundles cannot be used: {type(error).__name__}") from error

    @contextlib.asynccontextmanager
    async def receiving(self) -> AsyncIterator[S3Upload]:
        """An upload, which is removed unless `keep` is called within the block."""
        upload = S3Upload(self)
        try:
            yield upload
        finally:
            # Shielded: a second cancellation must not leave what was sent behind.
            with contextlib.suppress(CapeError):
                await asyncio.shield(self.threads.run(upload.close))

    async def chunks(self, function_id: str) -> AsyncIterator[bytes]:
        """The bundle in pieces of a mebibyte. Raises `CapeError` (`unknown_function`; `overloaded`)."""
        if not ids.is_id(function_id):
            raise missing()
        body = await self.threads.run(self._get, self.prefix + function_id)
        try:
            while chunk := await self.threads.run(_read, body):
                yield chunk
        finally:
            # In a thread: closing waits for a read that a cancelled caller left in another one.
            await asyncio.shield(self.threads.run(body.close))

    def _get(self, key: str) -> Any:  # noqa: ANN401 -- botocore's stream
        with _service():
            return self.client.get_object(Bucket=self.bucket, Key=key)["Body"]

    async def delete(self, function_id: str) -> None:
        """Remove a bundle, if it exists."""
        if ids.is_id(function_id):
            await self.threads.run(self._delete, self.prefix + function_id)

    def _delete(self, key: str) -> None:
        with _service():
            self.client.delete_object(Bucket=self.bucket, Key=key)

    def sizes(self) -> dict[str, int]:
        """The sizes of all that is under the prefix, by name, except uploads. Raises `CapeError` (`overloaded`)."""
        found = {}
        with _service():
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix):
                for each in page.get("Contents", ()):
                    name = each["Key"].removeprefix(self.prefix)
                    if not name.startswith("uploads/"):
                        found[name] = each["Size"]
        return found

    async def sweep(self, known_ids: Set[str]) -> int:
        """Remove what a crash left, after an hour: uploads, and bundles without a function. Returns their number.

        Read `known_ids` before the call. If the service cannot be reached, this is logged, and nothing is removed.
        """
        try:
            return await self.threads.run(self._sweep, known_ids)
        except CapeError:
            return 0

    def _sweep(self, known_ids: Set[str]) -> int:
        removed = 0
        now = datetime.now(UTC)
        with _service():
            where = {"Bucket": self.bucket, "Prefix": self.prefix}
            for page in self.client.get_paginator("list_objects_v2").paginate(**where):
                for found in page.get("Contents", ()):
                    name = found["Key"].removeprefix(self.prefix)
                    ours = name.startswith("uploads/") or (ids.is_id(name) and name not in known_ids)
                    if ours and now - found["LastModified"] > timedelta(seconds=ORPHAN_SECONDS):
                        self.client.delete_object(Bucket=self.bucket, Key=found["Key"])
                        removed += 1
            for page in self.client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self.bucket, Prefix=f"{self.prefix}uploads/"
            ):
                for found in page.get("Uploads", ()):
                    if now - found["Initiated"] > _ABANDONED:
                        upload = {"Key": found["Key"], "UploadId": found["UploadId"]}
                        self.client.abort_multipart_upload(Bucket=self.bucket, **upload)
                        removed += 1
        return removed


def _read(body: Any) -> bytes:  # noqa: ANN401 -- botocore's stream
    with _service():
        chunk: bytes = body.read(CHUNK_BYTES)
        return chunk


@contextlib.contextmanager
def _service() -> Iterator[None]:
    """Convert errors of the service to `CapeError`."""
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code in _GONE:
            raise missing() from error
        _log.error("bundle store failed", extra={"exception": "ClientError", "reason": code})
        raise _unusable() from error
    except (BotoCoreError, OSError) as error:
        # Among them urllib3's, when a connection ends within a body.
        _log.error("bundle store failed", extra={"exception": type(error).__name__})
        raise _unusable() from error


def _unusable() -> CapeError:
    return CapeError("overloaded", "the service cannot store or read the function now")
