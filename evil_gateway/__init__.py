"""A hostile gateway: it stands before a real one and plays one trick after the other, each of which callers refuse.

For demonstrations (`blindsight demo evil-gateway`) and for the tests of the Python client and of the browser page.
"""
