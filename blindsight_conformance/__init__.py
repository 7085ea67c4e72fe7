"""The conformance suite for verifiers of Nitro attestation documents: its cases, and a runner for any verifier.

    python -m blindsight_conformance generate      writes vectors/attestation, always with the same bytes
    python -m blindsight_conformance run           runs all cases on both of this project's verifiers; prints a table

vectors/attestation/README.md describes how to run another verifier; docs/conformance.md has the results. A development
tool: no unit of the service imports it.
"""
