"""Cape's protocol, shared by clients, gateway and enclave: identifiers, envelopes, tokens, messages, evidence.

No module has input or output, except `client`, for callers.
"""
