"""Evidence: measurement of the running code, and the producers that sign it."""
