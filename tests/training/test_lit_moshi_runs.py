"""Moshi's training from the command line: seeded by Helium, resumed, on two processes, and what it leaves."""

import itertools
import signal
from pathlib import Path

import pytest
import torch
import yaml

import moshi_zoo
from moshi_zoo.data.alignments import MAIN, OTHER, Word
from moshi_zoo.data.code_store import CodecIdentity, CodedDialogue, CodeStoreWriter, Entry
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.modules.lora import adapter_names
from moshi_zoo.registry import instantiate, preset, to_portable
from moshi_zoo.tokenizer import Tokenizer
from moshi_zoo.zoo import folder
from moshi_zoo.zoo.config import read_config
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout
from tests.training.runs import POWER_CUT, ROOT, fit, logged, separately

CODEC = CodecIdentity("codec", "c" * 64, 24_000, 12.5, num_codebooks=4, codebook_size=32)
SAID = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]

RECIPE = {
    "model": {
        "class_path": "LitMoshi",
        "init_args": {
            "net": "${preset:moshi-tiny}",
            "loss": "${preset:multistream-loss-paper}",
            "rates": {"temporal": 3e-3, "depth": 3e-3},
            "optimizer": {"class_path": "AdamW", "init_args": {"betas": [0.9, 0.95]}},
            "schedule": {"class_path": "WarmupCosine", "init_args": {"warmup_steps": 2}},
            "accumulate": 2,
            "num_samples": 2,
            "sample_frames": 12,
            "sampling": {"text_temperature": 0.3},
        },
    },
    "data": {
        "class_path": "SpeechAndTextData",
        "init_args": {
            "source": "store",
            "num_frames": 24,
            "batch_size": 4,
            "validation_items": 4,
            "text_source": "talk.txt",
            "text_seq_len": 24,
            "text_batch_size": 4,
            "text_of": "moshi_and_heard",
            "heard_delay_s": 0.24,
        },
    },
    "trainer": {
        "accelerator": "cpu",
        "max_steps": 6,
        "val_check_interval": 3,
        "log_every_n_steps": 1,
        "enable_model_summary": False,
    },
}


