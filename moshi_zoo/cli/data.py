"""The verb ``data``: its tools, each with options of its own."""

from moshi_zoo.cli.data_align import align
from moshi_zoo.cli.data_clean import clean
from moshi_zoo.cli.data_encode import encode
from moshi_zoo.cli.data_inspect import inspect
from moshi_zoo.cli.data_replay import replay
from moshi_zoo.cli.data_revoice import revoice
from moshi_zoo.cli.data_scan import scan
from moshi_zoo.cli.data_synth import synth

TOOLS = {
    "align": align,
    "clean": clean,
    "encode": encode,
    "inspect": inspect,
    "replay": replay,
    "revoice": revoice,
    "scan": scan,
    "synth": synth,
}
"""What to do with data -> how."""
