"""The gateway's connection to the enclave: connections, verified evidence, and the sealed exchange."""
