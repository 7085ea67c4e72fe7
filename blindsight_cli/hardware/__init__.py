"""`blindsight hardware-report`: records what an enclave proved on some hardware, in a file for offline verification."""
