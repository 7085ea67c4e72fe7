"""Errors about release files and enclave images."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class ReleaseError(BlindsightError):
    """A release file is invalid, or an artifact differs from the released one. Not retryable with the same files."""

    NEXT_STEPS = MappingProxyType(
        {
            "unreadable_release": "Check the path, and fetch the release file again, whole.",
            "not_a_release": "Give the release file of a release of Blindsight: an in-toto statement, or its envelope.",
            "unsupported_release": "Install the newest `blindsight`: the release file is of a later format.",
            "invalid_release": "Ask the release's maker for an intact release file; this one was edited or is damaged.",
            "unreleased_artifact": "Check that artifact and release file are of one release; do not use the artifact.",
            "digest_mismatch": "Do not use the artifact: fetch it again from the release's maker.",
            "measurement_mismatch": "Do not use the release: its measurements differ from those stated. Ask its maker.",
            "unreadable_artifact": "Check the path of the artifact that is to be compared.",
            "no_policy": "Ask the release's maker for a policy; this release file contains none.",
            "signature_missing": "Ask for the signed envelope of the release file, or leave --key out.",
            "signature_invalid": "Do not use the release file: the owner of this key did not sign it.",
            "unreadable_key": "Check the path of --key.",
            "unusable_key": "Give an Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` makes it.",
        }
    )


_NOT_AN_IMAGE = (
    "Fetch or build the image again; if the error persists, do not use it. docs/eif.md describes the format."
)
_NOT_SIGNED_SO = "Do not start this image; ask its publisher, or sign it again with `blindsight eif sign`."


class EifError(BlindsightError):
    """An enclave image file is malformed, or cannot be created. Not retryable with the same file."""

    NEXT_STEPS = MappingProxyType(
        {
            "not_an_image": "Give an enclave image file (.eif), as nitro-cli or `blindsight eif build` writes it.",
            "unsupported_version": "Build the image again with nitro-cli 1.2 or later: version 4 is the one in use.",
            **dict.fromkeys(
                (
                    "image_truncated",
                    "bytes_after_image",
                    "reserved_bits",
                    "section_count",
                    "section_table",
                    "unknown_section",
                    "missing_section",
                    "duplicate_section",
                    "section_order",
                    "empty_section",
                    "section_too_large",
                    "malformed_cmdline",
                    "malformed_metadata",
                    "crc_mismatch",
                ),
                _NOT_AN_IMAGE,
            ),
            **dict.fromkeys(
                (
                    "malformed_signature",
                    "signing_certificate_invalid",
                    "signing_certificate_expired",
                    "signature_mismatch",
                    "signed_register_mismatch",
                ),
                _NOT_SIGNED_SO,
            ),
            "signing_key_unusable": "Sign with a P-384 key in PEM and the certificate of that key, as AWS describes.",
            "malformed_ramdisk": "Look into the ramdisk with cpio; only newc archives, plain or gzipped, are listed.",
            "unsafe_name": "Do not unpack this ramdisk: it names files outside of its root.",
            "ramdisk_too_large": "The ramdisk is too large to list; its measurements are valid nevertheless.",
            "invalid_entry": "Correct the named entry of the ramdisk.",
            "changed_while_read": "Let no other program write the file, then try again.",
            "function_missing": "Give --function-checksum and --model-sha256, which `blindsight bundle inspect` shows.",
        }
    )
