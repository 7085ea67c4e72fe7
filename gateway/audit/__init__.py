"""The audit log of administrative acts: who did what, when, with which outcome. Never contents, tokens or secrets."""
