"""A STAND-IN for AWS KMS, for tests and demonstrations on one machine. It is not AWS KMS, and protects nothing.

It has the wire shapes of the few operations that an enclave and its operator need, evaluates key policies, and answers
attested requests with real CMS. Its keys lie in a file. docs/kms.md says in what it differs from the real service.
"""

NAME = "blindsight-kms-standin"
HEADER = "X-Blindsight-Stand-In"
NOTICE = "not AWS KMS; keys lie in a file; proves nothing"
