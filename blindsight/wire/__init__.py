"""The protocol between gateway and enclave: numbered frames over a byte stream."""
