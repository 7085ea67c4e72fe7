"""Everything Blindsight raises on purpose.

    BlindsightError                 .code .next_step .retryable
    ├── EvidenceError               .step: the verification step that refused
    │   ├── EvidenceFormatError     steps 1-2: not a well-formed attestation document
    │   ├── EvidenceChainError      steps 3-4: not from a pinned root, or not valid at that time
    │   ├── EvidenceSignatureError  step 5
    │   ├── EvidenceDebugError      step 6: an enclave whose memory its host can read
    │   ├── EvidenceMeasurementError  step 7: other code than the policy accepts, or no longer accepted
    │   ├── EvidenceClaimsError     steps 8-9, 11: another function, model or key than accepted or attested
    │   └── EvidenceFreshnessError  step 10: not made for this caller, now
    ├── PolicyError                 a policy that must not be used
    ├── ProducerError               an enclave that cannot make evidence
    ├── KmsError                    a secret that the key management service did not release, or a policy for it
    ├── CapeError                   .status: a request in Cape's protocol that is refused
    ├── OwnerError                  a Cape Key of another owner than it should be
    ├── LocalTrustError             trust in this machine's stack that would go beyond this machine
    ├── SealingError                a message that cannot be opened
    ├── ReceiptError                a receipt that proves nothing
    ├── ReleaseError                a release file that says nothing, or an artifact that is not the released one
    ├── EifError                    an enclave image that is not well-formed, or not signed as it says
    ├── ProxyError                  a proxy that must not be used so; nothing was sent
    ├── AddressError                an address of a service that cannot be used
    ├── Problem                     an RFC 9457 problem, the enclave's or a gateway's (`blindsight.problems`)
    └── TransportError              the other side was not reached; safe to retry

`code` is stable and for programs, the message is for people, `next_step` says what to do now. Each class lists its
codes in `NEXT_STEPS`; a code outside that table is a programming error. No message quotes secrets, images or answers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping


class BlindsightError(Exception):
    """Root of the tree; raised only as one of its subclasses."""

    NEXT_STEPS: ClassVar[Mapping[str, str]] = MappingProxyType({})
    RETRYABLE: ClassVar[bool] = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = self.NEXT_STEPS[code]

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed unchanged."""
        return self.RETRYABLE


class EvidenceError(BlindsightError):
    """Evidence was refused: send nothing to that enclave. Retrying with the same evidence never helps."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.step = 0
        """Set by the step that is being taken (`blindsight.attestation.steps`); 0 outside of a verification."""


_NOT_A_DOCUMENT = "Fetch the evidence again; if it stays like this, the service is not an enclave of this kind."
_RECALLED = "Do not use this enclave: its release was recalled. Ask the operator for a newer one."
_NOT_GENUINE = "Do not use this service: the evidence was changed, or no such enclave made it."


class EvidenceFormatError(EvidenceError):
    """The bytes are not a Nitro attestation document. Fetching anew is safe, the same bytes never pass."""

    NEXT_STEPS = MappingProxyType(
        dict.fromkeys(
            (
                "document_too_large",
                "malformed_cbor",
                "trailing_bytes",
                "duplicate_key",
                "indefinite_length",
                "nesting_too_deep",
                "unexpected_tag",
                "not_cose_sign1",
                "wrong_algorithm",
                "unprotected_header",
                "missing_field",
                "invalid_field",
                "unsupported_digest",
                "invalid_pcr_index",
                "invalid_pcr_length",
            ),
            _NOT_A_DOCUMENT,
        )
        | {"unsupported_envelope": "Use the newest client or page: this service's evidence has a later format."}
    )


class EvidenceChainError(EvidenceError):
    """The signing certificate does not descend from a pinned root. Retry only after fetching new evidence."""

    NEXT_STEPS = MappingProxyType(
        {
            "root_not_pinned": "Check which roots the policy lists; a simulated one passes only when listed as such.",
            "simulated_root": "List this root with kind 'simulated' for a test set-up; never use it in production.",
            "malformed_certificate": _NOT_GENUINE,
            "certificate_algorithm": _NOT_GENUINE,
            "certificate_expired": "Fetch new evidence; if that is refused too, check this machine's clock.",
            "certificate_not_yet_valid": "Check this machine's clock, then fetch new evidence.",
            "invalid_chain": _NOT_GENUINE,
            "chain_order": _NOT_GENUINE,
        }
    )


class EvidenceSignatureError(EvidenceError):
    """The document is not what the enclave's certificate signed. Not retryable."""

    NEXT_STEPS = MappingProxyType({"invalid_signature": _NOT_GENUINE})


