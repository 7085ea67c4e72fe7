"""Errors of an enclave that cannot attest or cannot get a secret."""

from __future__ import annotations

from types import MappingProxyType

from blindsight.errors.base import BlindsightError


class ProducerError(BlindsightError):
    """The enclave cannot attest. Not retryable: the request or the machine has to change."""

    NEXT_STEPS = MappingProxyType(
        {
            "attestation_input_too_large": "Send at most 512 bytes of nonce, and 1024 of user data and public key.",
            "invalid_pcr": "Use PCR indexes 0 to 31 and 48-byte values.",
            "pcr_locked": "Extend PCRs 16 to 31 before they are locked.",
            "state_unusable": "Give the enclave a state folder of its own; remove a damaged file to make a new root.",
            "root_secret_unusable": "Correct its mode or owner. Move a damaged one away, and restore it with"
            " `blindsight restore --secrets FILE`: with a new one no account can be used.",
            "distribution_missing": "Install the package with its 'enclave' extra.",
            "simulator_absent": "Use --evidence nsm in an enclave image; simulated evidence takes the source tree.",
            "nsm_missing": "Run it in a Nitro enclave, with the nsm driver loaded; elsewhere use --evidence simulated.",
            "nsm_refused": "Report this message: the runtime only sends requests that the device supports.",
            "nsm_failed": "Restart the enclave; if the error persists, look for the driver's messages in its console.",
            "nsm_answer": "Report this message and the platform's version: the answer has an unknown form.",
            "pcr_used": "Restart the enclave: each boot starts one runtime, and no other program may extend PCR 16.",
            "not_confined": "Run on a kernel with the named layers, or as root; `python -m enclave_runtime confinement`"
            " shows them.",
        }
    )


class KmsError(BlindsightError):
    """The key management service did not release a secret, or a related file is invalid.

    Only `kms_unreachable`, `kms_throttled` and `boot_config_unreachable` are retryable.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "invalid_kms_settings": "Correct the named entry; docs/kms.md describes the file. It is measured.",
            "invalid_boot_config": "Correct the host's boot configuration; docs/kms.md describes it.",
            "boot_config_unreachable": "Start `python -m gateway boot-config` on the host, then the enclave.",
            "boot_config_incomplete": "Add the named ciphertext to the host's boot configuration.",
            "credentials_unavailable": "Give the instance a role, and start the forwarder to its metadata service.",
            "kms_unreachable": "Start the forwarder to the service's endpoint, then start the enclave again.",
            "kms_throttled": "Start the enclave again in a minute.",
            "kms_refused": "Compare the key's policy with this enclave's measurements: `blindsight kms policy`.",
            "kms_ciphertext_refused": "Give the host the ciphertext that was made under this key and context.",
            "kms_document_refused": "Start the enclave without debug mode, on Nitro: emulated evidence is refused.",
            "kms_request_refused": "Check the machine's clock, and the role of the instance.",
            "kms_key_unusable": "Enable the key, or correct its ARN in the measured settings.",
            "kms_failed": "Check AWS's status and the forwarder's destination, then start the enclave again.",
            "kms_answer_invalid": "Do not use this endpoint: it did not answer as the service does.",
            "kms_other_key": "Correct the key in the measured settings, or make the ciphertext under that key.",
            "kms_envelope_invalid": "Do not use this endpoint: its answer is not for this enclave.",
            "invalid_key_policy": "Correct the named argument; `blindsight kms policy --help` explains each.",
            "sealed_bundle_missing": "Start `python -m gateway boot-config` with --bundle and the encrypted bundle.",
            "sealed_bundle_unreadable": "Give --bundle the encrypted bundle, a file that can be read.",
            "sealed_bundle_refused": "Do not use this file: get it, and its key, from the bundle's owner again.",
            "no_memory_for_bundle": "Mount a tmpfs at /dev/shm.",
        }
    )

    @property
    def retryable(self) -> bool:
        return self.code in {"kms_unreachable", "kms_throttled", "boot_config_unreachable"}
