"""What is said beside a verb's results."""

import sys


def say_aside(what: str) -> None:
    """Print on standard error, at once."""
    print(what, file=sys.stderr, flush=True)
