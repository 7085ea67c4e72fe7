"""An S3 of the tests' own: moto's server, as a process on the loopback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import httpx2

from tests.support.waiting import wait_until
from tests.support.wire import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "functions"


@dataclass
class S3:
    """The server; `environment` is what makes AWS's library use it."""

    url: str
    process: subprocess.Popen[bytes]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "canary-of-a-secret-key",
            "AWS_REGION": "eu-west-1",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        return boto3.client("s3", endpoint_url=self.url, region_name="eu-west-1", **keys)

    def kept(self) -> list[str]:
        """Of all objects and unfinished uploads."""
        client = self.client()
        objects = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        uploads = client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        return sorted(each["Key"] for each in (*objects, *uploads))


@contextlib.contextmanager
def running_s3() -> Iterator[S3]:
    """The server, with an empty bucket."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        found = S3(f"http://127.0.0.1:{port}", process)
        wait_until("S3 answers", lambda: _answers(found.url), seconds=60)
        where = {"LocationConstraint": "eu-west-1"}
        found.client().create_bucket(Bucket=BUCKET, CreateBucketConfiguration=where)
        yield found
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=5).status_code < 500
    except httpx2.HTTPError:
        return False
