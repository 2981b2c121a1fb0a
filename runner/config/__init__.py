"""What was declared: YAML and SQL files, read and checked before anything is touched. Knows no database."""
