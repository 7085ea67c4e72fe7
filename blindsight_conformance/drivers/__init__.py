"""Verifiers behind the suite's protocol: this project's own, and those of others."""
