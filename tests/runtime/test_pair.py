"""A Moshi finds the codec that it was trained with."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import moshi_zoo
from moshi_zoo import registry
from moshi_zoo.modules.lora import LoraSize
from moshi_zoo.modules.quantised_layers import QuantisedLinear, quantise
from moshi_zoo.runtime import loading
from moshi_zoo.runtime.loading import load_conversations
from moshi_zoo.runtime.pair import check_pair, find_codec, load_pair
from moshi_zoo.zoo import adapters, folder
from moshi_zoo.zoo.config import Parent, read_config, write_config
from moshi_zoo.zoo.sampling import Sampling
from moshi_zoo.zoo.text_layout import TextLayout
from tests.runtime.pairs import pair, save_pair


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The folder in which the pair is, and we are."""
    save_pair(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_codec_is_the_one_in_the_lineage(here):
    assert find_codec("moshi").samefile(here / "mimi")
    talk = load_conversations("moshi", max_sessions=2)
    assert (talk.sample_rate, talk.frame_size, talk.frame_rate, talk.free) == (24_000, 1920, 12.5, 2)


def test_the_weights_of_the_moshi_may_have_fewer_bits(here, monkeypatch):
    monkeypatch.setattr(loading, "quantise", partial(quantise, smallest=1))
    talk = load_conversations("moshi", weights="int4")
    assert isinstance(talk.moshi.temporal.output, QuantisedLinear)
    spoken = talk.step({(row := talk.join()): np.zeros(talk.frame_size, np.float32)})[row]
    assert spoken.wav is None or np.isfinite(spoken.wav).all()


def learnt(name, **said):
    """Note in a zoo folder what its model has learnt."""
    write_config(Path(name), replace(read_config(Path(name)), **said))


@pytest.fixture
def voice(here):
    """An adapter of the Moshi, in the folder ``voice``, that says nothing of itself."""
    base = read_config(here / "moshi")
    spec = adapters.adapter_spec(base.spec, LoraSize(temporal=2, depth=2))
    net = registry.instantiate(registry.from_portable(spec))
    folder.save(here / "voice", spec, net.state_dict(), stage="test", parents=[Parent("moshi", base.sha256)])


def test_a_moshi_says_how_to_draw_from_it_and_its_voices_inherit_that(here, voice):
    assert load_conversations("moshi").sampling == Sampling(0.7, 0.8)
    learnt("moshi", sampling=Sampling(0.3, 0.5))
    assert load_conversations("moshi").sampling == Sampling(0.3, 0.5)
    assert load_conversations("moshi", voice="voice").sampling == Sampling(0.3, 0.5)
    learnt("voice", sampling=Sampling(0.4, 0.6))
    assert load_conversations("moshi", voice="voice").sampling == Sampling(0.4, 0.6)


def test_what_a_voice_has_learnt_beside_its_moshi_is_known_and_what_contradicts_it_is_refused(here, voice):
    learnt("moshi", text_layout=TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.48}))
    learnt("voice", text_layout=TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.48, "tts": 2.0}))
    found = load_pair("moshi", voice="voice").text_layout
    assert (found.of, found.delay_s("heard"), found.delay_s("tts")) == ("moshi_and_heard", -0.48, 2.0)
    learnt("voice", text_layout=TextLayout("moshi", {"duplex": 0.0}))
    with pytest.raises(ValueError, match=r"layout moshi \(duplex 0 s\), but .*moshi_and_heard \(.*heard -0\.48 s\)"):
        load_pair("moshi", voice="voice")
    with pytest.raises(ValueError, match="together they would write neither"):
        moshi_zoo.load("moshi", adapter="voice")


def test_the_codec_is_found_beside_its_moshi_from_anywhere(here, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert find_codec(str(here / "moshi")).samefile(here / "mimi")


def test_a_codec_that_is_gone_or_another_by_now_is_missed_by_name(here):
    shutil.rmtree(here / "mimi")
    with pytest.raises(ValueError, match=r"codec of moshi is not here.*mimi \([0-9a-f]{12}….*--codec"):
        load_pair("moshi")
    other = registry.build("mimi-tiny")
    folder.save(here / "mimi", registry.to_portable(registry.preset("mimi-tiny")), other.state_dict(), stage="test")
    with pytest.raises(ValueError, match="codec of moshi is not here"):
        load_pair("moshi")
    assert load_pair("moshi", codec="mimi").codec.num_codebooks == 4


def test_what_is_no_moshi_or_no_codec_is_named(here):
    with pytest.raises(ValueError, match="mimi is a mimi, with which nobody can talk"):
        load_pair("mimi")
    with pytest.raises(ValueError, match="--codec: moshi is a moshi, which is no codec"):
        load_pair("moshi", codec="moshi")
    (here / "moshi" / "tokenizer.model").unlink()
    with pytest.raises(ValueError, match=r"no tokenizer\.model"):
        load_pair("moshi")


def test_codecs_with_other_codes_are_refused():
    made = pair()
    with pytest.raises(ValueError, match=r"codes of 16 values, those of this codec have 32.*--codec"):
        check_pair(registry.build("moshi-tiny", codebook_size=16), made.codec)
    wide = registry.build(
        "moshi-tiny",
        num_own_codebooks=5,
        delays=[0] * 10,
        user_heads=False,
        num_extra_heads=0,
        depth={"dim": 16, "num_layers": 1, "num_heads": 2, "hidden_dim": 16},
    )
    with pytest.raises(ValueError, match="5 codes a frame, this codec has only 4"):
        check_pair(wide, made.codec)
