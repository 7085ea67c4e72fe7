"""The peers: the classifier as one would serve it with each framework, following its own documentation.

Each program is `python -m benchmarks.peers.NAME MODEL_DIR PORT WORKERS THREADS`, runs in an environment of its own
(`requirements/NAME.txt`) and answers `POST /classify`, a form with one `file`, as our gateway does. WORKERS processes
have one session each, of THREADS threads (0: one for each processor).
"""
