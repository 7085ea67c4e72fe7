"""The `blindsight` command. Only modules of this package print or exit."""
