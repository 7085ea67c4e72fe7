"""Programs that connect verifiers to the suite's protocol: this project's own, and those of other projects."""
