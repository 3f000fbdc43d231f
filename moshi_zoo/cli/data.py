"""The verb ``data``: its tools, each with options of its own."""

from moshi_zoo.cli.data_align import align
from moshi_zoo.cli.data_clean import clean

TOOLS = {"align": align, "clean": clean}
"""What to do with data -> how."""
