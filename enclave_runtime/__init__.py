"""The program in the enclave that runs the function: evidence, keys, workers and the server for the gateway."""
