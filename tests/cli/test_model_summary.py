"""The table of a model's parts at the start of a run."""

import logging

from lightning import LightningModule
from lightning.pytorch.utilities.model_summary import ModelSummary
from torch import nn

from moshi_zoo.cli.model_summary import PartsSummary


class _Stage(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(1000, 10)
        self.teacher = nn.Linear(1000, 1).requires_grad_(False)


def test_the_parts_and_their_sizes_are_told_and_nothing_that_nobody_has_counted(caplog):
    summary = ModelSummary(_Stage())
    caplog.set_level(logging.INFO)
    PartsSummary.summarize(
        summary._get_summary_data(),
        summary.total_parameters,
        summary.trainable_parameters,
        summary.model_size,
        summary.total_training_modes,
        total_flops=summary.total_flops,
    )
    head, rule, net, teacher, _, total = caplog.messages[0].strip("\n").splitlines()
    assert [cell.strip() for cell in head.split("|")] == ["", "Name", "Type", "Params", "Mode"]
    assert [cell.strip() for cell in net.split("|")] == ["0", "net", "Linear", "10.0 K", "train"]
    assert "1.0 K" in teacher
    assert len(rule) == len(head) == len(net)
    assert total == "11.0 K parameters (0.0 MB), 10.0 K of them are trained"
    assert "flop" not in caplog.text.lower()
