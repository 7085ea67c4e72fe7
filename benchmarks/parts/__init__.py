"""The parts of a run. Each measures with the contenders that are there, and returns what goes into the results."""
