"""What untrusted code runs in: a promise, the kernel's layers that keep it, and one harness for every such process."""
