"""The language model's training, step by step."""

from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningDataModule, Trainer
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

from moshi_zoo.losses.cross_entropy import TokenLoss
from moshi_zoo.registry import build
from moshi_zoo.training.lit_helium import LitHelium, parameter_groups
from moshi_zoo.training.schedule import WarmupCosine

make_net = partial(build, "helium-tiny")
V, T = 256, 12
HELD = partial(WarmupCosine, warmup_steps=0, final=1.0)


def rows(count):
    """Rows of which ever fewer tokens count: the last has one."""
    tokens = torch.randint(4, V, (count, T + 1), generator=torch.Generator().manual_seed(3))
    mask = torch.arange(T) < torch.linspace(T, 1, count)[:, None]
    return [{"tokens": t, "loss_mask": m} for t, m in zip(tokens, mask, strict=True)]


class Rows(LightningDataModule):
    def __init__(self, count=8, batch_size=8):
        super().__init__()
        self.rows, self.batch_size = rows(count), batch_size

    def train_dataloader(self):
        return DataLoader(self.rows, self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.rows[:3], 2)


def fit(folder, data=None, *, steps=3, kind=LitHelium, **settings):
    torch.manual_seed(0)
    stage = kind(make_net, **{"optimizer": partial(SGD, lr=0.3), "schedule": HELD, "clip": None, **settings})
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
    )
    trainer.fit(stage, data or Rows())
    return stage, trainer


def weights(stage):
    return torch.cat([p.detach().flatten() for p in stage.net.parameters()])


def test_a_step_is_one_of_plain_cross_entropy_over_the_tokens_that_count(tmp_path):
    stage, trainer = fit(tmp_path, steps=1, weight_decay=0.0, chunk=5)
    torch.manual_seed(0)
    net, batch = make_net(), {k: torch.stack([row[k] for row in rows(8)]) for k in ("tokens", "loss_mask")}
    logits, targets = net(batch["tokens"][:, :-1]), batch["tokens"][:, 1:]
    loss = F.cross_entropy(logits[batch["loss_mask"]], targets[batch["loss_mask"]])
    loss.backward()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter -= 0.3 * parameter.grad
    torch.testing.assert_close(weights(stage), weights(SimpleNamespace(net=net)))
    logged = trainer.callback_metrics
    assert logged["train/loss"].item() == pytest.approx(loss.item(), rel=1e-5)
    assert logged["train/perplexity"].item() == pytest.approx(loss.exp().item(), rel=1e-5)
    norm = torch.stack([p.grad.norm() for p in net.parameters()]).norm()
    assert logged["train/grad_norm"].item() == pytest.approx(norm.item(), rel=1e-4)


def test_accumulated_batches_step_like_one_although_their_tokens_do_not_count_alike(tmp_path):
    whole, whole_trainer = fit(tmp_path, weight_decay=0.0)
    parts, parts_trainer = fit(tmp_path, Rows(batch_size=2), weight_decay=0.0, accumulate=4)
    assert parts_trainer.global_step == whole_trainer.global_step == 3
    torch.testing.assert_close(weights(parts), weights(whole), atol=1e-6, rtol=1e-5)
    for name in ("train/loss", "train/grad_norm", "val/loss"):
        torch.testing.assert_close(parts_trainer.callback_metrics[name], whole_trainer.callback_metrics[name])


def test_recomputing_the_layers_changes_nothing_and_keeps_less(tmp_path):
    plain, again = (fit(tmp_path, checkpointing=on)[0] for on in (False, True))
    assert torch.equal(weights(plain), weights(again))
    kept = []
    for stage in (plain, again):
        kept.append(0)
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(kept.pop() + x.numel()) or x, lambda x: x):
            stage.net.hidden(torch.zeros(4, 32, dtype=torch.int64))
    assert kept[1] < kept[0] / 3


def test_a_batch_with_broken_gradients_is_left_out(tmp_path):
    class Spoilt(LitHelium):
        spoilt = False

        def loss(self, batch):
            loss = super().loss(batch)
            if self.spoilt or not self.training:
                return loss
            self.spoilt = True
            return TokenLoss(loss.total * float("nan"), loss.count)

    spoilt, trainer = fit(tmp_path, steps=2, kind=Spoilt)
    plain, _ = fit(tmp_path, steps=2)
    assert trainer.global_step == 2
    assert trainer.current_epoch == 3, "of one batch each"
    assert torch.equal(weights(spoilt), weights(plain))


def test_only_matrices_decay():
    net = make_net()
    decaying, others = parameter_groups(net, weight_decay=0.1)
    assert decaying["weight_decay"] == 0.1
    assert others["weight_decay"] == 0
    assert {p.ndim for p in decaying["params"]} == {2}
    assert {p.ndim for p in others["params"]} == {1}
    assert len(decaying["params"]) + len(others["params"]) == len(list(net.parameters()))


def test_validation_counts_every_token_once(tmp_path):
    stage, trainer = fit(tmp_path, steps=1)
    batch = {k: torch.stack([row[k] for row in rows(8)[:3]]) for k in ("tokens", "loss_mask")}
    loss = stage.loss(batch)
    assert trainer.callback_metrics["val/loss"].item() == pytest.approx(loss.mean.item(), rel=1e-5)
    assert trainer.callback_metrics["val/tokens"] == loss.count


def test_a_few_rows_are_learnt_by_heart(tmp_path):
    _, trainer = fit(tmp_path, steps=60, optimizer=partial(AdamW, lr=3e-3), clip=1.0)
    assert trainer.callback_metrics["train/loss"] < 0.5


@pytest.mark.parametrize("settings", [{"accumulate": 0}, {"chunk": 0}])
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError, match="must be 1 or more"):
        LitHelium(make_net, **settings)
