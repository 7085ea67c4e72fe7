"""One gateway before fleets of 1 to 32 enclaves whose function waits: does the throughput grow with the fleet, and what
does a request cost the gateway?
"""