class EvidenceDebugError(EvidenceError):
    """The enclave runs in debug mode, so its host can read its console. Refused whatever the policy says."""

    NEXT_STEPS = MappingProxyType({"debug_document": "Ask the operator to start the enclave without --debug-mode."})


class EvidenceMeasurementError(EvidenceError):
    """The enclave runs other code than the policy accepts, or accepts any more. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "pcr_missing": "Ask the operator which PCRs this release locks, and correct the policy.",
            "pcr_mismatch": "Compare the measurements with a build of the release you trust, then update the policy.",
            "release_too_old": "Ask the operator for a newer release; lower minimum_version if you trust this one.",
            "release_expired": "Ask the operator for a newer release, and for the policy that lists it.",
            "release_recalled": _RECALLED,
        }
    )


class EvidenceClaimsError(EvidenceError):
    """The function, the model or the keys are not those the evidence or the policy names.

    Only `key_configs_mismatch` may pass after a retry, with evidence and key configurations fetched anew: keys rotate.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_claims": "The enclave attests no usable claims; ask the operator for a working release.",
            "claims_missing": "This evidence names no function, model or keys; fetch the enclave's own evidence.",
            "claims_pcr_missing": "The claims are not measured, so nothing vouches for them; do not use this service.",
            "claims_pcr_mismatch": "The claims differ from what was measured; do not use this service.",
            "function_not_accepted": "Compare the function checksum with your bundle's, then update the policy.",
            "model_not_accepted": "Compare the model digest with your model.json's, then update the policy.",
            "release_recalled": _RECALLED,
            "model_mismatch": "The manifest was changed on its way; do not believe what it says of the model.",
            "key_configs_mismatch": "Fetch evidence and key configurations again, once; if they differ still, stop.",
        }
    )


class EvidenceFreshnessError(EvidenceError):
    """The document was made for someone else or at another time. Retry with a new nonce and new evidence."""

    NEXT_STEPS = MappingProxyType(
        {
            "nonce_missing": "Ask for evidence with a nonce of your own; this document answers no question of yours.",
            "nonce_mismatch": "Ask again with a new nonce; if it happens again, the document is replayed.",
            "evidence_too_old": "Fetch new evidence; if it is still too old, check both clocks.",
            "evidence_from_future": "Check this machine's clock, then fetch new evidence.",
        }
    )


class PolicyError(BlindsightError):
    """A verification policy that must not be used, or not any more. Retry only with another policy."""

    NEXT_STEPS = MappingProxyType(
        {
            "unreadable_policy": "Check the path and that the file is JSON in UTF-8.",
            "invalid_policy": "Correct the named entry; docs/policy.md describes the format.",
            "unknown_policy_key": "Remove or correct the named key: a misspelt rule would not be enforced.",
            "no_roots": "List at least one root of trust.",
            "no_measurements": "List at least one PCR with at least one accepted value.",
            "code_not_pinned": "Add PCR 0, or PCR 1 with PCR 2; or say any_code in format /2 to accept any code.",
            "function_not_pinned": "Add PCR 16, function_checksums, or in format /2 function_in_image or any_function.",
            "policy_expired": "Get a newer policy from its author; this one accepts nothing any more.",
            "empty_allow_list": "List at least one accepted value, or leave the whole entry out.",
            "zero_measurement": "Take the measurements from a release build: zero is what a debug enclave shows.",
            "not_a_certificate_fingerprint": "Pin the SHA-256 of the root certificate's DER bytes.",
        }
    )


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


