"""Messages and queries of Kyutai's protocol."""

import pytest

from moshi_zoo.runtime.protocol import Control, Kind, control_of, message, read_query
from moshi_zoo.runtime.settings import TalkSettings
from moshi_zoo.zoo.sampling import Sampling


def test_a_message_begins_with_its_kind():
    assert message(Kind.TEXT, "né".encode()) == b"\x02n\xc3\xa9"
    assert message(Kind.HANDSHAKE) == b"\x00"


def test_controls_that_are_unknown_are_none():
    assert [control_of(bytes([i])) for i in range(4)] == list(Control)
    assert [control_of(payload) for payload in (b"", b"\x04", b"\x00\x00")] == [None] * 3


def test_the_official_web_clients_query_is_read():
    query = {
        "text_temperature": "0.5",
        "text_topk": "12",
        "audio_temperature": "0.9",
        "audio_topk": "100",
        "pad_mult": "-1.5",
        "text_seed": "77",
        "audio_seed": "78",
        "repetition_penalty_context": "64",
        "repetition_penalty": "1.0",
        "email": "a@b",
    }
    asked = read_query(query)
    assert asked.settings == TalkSettings(0.5, 12, 0.9, 100, -1.5, 77)
    assert asked.format == "opus"


def test_what_is_heard_is_sent_to_who_asks_for_it():
    assert not read_query({}).heard
    assert not read_query({"heard": "0"}).heard
    assert read_query({"heard": "1"}).heard


def test_what_is_not_asked_for_is_the_default_and_the_seed_is_chance():
    one, other = read_query({}).settings, read_query({"text_seed": ""}).settings
    assert one.seed != other.seed
    assert (one.text_temperature, one.text_top_k, one.audio_temperature, one.audio_top_k) == (0.7, 25, 0.8, 250)


def test_temperatures_that_are_not_asked_for_are_those_of_the_model():
    asked = read_query({"text_temperature": "0", "text_seed": "1"}, Sampling(0.3, 0.5)).settings
    assert asked == TalkSettings(0.0, audio_temperature=0.5, seed=1)


@pytest.mark.parametrize(
    "query",
    [
        {"text_temperature": "nan"},
        {"audio_temperature": "-1"},
        {"text_topk": "1e400"},
        {"audio_topk": "-3"},
        {"pad_mult": "inf"},
        {"text_seed": "3.5"},
        {"audio_seed": "99999999999999999999"},
        {"format": "wav"},
        {"heard": "yes"},
    ],
)
def test_values_out_of_range_are_refused(query):
    ((name, _),) = query.items()
    with pytest.raises(ValueError, match=name.removeprefix("text_s").removeprefix("audio_s")):
        read_query(query)
