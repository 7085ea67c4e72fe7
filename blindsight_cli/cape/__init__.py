"""The `cape` command, a replacement for Cape's own. Only modules of this package and of `blindsight_cli` print or
exit.
"""
