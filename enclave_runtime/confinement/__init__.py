"""Confinement of untrusted code: its restrictions, the kernel's layers that enforce them, and one harness for all
confined processes.
"""