class CapeError(BlindsightError):
    """A request in Cape's protocol was refused. The message is what Cape's clients show their users.

    `status` is the HTTP status where the answer is one. Only `overloaded` and `function_lost` may pass unchanged.
    """

    _STATUS: ClassVar[Mapping[str, int]] = MappingProxyType(
        {
            "token_invalid": 401,
            "token_expired": 401,
            "token_revoked": 401,
            "forbidden": 403,
            "unknown_account": 404,
            "unknown_function": 404,
            "unknown_token": 404,
            "unknown_code": 404,
            "name_taken": 409,
            "stale_record": 409,
            "too_large": 413,
            "unsupported_media_type": 415,
            "too_many_guesses": 429,
            "overloaded": 503,
            "enclave_unavailable": 503,
        }
    )
    NEXT_STEPS = MappingProxyType(
        {
            "token_invalid": "Make a new token with `cape token create`, or log in again with `cape login`.",
            "token_expired": "Log in again with `cape login`, or make a new token with `cape token create`.",
            "token_revoked": "Make a new token with `cape token create`.",
            "forbidden": "Use a token of the function's owner, or ask the owner to make the function public.",
            "unknown_account": "Check the username; `cape signup` makes an account.",
            "unknown_function": "Check the function's id or name; `cape list` shows yours.",
            "unknown_token": "Check the token's id; `cape token list` shows yours.",
            "unknown_code": "Check the code, or begin again with `cape login`: a code is good for ten minutes, once.",
            "too_many_guesses": "Wait ten minutes, then type the code as the device shows it.",
            "malformed_request": "Use a Cape client, or see docs/cape-compatibility.md for the requests.",
            "unsupported_media_type": "Send the body as application/json.",
            "name_taken": "Choose another username.",
            "refused": "See the host's words; `cape --help` and docs/cape-compatibility.md say what it expects.",
            "bad_name": "Use letters, digits and dashes; 39 characters at the most.",
            "stale_record": "Try again; if it stays like this, the host keeps an old state of the account.",
            "damaged_record": "The host's record of the account is damaged or another's; do not use this host.",
            "replayed": "Seal the input anew: each is answered once.",
            "malformed_frame": "Use a Cape client, or see docs/cape-compatibility.md for the messages.",
            "cannot_decrypt": "Encrypt it for the function's owner; remove old keys from ~/.config/cape.",
            "bad_cape_key": "Remove the cached key and fetch it again with `cape key`.",
            "bad_bundle": "Deploy a folder or zip archive with an app.py that defines cape_handler.",
            "checksum_mismatch": "The upload is not what the token allows; deploy again.",
            "function_failed": "Look into the function; its exception's type is all that leaves the enclave.",
            "function_lost": "Try again; if it stays like this, the function ends its process.",
            "deadline_exceeded": "Send less at a time, or make the function faster.",
            "too_large": "Send less: see docs/cape-compatibility.md for the limits.",
            "overloaded": "Try again in a few seconds.",
            "enclave_unavailable": "Try again in a few seconds.",
        }
    )

    @property
    def status(self) -> int:
        return self._STATUS.get(self.code, 400)


