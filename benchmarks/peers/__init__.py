"""The peers: the classifier, served with each framework as its documentation recommends.

Each program is `python -m benchmarks.peers.NAME MODEL_DIR PORT WORKERS THREADS`, runs in a separate environment
(`requirements/NAME.txt`) and answers `POST /classify`, a form with one `file`, as our gateway does. Each of WORKERS
processes has one session with THREADS threads (0: one for each processor).
"""
