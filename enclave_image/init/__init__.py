"""`/init`: the first process of an enclave. Standard library only; no shell and no other program is in the image.

It mounts file systems, loads modules, signals the parent that the enclave has booted, runs the runtime once, and then
resets the machine. The runtime locks PCR 16, so it cannot be started a second time in the same boot.
"""
