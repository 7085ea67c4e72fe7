"""Sealing of requests and answers: HPKE (RFC 9180), binary HTTP (RFC 9292) and Oblivious HTTP (RFC 9458).

`cryptography` has HPKE, but without the exporter that Oblivious HTTP derives the answer's key from, so the key schedule
is written here over its X25519, HKDF and AEAD; the tests run the RFCs' vectors and exchange messages with
`cryptography`'s own HPKE.
"""
