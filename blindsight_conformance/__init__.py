"""The conformance suite of Nitro attestation verifiers: its cases, and what runs them on any verifier.

    python -m blindsight_conformance generate      writes vectors/attestation anew: always the same bytes
    python -m blindsight_conformance run           all cases on both of this project's verifiers, and a table

vectors/attestation/README.md is for those who want to run a verifier of their own; docs/conformance.md has the results.
A development tool: no unit of the service imports it.
"""
