"""A STAND-IN for AWS KMS, for tests and demonstrations on one machine. It is not AWS KMS, and protects nothing.

It implements the few operations of AWS KMS that an enclave and its operator need: requests and answers have the form of
the API reference, key policies are evaluated, and attested requests get a CMS envelope. Its keys are in a file.
docs/kms.md lists the differences to the real service.
"""

NAME = "blindsight-kms-standin"
HEADER = "X-Blindsight-Stand-In"
NOTICE = "not AWS KMS; keys lie in a file; proves nothing"
