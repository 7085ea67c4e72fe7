"""Mutated photos through gateway and enclave: answered, or refused for a documented reason; no worker ends."""
