"""The enclave as a client of AWS KMS: secrets that are released to this measurement alone (docs/kms.md)."""
