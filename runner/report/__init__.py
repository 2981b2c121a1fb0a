"""Ledger rows as text and JSON. Writes nothing."""
