"""Pure judgement: what follows from what is declared and what was measured. Knows neither clock, database nor log."""
