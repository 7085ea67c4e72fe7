"""`python -m tests.support.verbosely gateway`: the gateway with every logger wide open, down to uvicorn's `trace`."""

from __future__ import annotations

import logging
import runpy
import sys

from gateway import log

_configure = log.configure


def _open_all() -> None:
    """In the place of `gateway.log.configure`: its handler and its format, without its thresholds."""
    _configure()
    for logger in (logging.root, *map(logging.getLogger, logging.root.manager.loggerDict)):
        logger.setLevel(1)
        logger.disabled = False


if __name__ == "__main__":
    log.configure = _open_all
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
