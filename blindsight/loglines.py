"""Log lines on standard error, each whole or lost alone."""

from __future__ import annotations

import contextlib
import logging
import os
import sys


class LineHandler(logging.Handler):
    """Writes each record as one line to standard error, or loses it if that fails, as on a full disk.

    Python's stream handler goes on where a failed write has ended, so the next line would be part of a cut one; and it
    reports the failure by a traceback in the log.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._cut = False
        """Whether the last line lacks its end."""

    def emit(self, record: logging.LogRecord) -> None:
        end = b"\n" if self._cut else b""
        text = end + f"{self.format(record)}\n".encode()
        written = 0
        # There is no other place to report a failure.
        with contextlib.suppress(OSError):
            while written < len(text):
                written += os.write(sys.stderr.fileno(), text[written:])
        self._cut = written < len(text) and written != len(end)
