"""A client of AWS KMS for enclaves, which gets secrets that KMS releases only to this measurement (docs/kms.md)."""