class OwnerError(BlindsightError):
    """A host shows a Cape Key that is not known to be the intended account's. Nothing was encrypted. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "owner_mismatch": "Ask the account's owner for the fingerprint that `cape key` shows, by another way.",
            "owner_missing": "Use a host whose enclave attests whose key it is; any release of Blindsight does.",
        }
    )


class LocalTrustError(BlindsightError):
    """What `blindsight with-local-trust` would have to trust is not of this machine alone. Nothing was run."""

    NEXT_STEPS = MappingProxyType(
        {
            "not_local": "Give a stack of this machine, as in https://localhost:8443; others need no local trust.",
            "unlimited_authority": "Start the stack anew with `blindsight up`, which makes an authority for loopback.",
        }
    )


class SealingError(BlindsightError):
    """A sealed message was refused.

    Every cryptographic failure is `cannot_open`, whatever stage failed, so that the answer is no oracle. Only
    `unknown_key` is worth a retry, sealed anew to freshly verified key configurations.
    """

    NEXT_STEPS = MappingProxyType(
        {
            "cannot_open": "Fetch and verify the key configurations again and seal the message anew.",
            "unknown_key": "The keys have rotated: fetch and verify the key configurations again and seal anew.",
            "unsupported_suite": "Use one of the key configurations and cipher suites that the enclave offers.",
            "malformed_message": "Check that the whole message was sent, unchanged and in the stated format.",
            "not_sealed": "Believe nothing of the answer: only the enclave could know it. Ask the operator.",
            "answer_not_genuine": "Believe nothing of the answer: it was changed, or is another request's. Try again.",
        }
    )


class ReceiptError(BlindsightError):
    """A receipt does not vouch for this answer. Never retryable: receipt and answer stay what they are."""

    NEXT_STEPS = MappingProxyType(
        {
            "malformed_receipt": "Give the whole answer as it was saved, with its receipt and evidence.",
            "receipt_key_mismatch": "The receipt is not the attested enclave's; do not rely on it.",
            "receipt_signature_invalid": "The receipt was changed after it was signed; do not rely on it.",
            "receipt_evidence_mismatch": "Look for the attestation document that the receipt was made for.",
            "receipt_function_mismatch": "The receipt names another function than was attested; do not rely on it.",
            "receipt_model_mismatch": "The receipt names another model than was attested; do not rely on it.",
            "receipt_output_mismatch": "The answer is not the one that was signed; do not rely on it.",
            "receipt_input_mismatch": "The receipt is for another image; check which file was sent.",
            "receipt_time_implausible": "The receipt's time does not fit its evidence; do not rely on it.",
        }
    )


class ReleaseError(BlindsightError):
    """A release file cannot be used, or an artifact is not the one it names. Never retryable with the same files."""

    NEXT_STEPS = MappingProxyType(
        {
            "unreadable_release": "Check the path, and fetch the release file again, whole.",
            "not_a_release": "Give the release file of a release of Blindsight: an in-toto statement, or its envelope.",
            "unsupported_release": "Install the newest `blindsight`: the release file is of a later format.",
            "invalid_release": "Ask the release's maker for a whole release file; this one was edited or is damaged.",
            "unreleased_artifact": "Check that artifact and release file are of one release; do not use the artifact.",
            "digest_mismatch": "Do not use the artifact: fetch it again from the release's maker.",
            "measurement_mismatch": "Do not use the release: what it measures is not what it says. Ask its maker.",
            "unreadable_artifact": "Check the path of the artifact that is to be compared.",
            "no_policy": "Ask the release's maker for a policy; this release file holds none.",
            "signature_missing": "Ask for the signed envelope of the release file, or leave --key out.",
            "signature_invalid": "Do not use the release file: the owner of this key did not sign it.",
            "unreadable_key": "Check the path of --key.",
            "unusable_key": "Give an Ed25519 key in PEM, as `openssl genpkey -algorithm ed25519` makes it.",
        }
    )


_NOT_AN_IMAGE = (
    "Fetch or build the image again; if it stays like this, measure nothing of it. docs/eif.md has the format."
)
_NOT_SIGNED_SO = "Start nothing from this image; ask its publisher, or sign it again with `blindsight eif sign`."


class EifError(BlindsightError):
    """An enclave image file is not what the format says, or cannot be made so. Not retryable with the same file."""

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
            "ramdisk_too_large": "The ramdisk unpacks to more than is listed; its measurements hold all the same.",
            "invalid_entry": "Correct the named entry of the ramdisk.",
            "changed_while_read": "Let no other program write the file, then try again.",
            "function_missing": "Give --function-checksum and --model-sha256, which `blindsight bundle inspect` shows.",
        }
    )


class ProxyError(BlindsightError):
    """A proxy that was asked for and must not be used so. Nothing was sent. Not retryable."""

    NEXT_STEPS = MappingProxyType(
        {
            "plain_through_proxy": "Use an https:// address, seal the photos (--sealed), or leave the proxy out.",
            "proxy_unusable": "Give it as http://HOST:PORT; SOCKS needs the packages socksio and python-socks.",
        }
    )


class AddressError(BlindsightError):
    """An address that is none, or that cannot be listened on. Retry only with another one, or when it is free."""

    NEXT_STEPS = MappingProxyType(
        {
            "invalid_address": "Give tcp://HOST:PORT, unix:///PATH, unix:///PATH?port=N or vsock://CID:PORT.",
            "address_taken": "Stop what listens there, or choose another address.",
            "address_unusable": "Check that the folder or interface exists, and that this user may use it.",
        }
    )


class TransportError(BlindsightError):
    """The other side was not reached or did not answer in full. The same request is safe to send again."""

    NEXT_STEPS = MappingProxyType(
        {
            "unreachable": "Check the address and that the service runs, then try again.",
            "timed_out": "Try again; if it stays slow, ask the operator.",
            "connection_lost": "Try again.",
            "unavailable": "The service is starting or busy: try again in a few seconds.",
            "bad_frame": "Check that both sides are of the same release, then try again.",
            "unexpected_answer": "Check that the address is a Blindsight service, then try again.",
            "unsupported_protocol": "Run gateway and enclave of releases with one protocol; see docs/protocol.md, 8.",
            "access_refused": "Give both sides one secret: BLINDSIGHT_ENCLAVE_SECRET_FILE and --gateway-secret.",
        }
    )
    RETRYABLE = True
