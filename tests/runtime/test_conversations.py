"""Conversations in one batch: the rules of training, and none knows of the others."""

import dataclasses

import numpy as np
import pytest
import torch

from moshi_zoo.runtime.conversations import Conversations, Full, Hooks, TalkSettings
from moshi_zoo.runtime.rows import FREE
from moshi_zoo.zoo.sampling import Sampling
from tests.runtime.pairs import conversations, pair

FRAME = 1920
LIVELY = TalkSettings(text_temperature=1.0, audio_temperature=1.0, audio_top_k=0, seed=5)


def user(seconds_of_frames, seed=0):
    """Frames of noise that swells, so that each has codes of its own."""
    noise = np.random.default_rng(seed).standard_normal((seconds_of_frames, FRAME)).astype(np.float32)
    return noise * np.linspace(0.02, 0.5, seconds_of_frames, dtype=np.float32)[:, None]


def heard_codes(frames):
    with torch.no_grad():
        return pair().codec.encode(torch.from_numpy(frames.reshape(1, 1, -1)), 4)[0]  # [K, T]


def coded(num_frames, seed=0):
    """Frames of a user in codes: no codec has to work."""
    return list(torch.randint(32, (num_frames, 4), generator=torch.Generator().manual_seed(seed)))


def alone(talk, frames, settings=LIVELY, hooks=None):
    """A conversation by itself in a batch."""
    row = talk.join(settings, hooks=hooks)
    spoken = [talk.step({row: frame})[row] for frame in frames]
    talk.leave(row)
    return spoken


def tokens(spoken):
    return [(s.text, None if s.codes is None else s.codes.tolist()) for s in spoken]


def voice(spoken):
    return torch.stack([s.codes for s in spoken if s.codes is not None], dim=1)


def test_a_model_that_says_how_to_draw_from_it_is_drawn_from_so_unless_the_settings_say_otherwise():
    made, frames = pair(), coded(12)
    calm = Conversations(made.moshi, None, made.tokenizer, sampling=Sampling(0.2, 0.1))
    drawn = [tokens(alone(calm, frames, settings)) for settings in (None, TalkSettings(), TalkSettings(0.2, 25, 0.1))]
    assert drawn[0] == drawn[1] == drawn[2]
    usual = conversations(sound=False)
    assert drawn[0] != tokens(alone(usual, frames, TalkSettings()))
    assert tokens(alone(calm, frames, TalkSettings(0.7, 25, 0.8))) == tokens(alone(usual, frames, None))


@pytest.mark.parametrize("mode", ["duplex", "asr", "tts"])
def test_each_step_gives_the_logits_of_training_and_the_first_frame_is_heard(mode):
    made, seen = pair(), []
    hooks = Hooks(on_text_logits=lambda logits: (seen.append(logits.clone()), logits)[1])
    talk, frames = conversations(2), user(36 if mode == "duplex" else 8)  # the window has 32
    spoken = alone(talk, frames, dataclasses.replace(LIVELY, mode=mode), hooks)
    T = len(frames)
    codes = torch.full((1, 9, T + 1), -1)
    first = {"duplex": made.moshi.pad_token, "asr": made.tokenizer.bos, "tts": made.tokenizer.eos}[mode]
    codes[0, 0] = torch.tensor([first, *[s.text for s in spoken]])
    if mode != "asr":
        codes[0, 1:5, :T] = voice(spoken)
    if mode != "tts":
        codes[0, 5:, :T] = heard_codes(frames)
    with torch.no_grad():
        expected = made.moshi.temporal.output(made.moshi.hidden(codes).text)[0]  # [T + 1, V]
    torch.testing.assert_close(torch.stack(seen)[:, 4:300], expected[1:, 4:300], atol=1e-4, rtol=0)


def test_the_voice_is_that_of_its_codes_decoded_as_a_whole():
    spoken = alone(conversations(2), user(12))
    with torch.no_grad():
        whole = pair().codec.decode(voice(spoken)[None])[0, 0]
    assert all(s.wav is not None and s.wav.shape == (FRAME,) for s in spoken)  # the acoustic delay costs no frame
    torch.testing.assert_close(torch.from_numpy(np.concatenate([s.wav for s in spoken])), whole, atol=1e-5, rtol=0)


def test_a_conversation_is_the_same_bit_by_bit_whoever_joins_leaves_and_pauses_beside_it():
    talk, frames = conversations(3), user(14)
    expected = alone(talk, frames)
    for seed in range(3):
        chance = np.random.default_rng(seed)
        others = [talk.join(TalkSettings(seed=seed, audio_temperature=2.0, mode="asr" if seed else "duplex"))]
        me = talk.join(LIVELY)
        waiting, spoken = list(frames), []
        while waiting:
            if chance.random() < 0.3 and len(others) < 2:
                others.append(talk.join(TalkSettings(seed=7, audio_top_k=3)))
            elif chance.random() < 0.3 and others:
                talk.leave(others.pop(int(chance.integers(len(others)))))
            now = {row: user(1, seed=len(waiting))[0] for row in others if chance.random() < 0.6}
            if chance.random() < 0.7:
                now[me] = waiting.pop(0)
            said = talk.step(now)
            assert said.keys() == now.keys()
            spoken += [said[me]] if me in said else []
        assert tokens(spoken) == tokens(expected)
        assert all(np.array_equal(one.wav, other.wav) for one, other in zip(spoken, expected, strict=True))
        for row in (me, *others):
            talk.leave(row)


