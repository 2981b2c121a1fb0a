"""The database: the application's tables and the runner's own. Knows neither stages nor thresholds."""
