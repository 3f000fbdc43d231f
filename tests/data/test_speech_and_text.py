"""Coded speech with batches of text between it."""

from itertools import islice

import pytest

from moshi_zoo.data.dialogue_modes import Mode
from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.data.speech_and_text import SpeechAndTextData
from moshi_zoo.tokenizer import Tokenizer
from tests.data.stores import make_store

TOKENIZER = Tokenizer.train((d.text for d in islice(dialogues(), 100)), vocab_size=400)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("MOSHI_ZOO_CACHE", str(tmp_path / "cache"))
    TOKENIZER.save(tmp_path / "tokenizer.model")
    store = str(make_store(tmp_path / "store", {f"{i}.wav": 30 for i in range(4)}))

    def make(**settings):
        sizes = {"num_own_codebooks": 4, "num_user_codebooks": 4, "num_frames": 24, "batch_size": 2, "vocab_size": 400}
        options = {"text_seq_len": 64, "text_batch_size": 2, **sizes, **settings}
        return SpeechAndTextData(store, tokenizer=str(tmp_path / "tokenizer.model"), **options)

    return make


@pytest.mark.parametrize("kind", ["text", "monologue"])
def test_every_other_batch_is_text_of_the_kind_that_is_asked_for(data, kind):
    made = data(text_kind=kind)
    made.setup()
    batches = list(islice(made.train_dataloader(), 6))
    assert [sorted(batch) for batch in batches[:2]] == [
        ["codes", "index", "text_delay_s"],
        ["document", "loss_mask", "tokens"],
    ]
    rows = [row for batch in batches[1::2] for row in batch["tokens"].tolist()]
    assert any(TOKENIZER.heard in row for row in rows) == (kind == "monologue")
    assert any(TOKENIZER.pad in row for row in rows) == (kind == "monologue")


def test_a_share_of_text_that_is_none_is_refused(data):
    with pytest.raises(ValueError, match=r"text_share is 1\.0"):
        data(text_share=1.0)


def test_how_words_lie_in_the_text_is_told(data):
    assert data().text_layout == {"of": "moshi", "delays_s": {"duplex": 0.0}}
    modes = [Mode("duplex"), Mode("asr", 1.0, (-0.8, -0.4)), Mode("tts", 1.0, (0.4, 0.4))]
    hearing = data(text_of="moshi_and_heard", heard_delay_s=0.48, modes=modes)
    delays = {"duplex": 0.0, "asr": pytest.approx(-0.6), "tts": 0.4, "heard": -0.48}
    assert hearing.text_layout == {"of": "moshi_and_heard", "delays_s": delays}
    # there may be a head that hears, and nothing of that in the text
    assert "heard" not in data(heard_delay_s=0.48).text_layout["delays_s"]
