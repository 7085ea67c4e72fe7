"""What gateway and enclave say to each other: numbered frames over a byte stream, and the shared problem codes."""
