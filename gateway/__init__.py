"""The web gateway, on the untrusted host: takes photos, seals, relays, answers. Trusted for availability only."""
