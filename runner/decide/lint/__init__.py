"""What is dangerous about migrations, told from their text alone. `migrations.lint` is the door, `rules` the table."""
