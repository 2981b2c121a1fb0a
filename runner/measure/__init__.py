"""Where numbers come from: requests, look-ups, queries. Knows no verdicts."""
