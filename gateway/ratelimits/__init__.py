"""Rate limits and quotas of callers. Only a gateway with `BLINDSIGHT_RATE_LIMIT` or `BLINDSIGHT_QUOTA` imports it."""
