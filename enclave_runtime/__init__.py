"""What runs in the enclave beside the function: evidence, keys, workers and the server that the gateway talks to."""
