"""Worker processes: the only place where a caller's image is decoded. They hold no keys."""
