"""Builds a release: wheel, bundles, bill of materials, measurements, policy, and the release file that names them all.

    python -m release_build make --out DIR --model MODEL

The same source tree and inputs give the same bytes on every machine with the same Python and packages. Folder, user,
clock and umask do not change them.
"""
