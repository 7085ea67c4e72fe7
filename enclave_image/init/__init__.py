"""`/init`: the first process of an enclave. Standard library only; no shell and no other program is in the image.

It prepares what the kernel leaves to user space, tells the parent that the enclave is up, runs the runtime once and
then ends the machine. PCR 16 is locked when the runtime has started, so it is never started twice in one boot.
"""
