"""Audio on the wire."""

import contextlib

import numpy as np
import pytest
import sphn
from hypothesis import given, settings
from hypothesis import strategies as st

from moshi_zoo.runtime.wire_audio import Framer, OggOpus, Pcm16
from tests.runtime.hostile import ogg_head, ogg_page

TONE = (0.4 * np.sin(np.arange(24000) * 2 * np.pi * 300 / 24000)).astype(np.float32)


def test_pcm_survives_any_cut():
    samples = np.random.default_rng(0).integers(-32768, 32768, 1000).astype("<i2")
    audio, data, heard = Pcm16(), samples.tobytes(), []
    for start in range(0, len(data), 77):
        heard += audio.decode(data[start : start + 77])
    assert Pcm16().encode(np.concatenate(heard)) == data


def test_pcm_is_clipped_where_it_is_too_loud():
    assert Pcm16().encode(np.array([2, -2], np.float32)) == b"\xff\x7f\x00\x80"


def test_opus_goes_through_in_both_directions():
    ours, writer, reader = OggOpus(24000), sphn.OpusStreamWriter(24000), sphn.OpusStreamReader(24000)
    heard = np.concatenate(list(ours.decode(writer.append_pcm(TONE))))
    said = reader.append_bytes(ours.encode(TONE))
    for result in (heard, said):
        assert result[4800:].std() == pytest.approx(TONE.std(), rel=0.05)


def test_what_a_few_bytes_can_hold_comes_in_pieces():
    """Whoever counts can stop before an hour has been decoded."""
    page = ogg_page(b"\x01" * 14, b"\x18" * 14)
    lengths = [len(piece) for piece in OggOpus(24000).decode(ogg_head() + page * 100)]
    assert sum(lengths) > 60 * 24000
    assert max(lengths) < 10 * 24000


def test_bytes_without_a_sample_are_not_kept_for_ever():
    pages = [ogg_page(b"\xff" * 255, bytes(255 * 255), flags=min(i, 1)) for i in range(4)]
    with pytest.raises(ValueError, match="without a sample"):
        list(OggOpus(24000).decode(ogg_head() + b"".join(pages)))


@settings(max_examples=30)
@given(st.binary(max_size=2000), st.integers(0, 3))
def test_garbage_is_refused_or_silent_but_never_worse(data, beginning):
    audio = OggOpus(24000)
    start = [b"", ogg_head(), b"OggS", sphn.OpusStreamWriter(24000).append_pcm(TONE)][beginning]
    with contextlib.suppress(ValueError):
        for samples in audio.decode(start + data):
            assert samples.dtype == np.float32
            assert np.isfinite(samples).all()


@given(st.lists(st.integers(0, 5000), max_size=10))
def test_frames_are_whole_and_nothing_is_lost(sizes):
    framer, samples = Framer(1920), np.arange(sum(sizes), dtype=np.float32)
    frames = [frame for piece in np.split(samples, np.cumsum(sizes)) for frame in framer.cut(piece)]
    assert len(frames) == len(samples) // 1920
    np.testing.assert_array_equal(np.concatenate([[], *frames]), samples[: len(frames) * 1920])
