"""The harnesses, one in each module as `TARGET` (see `fuzz.target`)."""
