"""Returns its input."""


def cape_handler(input_bytes):
    return input_bytes