def test_the_seed_makes_the_conversation_and_reset_begins_it_anew():
    talk, frames = conversations(), user(6)
    first = alone(talk, frames)
    assert tokens(first) == tokens(alone(talk, frames))
    assert tokens(first) != tokens(alone(talk, frames, dataclasses.replace(LIVELY, seed=6)))
    row = talk.join(dataclasses.replace(LIVELY, seed=6))
    for frame in user(5, seed=3):
        talk.step({row: frame})
    talk.reset(row, LIVELY)
    assert tokens([talk.step({row: frame})[row] for frame in frames]) == tokens(first)


def test_users_can_be_heard_in_codes_without_a_codec():
    frames = user(5)
    silent = conversations(sound=False)
    row = silent.join(LIVELY)
    spoken = [silent.step({row: codes})[row] for codes in heard_codes(frames).unbind(-1)]
    assert tokens(spoken) == tokens(alone(conversations(), frames))
    assert all(s.wav is None for s in spoken)
    with pytest.raises(ValueError, match="without a codec, users are heard in codes"):
        silent.step({row: frames[0]})


def test_what_a_conversation_is_told_it_says_once():
    talk, frames = conversations(2, sound=False), coded(4)
    row = talk.join(LIVELY)
    talk.tell(row, text=100, codes=torch.tensor([1, 2, FREE, 4]))
    spoken = [talk.step({row: frame})[row] for frame in frames]
    assert spoken[0].text == 100
    # the first code is of the step's own frame, the others, delayed by one, of the frame before
    assert spoken[0].codes[1] == 2
    assert spoken[0].codes[3] == 4
    assert spoken[1].codes[0] == 1
    assert [s.text for s in spoken[1:]] != [100] * 3


def test_hooks_have_the_last_word_in_their_own_conversation_alone():
    hooks = Hooks(
        on_text_logits=lambda logits: torch.full_like(logits, -torch.inf).index_fill(0, torch.tensor(50), 0.0),
        on_text=lambda drawn: drawn + 1,
        on_codes=lambda drawn: torch.zeros_like(drawn),
    )
    talk, frames = conversations(2, sound=False), coded(5)
    plain = alone(talk, frames)
    free, bound = talk.join(LIVELY), talk.join(LIVELY, hooks=hooks)
    said = [talk.step({free: frame, bound: frame}) for frame in frames]
    assert tokens([s[free] for s in said]) == tokens(plain)
    assert [s[bound].text for s in said] == [51] * 5
    assert not voice([s[bound] for s in said])[:, 1:].any()


def test_marks_and_ids_without_a_piece_are_never_drawn_and_a_bonus_keeps_silent():
    talk, frames = conversations(sound=False), coded(20)
    tokenizer = pair().tokenizer
    drawn = {s.text for seed in range(4) for s in alone(talk, frames, TalkSettings(5.0, 0, seed=seed))}
    assert len(drawn) > 50
    assert max(drawn) < tokenizer.vocab_size
    assert not drawn & {tokenizer.bos, tokenizer.eos}
    quiet = alone(talk, frames, dataclasses.replace(LIVELY, padding_bonus=50.0))
    assert {(s.text, s.piece) for s in quiet} == {(3, None)}


def test_who_writes_down_has_no_voice_and_no_time_goes_into_it(monkeypatch):
    talk, frames = conversations(), user(3)
    monkeypatch.setattr(talk.moshi.depth, "generate", None)
    spoken = alone(talk, frames, dataclasses.replace(LIVELY, mode="asr"))
    assert all(s.codes is None and s.wav is None for s in spoken)


def test_a_recorded_step_does_the_same_and_recording_it_moves_nobody_on(monkeypatch):
    plain, recorded = conversations(3), conversations(3)
    monkeypatch.setattr(recorded, "_as_graph", True)
    # on a GPU, recording does the work without anybody, in the middle of conversations
    monkeypatch.setattr(recorded._recorded, "prepare", lambda key: recorded._work())
    frames, codes = user(6), heard_codes(user(6, seed=2)).unbind(-1)
    said = []
    for talk in (plain, recorded):
        rows = [talk.join(LIVELY), talk.join(dataclasses.replace(LIVELY, mode="asr")), talk.join(LIVELY)]
        talk.tell(rows[2], text=100, codes=torch.tensor([1, FREE, 3, 4]))
        steps = [
            talk.step({rows[0]: frame, rows[2]: own} | ({rows[1]: frame} if i % 2 else {}))
            for i, (frame, own) in enumerate(zip(frames, codes, strict=True))
        ]
        said.append([{row: tokens([spoken]) for row, spoken in step.items()} for step in steps])
    assert said[0] == said[1]


def test_a_full_house_says_so_and_mistakes_move_nobody_on():
    talk, frames = conversations(2), user(4)
    expected = alone(talk, frames)
    row = talk.join(LIVELY)
    talk.join()
    assert talk.free == 0
    with pytest.raises(Full, match="all 2 conversations are taken"):
        talk.join()
    assert issubclass(Full, ValueError)
    talk.leave(1)
    assert talk.free == 1
    for heard, problem in [
        ({row: frames[0], 1: frames[0]}, "row 1 has no conversation"),
        ({row: frames[0][:100]}, "one frame of 1920 samples"),
        ({row: frames[0] * np.nan}, "no numbers"),
        ({row: torch.zeros(3, dtype=torch.int64)}, "not 4 codes"),
    ]:
        with pytest.raises(ValueError, match=problem):
            talk.step(heard)
    assert talk.step({}) == {}
    assert tokens([talk.step({row: frame})[row] for frame in frames]) == tokens(expected)


def test_settings_and_models_that_do_not_fit_are_refused():
    made = pair()
    with pytest.raises(ValueError, match=r"temperature \(-1\)"):
        TalkSettings(text_temperature=-1)
    with pytest.raises(ValueError, match="seed"):
        TalkSettings(seed=-1)
    with pytest.raises(ValueError, match="max_sessions"):
        Conversations(made.moshi, made.codec, made.tokenizer, max_sessions=0)
