"""The harnesses, one a file; each module has a `TARGET`."""
