"""Write the digests of images into Dockerfile and compose file: `python tools/pin_base_images.py [FILE…]`.

An exact tag can be moved; a digest cannot. Asks the registry for each `FROM name:tag` that has no digest yet (OCI
Distribution Specification 1.1, "Checking if content exists in the registry") and changes the line to
`FROM name:tag@sha256:…`; `image: name:tag` of a compose file likewise. It has to be run where the registry can be
reached.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Final

REGISTRY: Final = "https://registry-1.docker.io"
TOKENS: Final = "https://auth.docker.io/token?service=registry.docker.io&scope=repository:{name}:pull"
ACCEPT: Final = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json,"
    " application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
SECONDS: Final = 30

_IMAGE = re.compile(
    r"^(?P<before>FROM | +image: )(?P<name>[a-z0-9./_-]+):(?P<tag>[A-Za-z0-9._-]+)(?P<rest>(?: AS [a-z-]+)?)$",
    re.MULTILINE,
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_of(name: str, tag: str, *, registry: str, tokens: str | None) -> str:
    """The digest that the registry states for `name:tag`. Raises `OSError`, `ValueError` for an answer without one."""
    repository = name if "/" in name else f"library/{name}"
    headers = {"Accept": ACCEPT}
    if tokens is not None:
        with urllib.request.urlopen(tokens.format(name=urllib.parse.quote(repository)), timeout=SECONDS) as answer:
            headers["Authorization"] = f"Bearer {json.load(answer)['token']}"
    request = urllib.request.Request(f"{registry}/v2/{repository}/manifests/{tag}", headers=headers, method="HEAD")
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        digest = str(answer.headers.get("Docker-Content-Digest", ""))
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"the registry states no digest for {name}:{tag}")
    return digest


def main() -> int:
    """Pin every base image; nothing is written unless all could be resolved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", default=[Path("Dockerfile"), Path("docker-compose.yml")])
    parser.add_argument("--registry", default=REGISTRY, help="default %(default)s")
    parser.add_argument("--no-token", action="store_true", help="the registry asks for none")
    arguments = parser.parse_args()
    texts = {file: file.read_text(encoding="utf-8") for file in arguments.files}
    tokens = None if arguments.no_token else TOKENS

    def with_digest(found: re.Match[str]) -> str:
        digest = digest_of(found["name"], found["tag"], registry=arguments.registry, tokens=tokens)
        return f"{found['before']}{found['name']}:{found['tag']}@{digest}{found['rest']}"

    try:
        pinned = {file: _IMAGE.sub(with_digest, text) for file, text in texts.items()}
    except (OSError, ValueError, KeyError) as error:
        print(f"error: the digests could not be had: {error}", file=sys.stderr)
        print("next:  run this where the registry can be reached; the exact tags stay until then", file=sys.stderr)
        return 1
    if pinned == texts:
        print("every base image has its digest")
        return 0
    for file, text in pinned.items():
        file.write_text(text, encoding="utf-8")
        print("\n".join(line.strip() for line in text.splitlines() if "@sha256:" in line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
