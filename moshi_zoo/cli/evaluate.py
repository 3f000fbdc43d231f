"""The verb ``evaluate``: its suites, each with options of its own."""

from moshi_zoo.cli.evaluate_asr import evaluate_asr
from moshi_zoo.cli.evaluate_codec import evaluate_codec
from moshi_zoo.cli.evaluate_compare import evaluate_compare
from moshi_zoo.cli.evaluate_duplex import evaluate_duplex
from moshi_zoo.cli.evaluate_text import evaluate_text
from moshi_zoo.cli.evaluate_tts import evaluate_tts
from moshi_zoo.cli.evaluate_voice import evaluate_voice

SUITES = {
    "codec": evaluate_codec,
    "text": evaluate_text,
    "duplex": evaluate_duplex,
    "asr": evaluate_asr,
    "tts": evaluate_tts,
    "voice": evaluate_voice,
    "compare": evaluate_compare,
}
"""What to evaluate -> how."""
