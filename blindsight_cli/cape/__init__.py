"""The `cape` command, a drop-in for Cape's own: the only modules beside `blindsight_cli` that print or exit."""
