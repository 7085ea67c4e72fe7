"""`blindsight hardware-report`: what an enclave on some hardware showed, in one file that anyone can verify."""
