"""Positional and keyword arguments, through serdio, and a tuple with a set as the answer."""

import serdio


@serdio.lift_io(as_handler=True)
def cape_handler(values, weight, label):
    return sum(values) * weight, {label}
