"""Adds one to each number of an array; its argument and result pass through serdio, with hooks for NumPy's arrays."""

import numpy as np
import numpy_serde
import serdio


@serdio.lift_io(hook_bundle=(numpy_serde.encoder, numpy_serde.decoder), as_handler=True)
def cape_handler(array: np.ndarray) -> np.ndarray:
    return array + np.ones(len(array))
