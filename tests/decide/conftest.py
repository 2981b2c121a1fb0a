"""Judgement is judged with many made-up numbers; how long one example takes on a busy machine does not matter."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
