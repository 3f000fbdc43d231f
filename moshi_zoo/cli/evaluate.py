"""The verb ``evaluate``: its suites, each with options of its own."""

from moshi_zoo.cli.evaluate_codec import evaluate_codec
from moshi_zoo.cli.evaluate_text import evaluate_text

SUITES = {"codec": evaluate_codec, "text": evaluate_text}
"""What to evaluate -> how."""
