"""What an enclave cannot do: attest, or get a secret from the key management service."""

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
            "distribution_missing": "Install the package with its 'enclave' extra.",
            "simulator_absent": "Use --evidence nsm in an enclave image; simulated evidence takes the source tree.",
            "nsm_missing": "Run it in a Nitro enclave, with the nsm driver loaded; elsewhere use --evidence simulated.",
            "nsm_refused": "Report it with this line: the runtime asks nothing that the device does not offer.",
            "nsm_failed": "Start the enclave again; if it stays like this, look for the driver's words in its console.",
            "nsm_answer": "Report it with this line and the version of the platform: its form is not known here.",
            "pcr_used": "Start the enclave anew: one runtime starts in one boot, and nothing extends PCR 16 before it.",
            "not_confined": "Run on a kernel with the named layers, or as root; `python -m enclave_runtime confinement`"
            " shows them.",
        }
    )


class KmsError(BlindsightError):
    """A secret was not released by the key management service, or what belongs to it is not usable.

    Only `kms_unreachable`, `kms_throttled` and `boot_config_unreachable` may pass unchanged.
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
            "kms_failed": "Look at AWS's status and at what the forwarder leads to, then start the enclave again.",
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
