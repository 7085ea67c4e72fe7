"""The `blindsight` command: the only modules of this package that print or exit."""
