"""The gateway's side of the enclave: connections, verified evidence, and the sealed lane."""
