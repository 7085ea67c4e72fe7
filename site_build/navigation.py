"""The sections of the site, and the page on which each document lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from site_build.errors import SiteError

START: Final = "index.md"
QUICK_START: Final = "quick-start.md"


@dataclass(frozen=True)
class Section:
    """Pages under one heading; `summary` is shown on the start page. `pages` are paths below the site's root."""

    title: str
    summary: str
    pages: tuple[str, ...]


SECTIONS: Final = (
    Section("Quick start", "Start a stack on one machine, and classify a first photo.", (QUICK_START,)),
    Section(
        "Guides",
        "Clients in your app, models, policies, verification, and scripts written for Cape's service.",
        (
            "docs/from-an-app.md",
            "clients/js/README.md",
            "docs/requests.md",
            "docs/photos.md",
            "docs/models.md",
            "docs/precision.md",
            "docs/policy.md",
            "docs/verify-it-yourself.md",
            "docs/cape.md",
            "docs/cape-compatibility.md",
            "examples/README.md",
        ),
    ),
    Section(
        "Reference",
        "The HTTP API, the clients' classes, every command with its options, and all settings.",
        (
            "reference/http.md",
            "reference/python.rst",
            "reference/javascript.md",
            "reference/commands.md",
            "docs/settings.md",
        ),
    ),
    Section(
        "Operations",
        "Running gateways and enclaves: containers, Kubernetes, AWS, monitoring, releases.",
        (
            "docs/operations.md",
            "docs/several.md",
            "docs/day-two.md",
            "docs/planning.md",
            "docs/monitoring.md",
            "docs/kubernetes.md",
            "docs/deploy-nitro.md",
            "docs/kms.md",
            "docs/enclave-image.md",
            "docs/eif.md",
            "docs/release-file.md",
            "docs/hardware.md",
            "docs/silence.md",
        ),
    ),
    Section(
        "Security",
        "Attackers and defences, the protocol, and how verifiers are tested.",
        (
            "docs/threat-model.md",
            "docs/protocol.md",
            "docs/conformance.md",
            "vectors/attestation/README.md",
            "docs/fuzzing.md",
            "SECURITY.md",
        ),
    ),
    Section(
        "Performance", "Throughput and latency, compared with services without encryption.", ("docs/performance.md",)
    ),
    Section(
        "Project",
        "Architecture, decisions, changes, and how to contribute.",
        (
            "docs/architecture.md",
            "docs/adr/README.md",
            "CONTRIBUTING.md",
            "docs/releasing.md",
            "docs/site.md",
            "CHANGELOG.md",
        ),
    ),
)

TITLES: Final = {"clients/js/README.md": "The package blindsight-client", "examples/README.md": "Cape's example"}
"""Names in the navigation, for pages whose heading says too little there."""

CHILDREN: Final = {"docs/adr/README.md": "docs/adr/0", "reference/commands.md": "reference/commands/"}
"""Pages that list others, and how the paths of those begin."""


def listed() -> frozenset[str]:
    """The pages of all sections."""
    return frozenset(page for section in SECTIONS for page in section.pages)


def require_place(page: str) -> None:
    """Raise `SiteError` if no section leads to `page`."""
    if page not in listed() and not page.startswith(tuple(CHILDREN.values())):
        raise SiteError(f"{page} is in no section of the site: add it to site_build/navigation.py")
