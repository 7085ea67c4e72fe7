"""Cape's client-facing protocol, shared by every side: identifiers, envelopes, tokens, messages, evidence.

Only `client`, for callers, has input or output.
"""
