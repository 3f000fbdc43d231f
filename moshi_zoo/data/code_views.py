"""What of a recording is encoded: its channels as they are, or both speakers in one."""

from typing import Literal

from torch import Tensor

View = Literal["recorded", "mono"]
"""``recorded``: the channels as they are; ``mono``: all channels mixed into one, as in the paper's pre-training."""


def viewed(wav: Tensor, view: View) -> Tensor:
    """A waveform [C, S] as it is to be encoded."""
    return wav if view == "recorded" else wav.mean(0, keepdim=True)
