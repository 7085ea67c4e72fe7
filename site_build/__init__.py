"""The documentation site: `make site` builds it from the pages of `docs/`, the gateway's OpenAPI description, the
docstrings of the client, the declarations of the JavaScript client, and the commands' own parsers.
"""
