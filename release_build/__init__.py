"""Making a release: wheel, bundles, bill of materials, measurements, policy, and the statement that names them all.

    python -m release_build make --out DIR --model MODEL

The same source tree and the same inputs give the same bytes, whatever folder, user, clock and umask are.
"""
