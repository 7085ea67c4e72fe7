"""As the published function answers, its mistake about squares of primes included."""

import math


def cape_handler(input_bytes):
    number = int(input_bytes)
    # The root itself is left out: that is the mistake.
    divisible = any(number % divisor == 0 for divisor in range(2, math.ceil(math.sqrt(number))))
    return f"{number} is {'not ' if divisible or number < 2 else ''}prime"
