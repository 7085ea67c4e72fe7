"""The Cape host's API: Cape's REST and WebSocket endpoints, and the store."""
