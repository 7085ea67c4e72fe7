"""`python -m tests.support.nsm_runtime serve …`: the runtime as it is, before a security module of the tests.

Only the device's place is taken. The working folder has the module's root in `nsm-root.pem`; where there is a file
`nsm-used`, another program has extended PCR 16 in this boot.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cbor2

from enclave_runtime import commands
from enclave_runtime.evidence import nsm
from tests.support.fake_nsm import FakeNsm, TestRoot

if __name__ == "__main__":
    device = FakeNsm(TestRoot(Path("nsm-root.pem").read_bytes()))
    if Path("nsm-used").exists():
        device(cbor2.dumps({"ExtendPCR": {"index": 16, "data": b"before"}}))
    nsm.Device = lambda: device
    sys.exit(commands.main())
