"""Speed and memory as a ratio against a floor that runs in the same minute: machines are noisy, ratios much less."""
