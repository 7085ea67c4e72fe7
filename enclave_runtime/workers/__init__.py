"""Worker processes, the only ones that decode callers' images. They are confined, and have no keys."""
