"""Evidence of what runs here: measurement of the code, and the producers that sign it."""
