"""Backup and restore of the Cape host's store: database, bundles and token files, in one archive.

The archive has nothing that decrypts a record or a bundle: the enclave's root secret is in the enclave's state.
"""
