"""Running programs with this machine's simulated root, for loopback hosts only; the programs stay untouched."""
