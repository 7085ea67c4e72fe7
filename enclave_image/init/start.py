#!/usr/bin/python3.11 -ISB
"""The file `/init` of the image: imports the package beside it, and runs `main`."""

import sys

sys.path.insert(0, "/usr/lib/enclave")

from enclave_image.init.main import main

main()
