"""The Cape front door: Cape's REST and WebSocket endpoints, and what the host keeps for them."""
