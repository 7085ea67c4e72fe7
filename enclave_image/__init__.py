"""Builds the enclave image, reproducibly: `python -m enclave_image build`. In an image, the package of its `/init`."""
