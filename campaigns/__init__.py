"""Campaigns: the whole service with several gateways and enclaves, under load, while parts of it fail or are replaced.

`python -m campaigns faults` and `python -m campaigns rollout`, or `make test-faults` and `make test-rollout`. See
docs/operations.md, "Under faults".
"""
