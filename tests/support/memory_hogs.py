"""What a function does that wants more memory than one process may have: it has children take it together."""

CHILDREN_TAKE = """
import os, signal, socket
lines = []
for _ in range(6):
    ours, theirs = socket.socketpair()
    try:
        child = os.fork()
    except OSError:
        break
    if not child:
        for line in (ours, *lines):
            line.close()
        try:
            block = bytearray(60 << 20)
            theirs.send(b"filled")
            while theirs.recv(1):
                theirs.send(b"there")
        finally:
            os._exit(0)
    theirs.close()
    if ours.recv(6):
        lines.append(ours)


def alive(line):
    try:
        return bool(line.send(b"?") and line.recv(5))
    except ConnectionError:
        return False


megabytes = 60 * sum(map(alive, lines))
"""
"""Six children of 60 MB each, kept alive; `megabytes` is what those that still answer hold."""
