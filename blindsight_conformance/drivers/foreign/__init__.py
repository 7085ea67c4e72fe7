"""Verifiers of others, each run by the interpreter of its own environment. They may import `protocol`, and no more."""