@pytest.fixture
def words(tmp_path, monkeypatch):
    """A command line, in a folder with coded dialogues, a text, a language model and a recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))
    text = "\n\n".join(dialogue.text for dialogue in itertools.islice(dialogues(0, "train"), 150))
    Path("talk.txt").write_text(text)
    tokenizer = Tokenizer.train(text.splitlines(), vocab_size=400)
    helium = preset("helium-tiny")
    helium["init_args"]["vocab_size"] = tokenizer.vocab_size
    torch.manual_seed(1)
    net = instantiate(helium)
    folder.save(Path("helium"), to_portable(helium), net.state_dict(), stage="LitHelium", tokenizer=tokenizer)
    generator = torch.Generator().manual_seed(0)
    coded = []
    for i in range(12):
        spoken = [Word(SAID[(i + n) % 10], 0.3 + 0.4 * n, 0.6 + 0.4 * n, MAIN if n % 2 else OTHER) for n in range(5)]
        codes = torch.randint(32, (2, 4, 30), generator=generator)
        entry = Entry(f"{i}.wav", 0, 2, 30, "valid" if i > 7 else "train", len(spoken))
        coded.append(CodedDialogue(entry, codes, spoken))
    CodeStoreWriter(Path("store"), CODEC).write_shard(coded)
    Path("moshi.yaml").write_text(yaml.safe_dump({**RECIPE, "run_name": "straight"}))
    return ["--config", "moshi.yaml", "--model.net.vocab_size", 400, "--init_from.temporal", "helium"]


def test_a_killed_run_ends_with_the_numbers_of_one_that_was_not_and_leaves_a_model_that_talks(words, capfd):
    assert fit(*words) == 0, capfd.readouterr().err
    more = [*words, "--run_name", "broken"]
    cut = separately(*more, "--trainer.callbacks", POWER_CUT, "--trainer.callbacks.after", 4)
    assert cut.returncode == -signal.SIGKILL, cut.stderr
    assert fit(*more, "--ckpt_path", "last") == 0, capfd.readouterr().err
    assert logged("broken") == logged("straight")
    assert logged("broken", stage="val") == logged("straight", stage="val")
    # what it leaves
    config = read_config(Path("runs/straight/zoo"))
    assert [parent.name for parent in config.parents] == ["helium", "codec"]
    assert config.text_layout == TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.24})
    assert config.sampling == read_config(Path("runs/broken/zoo")).sampling == Sampling(0.3, 0.8)
    measured = logged("straight", stage="val")
    assert all({"val/word", "val/heard_word", "val/accuracy/mark"} <= row.keys() for row in measured.values())
    assert Tokenizer.load("runs/straight/zoo").sha256 == Tokenizer.load("helium").sha256
    assert sorted(p.name for p in Path("runs/straight/samples/step-000006").iterdir()) == [
        "val-talk-0.png",
        "val-talk-1.png",
        "val-talk.txt",
    ]
    # adapters for it
    few = ["--trainer.max_steps", 2, "--trainer.val_check_interval", 2, "--run_name", "voice"]
    tuned = [*words[:-2], *few, "--data", "DialogueData", "--data.source", "store", "--init_from.net", "runs/straight"]
    tuned += ["--model.sampling", "null"]
    tuned += ["--data.text_of", "null", "--data.heard_delay_s", "null"]  # as the model
    assert fit(*tuned, "--model.lora", "{temporal: 2, depth: 2, heads: 1}") == 0, capfd.readouterr().err
    adapter = read_config(Path("runs/voice/zoo"))
    assert (adapter.text_layout, adapter.sampling) == (config.text_layout, None)
    deaf = ["--data.text_of", "moshi", "--run_name", "deaf"]
    assert fit(*tuned, *deaf, "--model.lora", "{temporal: 2}") == 2
    assert "layout moshi_and_heard (duplex 0 s, heard -0.24 s), but the data have moshi (" in capfd.readouterr().err
    with pytest.warns(UserWarning, match="will unlearn"):
        assert fit(*tuned, *deaf, "--trainer.max_steps", 1, "--trainer.limit_val_batches", 0) == 0
    deafened = read_config(Path("runs/deaf/zoo"))
    assert (deafened.text_layout.of, deafened.sampling) == ("moshi", config.sampling)
    adapted = moshi_zoo.load("runs/straight", adapter="runs/voice")
    assert adapter_names(adapted)
    assert fit(*words[:-2], *few, "--data.tokenizer", "helium", "--model.lora", "{temporal: 2}") == 2
    assert "--init_from.net MODEL, and no other part (given: nothing)" in capfd.readouterr().err
    part = [*words, *few, "--data", "DialogueData", "--data.source", "store", "--model.lora", "{temporal: 2}"]
    assert fit(*part) == 2
    assert "(given: temporal)" in capfd.readouterr().err
    moshi = folder.load(Path("runs/straight/zoo"))
    state = moshi.init_state(1)
    for _ in range(3):
        text, codes = moshi.step(torch.zeros(1, 4, 1, dtype=torch.int64), state)
    assert text.shape == (1,)
    assert codes.shape == (1, 4, 1)


@pytest.mark.distributed
def test_two_processes_train_like_one_whether_they_share_the_batch_or_the_weights_too(words, capfd):
    assert fit(*words, "--data.batch_size", 8, "--data.text_batch_size", 8) == 0, capfd.readouterr().err
    one = {stage: logged("straight", stage=stage) for stage in ("train", "val")}
    assert (len(one["train"]), len(one["val"])) == (6, 2)
    for strategy in ("ddp_moshi", "fsdp"):
        overlay = ["--config", ROOT / f"recipes/with/{strategy}.yaml", "--trainer.devices", 2]
        done = separately(*words, *overlay, "--run_name", strategy)
        assert done.returncode == 0, done.stderr
        for stage, rows in one.items():
            two = logged(strategy, stage=stage)
            for step, row in rows.items():
                talk = [name for name in row if "/talk/" in name]  # what is said is a matter of chance
                expected = {name: value for name, value in row.items() if name not in talk}
                found = {name: value for name, value in two[step].items() if name not in talk}
                assert found == pytest.approx(expected, abs=1e-4, rel=1e-4), (strategy, stage, step)
    assert folder.load(Path("runs/fsdp/zoo")).num_own_codebooks == 4
