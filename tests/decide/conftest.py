"""
Judgement is judged with many made-up numbers; how long one example takes on a busy machine does not matter.

In CI they are the same numbers every time: what fails there fails again.
"""

import os

from hypothesis import settings

settings.register_profile("patient", max_examples=150, deadline=None, derandomize="CI" in os.environ)
settings.load_profile("patient")
