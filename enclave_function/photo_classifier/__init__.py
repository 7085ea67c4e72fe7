"""Image bytes in, ranked classes out: the parts of the deployed function.

Needs numpy, onnxruntime and Pillow only, so that it runs in any Cape host's worker.
"""
