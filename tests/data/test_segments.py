import json
from types import SimpleNamespace

import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from moshi_zoo.data import audio
from moshi_zoo.data.segments import SegmentData
from tests.data.sounds import noise

RATE = 8000


class Watcher(LightningModule):
    """Learns nothing and remembers what it has seen."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen, self.validated = [], []

    def training_step(self, batch):
        self.seen.append((batch["index"].tolist(), batch["wav"].clone()))
        return self.weight * batch["wav"].mean()

    def validation_step(self, batch):
        self.validated.append(batch["wav"].clone())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def _data(folder, **kwargs):
    settings = {"seconds": 0.2, "batch_size": 2, "sample_rate": RATE, "validation_seconds": 0.4, **kwargs}
    return SegmentData(str(folder), **settings)


def _trainer(path, **kwargs):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    settings = {"default_root_dir": path, "use_distributed_sampler": False, "enable_checkpointing": False}
    return Trainer(**{**quiet, **settings, **kwargs})


def _ready(data):
    data.prepare_data()
    data.setup("fit")
    return data


def test_batches_have_the_promised_shapes_and_an_epoch_covers_the_corpus(recordings):
    data = _ready(_data(recordings({f"{i}.wav": 2.0 for i in range(10)}, RATE), validation_items=4))
    loader = data.train_dataloader()
    batches = list(loader)
    assert len(batches) == len(loader) == 45  # 9 files of 2 s to train on, 0.4 s a batch
    for batch in batches:
        assert {name: (list(t.shape), t.dtype) for name, t in batch.items()} == {
            "wav": ([2, 1, 1600], torch.float32),
            "num_samples": ([2], torch.int64),
            "index": ([2], torch.int64),
            "recording": ([2], torch.int64),
            "start": ([2], torch.int64),
        }
    validation = list(data.val_dataloader())
    assert [list(batch["wav"].shape) for batch in validation] == [[2, 1, 3200]] * 2
    assert all(torch.equal(a["wav"], b["wav"]) for a, b in zip(validation, data.val_dataloader(), strict=True))


def test_an_epoch_of_a_small_corpus_has_as_many_steps_for_several_processes(recordings, tmp_path):
    folder = recordings({"a.wav": 1.0, "b.wav": 1.0}, RATE)
    steps = []
    for world_size in (1, 4):
        data = _ready(_data(folder))
        data.trainer = SimpleNamespace(global_rank=0, world_size=world_size, default_root_dir=tmp_path)
        steps.append(len(data.train_dataloader()))
    assert steps == [8, 8]


def test_workers_change_nothing(recordings):
    folder = recordings({f"{i}.flac": 1.0 for i in range(6)}, 16000)
    alone, helped = (_ready(_data(folder, num_workers=workers)).train_dataloader() for workers in (0, 2))
    for mine, its in zip(alone, helped, strict=True):
        assert all(torch.equal(mine[name], its[name]) for name in mine)


@pytest.mark.parametrize("stop", [3, 8, 11])
@pytest.mark.parametrize("limit", [1.0, 5])
def test_a_resumed_run_sees_what_an_unbroken_one_sees(recordings, tmp_path, stop, limit):
    folder = recordings({"a.wav": 3.5}, RATE)
    settings = {"max_epochs": -1, "limit_train_batches": limit, "num_sanity_val_steps": 0}

    straight = Watcher()
    _trainer(tmp_path, max_steps=20, **settings).fit(straight, _data(folder))

    keep = ModelCheckpoint(tmp_path, filename="stop", every_n_train_steps=stop)
    first = Watcher()
    trainer = _trainer(tmp_path, max_steps=stop, enable_checkpointing=True, callbacks=[keep], **settings)
    trainer.fit(first, _data(folder))
    second = Watcher()
    _trainer(tmp_path, max_steps=20, **settings).fit(second, _data(folder), ckpt_path=tmp_path / "stop.ckpt")

    resumed = first.seen + second.seen
    assert len(first.seen) == stop
    assert [index for index, _ in resumed] == [index for index, _ in straight.seen]
    assert all(torch.equal(mine, its) for (_, mine), (_, its) in zip(resumed, straight.seen, strict=True))
    assert len(straight.validated) >= 2


def test_bad_files_are_listed_in_the_run_folder_and_the_run_goes_on(recordings, tmp_path):
    folder = recordings({f"{i}.wav": 1.0 for i in range(20)}, RATE)
    (folder / "empty.wav").touch()
    (folder / "letter.wav").write_text("Dear Sir or Madam, " * 100)
    audio.save(folder / "short.wav", noise(0.05, RATE), RATE)
    audio.save(folder / "silent.wav", torch.zeros(1, RATE), RATE)
    data, watcher = _data(folder, max_bad_share=0.2), Watcher()
    _trainer(tmp_path / "run", max_epochs=2).fit(watcher, data)
    reasons = [json.loads(line) for line in (tmp_path / "run" / "bad_files.jsonl").read_text().splitlines()]
    assert data.report_path == tmp_path / "run" / "bad_files.jsonl"
    assert {reason["path"].rpartition("/")[2] for reason in reasons} == {
        *("empty.wav", "letter.wav", "short.wav", "silent.wav")
    }
    assert len(watcher.seen) == 2 * (len(watcher.seen) // 2) > 0


def test_a_file_found_bad_in_a_worker_is_counted_too(recordings):
    folder = recordings({f"{i}.wav": 1.0 for i in range(20)}, RATE)
    audio.save(folder / "silent.wav", torch.zeros(1, RATE), RATE)
    data = _ready(_data(folder, num_workers=1, max_bad_share=0.1))
    list(data.train_dataloader())
    assert [bad.path.name for bad in data.bad_files.files.values()] == ["silent.wav"]


def test_too_many_bad_files_stop_the_run_before_and_during_training(recordings):
    folder = recordings({f"{i}.wav": 1.0 for i in range(8)}, RATE)
    for i in range(2):
        audio.save(folder / f"silent {i}.wav", torch.zeros(1, RATE), RATE)
    data = _ready(_data(folder, max_bad_share=0.1))
    with pytest.raises(ValueError, match="2 of 10 files cannot be used, more than the 10%"):
        list(data.train_dataloader())
    for i in range(2):
        (folder / f"silent {i}.wav").write_text("not audio")
    with pytest.raises(ValueError, match=r"2 of 10 files cannot be used.*(?s:.)*silent 0.wav: is not audio"):
        _ready(_data(folder, max_bad_share=0.1))


def test_noise_is_not_speech(recordings):
    folder = recordings({"a.wav": 3.0, "b.wav": 3.0, "rain.wav": 9.0}, RATE)
    (folder / "manifest.jsonl").write_text('{"path": "rain.wav", "kind": "noise"}\n')
    splits = _ready(_data(folder)).splits
    assert {span.path.name for span in splits.train + splits.valid} == {"a.wav", "b.wav"}


def test_the_synthetic_source_is_made_in_the_asked_length(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader", reason="needs the synth extra")
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path))
    data = _ready(SegmentData("synthetic:0.7", seconds=0.4, batch_size=4, validation_seconds=1.0, validation_items=4))
    assert next(iter(data.train_dataloader()))["wav"].shape == (4, 1, 9600)
    assert [batch["num_samples"].tolist() for batch in data.val_dataloader()] == [[24000] * 4]
    assert 0.5 < sum(span.duration for span in data.splits.train + data.splits.valid) / 60 < 1.1


def test_several_sources_are_put_together(recordings, tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path))
    folder = recordings({f"{i}.wav": 2.0 for i in range(10)}, RATE)
    data = _ready(SegmentData([str(folder), "synthetic:0.5"], seconds=0.2, batch_size=2, sample_rate=RATE))
    trained = {span.path for span in data.splits.train}
    assert {path.parent == folder for path in trained} == {True, False}
    assert len(trained) == 10 + 1  # the synthetic corpus says which of its two files to validate with


def test_a_corpus_for_validation_only_can_validate_but_not_train(recordings):
    folder = recordings({"a.wav": 3.0}, RATE)
    (folder / "manifest.jsonl").write_text('{"path": "a.wav", "split": "test"}\n')
    data = _ready(_data(folder))
    assert len(list(data.test_dataloader())) > 0
    with pytest.raises(ValueError, match="nothing to train on"):
        data.train_dataloader()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": 0}, "seconds is 0; it must be positive"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"gain_db": (6, -6)}, r"gain_db is \(6, -6\); it must be a range"),
        ({"validation_share": 0.7}, "up to 0.5"),
        ({"max_bad_share": 10}, "between 0 and 1"),
        ({"source": "synthetic:lots"}, "synthetic:MINUTES"),
        ({"source": "/nowhere"}, "does not exist"),
    ],
)
def test_wrong_settings_are_refused_with_the_rule(settings, message):
    with pytest.raises(ValueError, match=message):
        _ready(SegmentData(**settings))
