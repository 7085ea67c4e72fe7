"""A hostile gateway: a proxy before an honest one that attempts one attack (a "trick") at a time.

Every trick must be refused by the clients, with a given error code. Used by the demonstration
(`blindsight demo evil-gateway`) and by the tests of the Python client and of the page.
"""
