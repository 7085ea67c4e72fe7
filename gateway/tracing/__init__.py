"""Traces (OpenTelemetry), by setting. Spans have no content: `allowed.py` lists all that they can say."""
