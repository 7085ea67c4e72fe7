"""The web gateway on the untrusted host: accepts photos, encrypts them, relays sealed messages, and answers. Trusted
for availability only.
"""
