"""The suite on a codec whose results can be foreseen."""

import math

import pytest
import torch

from moshi_zoo import registry
from moshi_zoo.evaluation.codec import ZooCodec
from moshi_zoo.evaluation.codec_suite import Settings, complete, evaluate_codec
from moshi_zoo.evaluation.measurement import Clip
from moshi_zoo.evaluation.recogniser import Example, train_recogniser
from tests.evaluation.steps import RATE, OpenStepCodec, StepCodec, speech, tone, word

SETTINGS = Settings(resamples=50, num_examples=1)


def clips():
    """Two speakers, two words, twice each; the words differ in level."""
    for speaker in ("s1", "s2"):
        for take in range(2):
            for label, level in (("loud", 0.6), ("soft", 0.15)):
                wav = speech(0.5, seed=take) + tone(50, 0.5, level=level)
                yield word(label, speaker, wav, name=f"{speaker}-{label}-{take}")


@pytest.fixture(scope="module")
def report():
    return evaluate_codec(OpenStepCodec(), clips(), SETTINGS)


def of(report, name, **setting):
    (figure,) = (f for f in report.figures if f.measure.name == name and setting.items() <= vars(f.measure).items())
    return figure


def test_quality_is_there_for_each_number_of_codebooks(report):
    for name in ("si_sdr", "stoi", "mel", "stft", "mfcc_similarity"):
        values = [of(report, name, num_codebooks=k) for k in (1, 2)]
        assert all(v.count == 8 and v.interval.low <= v.value <= v.interval.high for v in values)
    assert of(report, "si_sdr", num_codebooks=2).value > of(report, "si_sdr", num_codebooks=1).value


def test_the_rest_is_there_once(report):
    assert of(report, "idempotence", level=0).value == of(report, "idempotence", level=1).value == 1
    assert of(report, "idempotence", level=0).interval.low == 1
    counts = report.counts
    assert int(counts[0].sum()) == 8 * 500
    assert of(report, "used", level=0).value == pytest.approx(float((counts[0] > 0).float().mean()))
    entropy = sum(of(report, "entropy", level=k).value for k in (0, 1))
    assert of(report, "bitrate").value == pytest.approx(1000 * entropy)
    assert 0 <= of(report, "abx_within_level").value <= 1
    assert of(report, "abx_across_level").count > 0
    assert 0 < of(report, "encode_rtf").value < 10
    assert 0 < of(report, "decode_rtf").value < 10


def test_every_clip_keeps_its_values(report):
    assert [row.name for row in report.clips][:2] == ["s1-loud-0", "s1-soft-0"]
    mean = sum(next(v.value for m, v in row.values.items() if m.key == "si_sdr@2") for row in report.clips) / 8
    assert of(report, "si_sdr", num_codebooks=2).value == pytest.approx(mean)
    (sounds,) = report.sounds
    assert sounds.original.shape == sounds.decoded[1].shape == sounds.decoded[2].shape == (RATE // 2,)


def test_what_a_codec_cannot_do_is_skipped_with_the_reason():
    report = evaluate_codec(StepCodec(), [Clip("a", tone(100, 0.3))], SETTINGS)
    assert report.skipped["abx"] == "this codec does not show its inner representations"
    assert report.skipped["stream_frame"] == "this codec has no streaming interface"
    assert report.skipped["stoi"] == "every clip is too short or silent for it"
    assert not [f for f in report.figures if math.isnan(f.value)]


def test_a_recogniser_judges_originals_and_reconstructions():
    examples = [Example(tone(hertz, 0.3, phase=p), w) for w, hertz in (("low", 100), ("high", 3000)) for p in range(8)]
    net = train_recogniser(examples, RATE, epochs=8)
    tones = [word("low", "s", tone(100, 0.3)), word("high", "s", tone(3000, 0.3))]
    report = evaluate_codec(StepCodec(), tones, SETTINGS, recogniser=net)
    assert of(report, "recognised", num_codebooks=None).value == 1
    assert of(report, "recognised", num_codebooks=2).value < 1  # frames of 1 ms keep nothing of 3 kHz
    report = evaluate_codec(StepCodec(), [Clip("a", tone(100, 0.3))], SETTINGS, recogniser=net)
    assert report.skipped["recognised"] == "no clip is a single word that the recogniser was trained on"


def test_the_numbers_of_codebooks_are_powers_of_two_and_the_most():
    codec = StepCodec()
    codec.num_codebooks = 6
    assert complete(Settings(), codec).num_codebooks == (1, 2, 4, 6)
    assert complete(Settings((4, 1, 4)), codec).num_codebooks == (1, 4, 6)
    codec.num_codebooks = 8
    assert complete(Settings(), codec).num_codebooks == (1, 2, 4, 8)
    with pytest.raises(ValueError, match="num_codebooks is 9, but this codec has 1 to 8"):
        complete(Settings((9,)), codec)


def test_no_clips_are_refused():
    with pytest.raises(ValueError, match="no clips"):
        evaluate_codec(StepCodec(), [])


def test_a_zoo_codec_shows_its_semantic_frames_and_streams():
    net = registry.build("mimi-tiny").eval()
    for codebook in net.quantizer.codebooks:
        codebook.embedding_sum.normal_()
    codec, wav = ZooCodec(net), torch.randn(2, 1, 5 * net.frame_size)
    with torch.inference_mode():
        features, codes, offline = codec.features(wav), codec.encode(wav), codec.decode(codec.encode(wav))
        other = codec.features(wav.flip(0))["semantic"]
        step = codec.start_stream()
        streamed = torch.cat([step(frame[:1]) for frame in wav.split(net.frame_size, dim=-1)], dim=-1)
    assert {name: f.shape for name, f in features.items()} == {"semantic": (2, 5, 32), "latent": (2, 5, 32)}
    same_code = codes[0, 0, :, None] == codes[1, 0]  # frames of equal first codes have equal semantic frames
    same_frame = torch.cdist(features["semantic"][0], other[0]) < 1e-6
    assert torch.equal(same_code, same_frame)
    torch.testing.assert_close(streamed, offline[:1], atol=1e-4, rtol=0)
