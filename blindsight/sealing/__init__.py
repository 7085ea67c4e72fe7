"""Encryption of requests and answers: HPKE (RFC 9180), binary HTTP (RFC 9292) and Oblivious HTTP (RFC 9458).

`cryptography` has HPKE, but without the exporter from which Oblivious HTTP derives the answer's key. Therefore this
package implements the key schedule over its X25519, HKDF and AEAD. The tests run the RFCs' vectors and exchange
messages with `cryptography`'s HPKE.
"""
