"""Talking, writing down and reading aloud: many at once are what each is alone."""

import dataclasses

import numpy as np
import pytest
import torch

from moshi_zoo.data.text_row import TextRowBuilder, TimedTokens
from moshi_zoo.runtime.conversations import Conversations, TalkSettings
from moshi_zoo.runtime.reading import Pause, Reading
from moshi_zoo.runtime.settings import Hooks
from moshi_zoo.runtime.speech import Pace, Speaker, moshi_lines, speak
from moshi_zoo.runtime.streams import frames, run
from moshi_zoo.runtime.talk import Talker, talk
from moshi_zoo.runtime.transcription import Transcriber, silence, transcribe
from moshi_zoo.word_tokens import WordTokens
from moshi_zoo.zoo.text_layout import TextLayout
from tests.runtime.pairs import conversations, pair, tokenizer

LIVELY = TalkSettings(text_temperature=1.0, audio_temperature=1.0, audio_top_k=0)


def users(*lengths):
    """Noise, [S] each."""
    return [np.random.default_rng(n).standard_normal(n).astype(np.float32) * 0.1 for n in lengths]


def test_each_user_gets_the_reply_that_he_would_get_alone():
    recordings = users(5000, 9000, 1920, 6001)
    settings = [dataclasses.replace(LIVELY, seed=seed) for seed in range(4)]
    ended = []
    together = talk(conversations(2), recordings, settings=settings, on_done=ended.append)
    assert sorted(ended) == list(range(4))
    assert ended[0] == 0
    single = conversations(2)
    for recording, own, reply in zip(recordings, settings, together, strict=True):
        T = -(-len(recording) // 1920)
        assert reply.text.shape == (T,)
        assert reply.codes.shape == (4, T)
        assert reply.wav.shape == (T * 1920,)
        (alone,) = talk(single, [recording], settings=own)
        assert torch.equal(alone.text, reply.text)
        assert torch.equal(alone.codes, reply.codes)
        assert alone.words == reply.words
    assert single.free == 2


def test_words_of_a_reply_have_the_frame_of_their_token_in_the_row():
    said = iter([3, 0, *tokenizer().encode(" seven"), 3, 3, 3, 3, 3])
    talker = Talker(frames(users(1920 * 8)[0], 1920), conversations(), hooks=Hooks(on_text=lambda _: next(said)))
    run(conversations(1), [talker])
    (word,) = talker.words
    assert (word.text, word.start_s) == ("seven", 0.24)
    assert talker.reply().text[word.frame] == tokenizer().encode(" seven")[0]


def test_what_the_user_says_is_among_the_words_and_shown_apart():
    row = [tokenizer().heard, *tokenizer().encode(" two"), 0, *tokenizer().encode(" seven"), 3]
    said, shown = iter([3, *row, *[3] * 9]), []
    live = Conversations(pair().moshi, None, tokenizer(), text_layout=TextLayout(delays_s={"heard": -0.16}))
    talker = Talker(nobody(12), live, hooks=Hooks(on_text=lambda _: next(said)), on_frame=shown.append)
    run(live, [talker])
    assert [(word.text, word.speaker) for word in talker.words] == [("two", "user"), ("seven", "moshi")]
    assert talker.words[0].start_s == pytest.approx(3 / 12.5 - 0.16)  # the row's first frame is the opening
    assert "".join(spoken.heard or "" for spoken in shown) == " two"
    assert "".join(spoken.piece or "" for spoken in shown) == " seven"
    assert not any(spoken.heard and spoken.piece for spoken in shown)


def test_a_model_that_takes_notes_can_transcribe_while_it_talks():
    codes = torch.randint(32, (4, 12), generator=torch.Generator().manual_seed(0))
    options = {"settings": dataclasses.replace(LIVELY, text_temperature=3.0, text_top_k=0), "mode": "duplex"}
    live = Conversations(pair().moshi, None, tokenizer(), text_layout=TextLayout("moshi_and_heard", {"heard": -0.16}))
    (transcript,) = transcribe(live, [codes], **options)
    (reply,) = talk(live, [torch.cat([codes, codes[:, -1:].expand(-1, 7)], dim=1)], settings=options["settings"])
    assert transcript.tokens[:18] == reply.text[1:].tolist()
    assert {word.speaker for word in transcript.words} <= {"user"}
    deaf = Conversations(pair().moshi, None, tokenizer(), text_layout=TextLayout("moshi"))
    with pytest.raises(ValueError, match="does not write down what it hears while it talks: take the mode asr"):
        transcribe(deaf, [codes], mode="duplex")


def test_words_are_as_late_as_the_model_has_learnt_to_write_them():
    layout = TextLayout(delays_s={"asr": -0.24, "tts": 0.8})
    live = Conversations(pair().moshi, None, tokenizer(), text_layout=layout)
    codes = torch.randint(32, (4, 6), generator=torch.Generator().manual_seed(0))
    given, learnt = (transcribe(live, [codes], settings=LIVELY, **how) for how in ({"text_delay_s": 0.24}, {}))
    assert given == learnt
    assert transcribe(live, [codes], settings=LIVELY, text_delay_s=0.4) != learnt
    lengths = [speak(live, ["one"], settings=LIVELY, **how)[0].codes.shape for how in ({}, {"text_delay_s": 0.8})]
    assert lengths[0] == lengths[1]


def nobody(num_frames):
    """A user who is not there."""
    return [torch.full((4,), -1)] * num_frames


def test_users_in_codes_and_in_sound_get_the_same_reply():
    recording = users(1920 * 6)[0]
    with torch.no_grad():
        codes = pair().codec.encode(torch.from_numpy(recording)[None, None], 4)[0]
    (heard,) = talk(conversations(), [recording], settings=LIVELY)
    (read,) = talk(conversations(sound=False), [codes], settings=LIVELY)
    assert torch.equal(heard.codes, read.codes)
    assert read.wav is None
    with pytest.raises(ValueError, match="the user's recording is empty"):
        talk(conversations(), [np.zeros(0, np.float32)])


def test_without_a_codec_the_end_goes_on_until_the_last_word_can_be_written():
    made = pair()
    codes = torch.randint(made.moshi.codebook_size, (made.moshi.num_user_codebooks, 9))
    live = Conversations(made.moshi, None, made.tokenizer)
    options = {"settings": dataclasses.replace(LIVELY, text_top_k=0), "text_delay_s": 0.24}
    (short,) = transcribe(live, [codes], **options)
    (long,) = transcribe(live, [torch.cat([codes, codes[:, -1:].expand(-1, 20)], dim=1)], **options)
    assert len(short.tokens) > 9
    assert short.tokens == long.tokens[: len(short.tokens)]


def test_a_transcript_has_the_times_of_the_sound_and_knows_nothing_before_the_delay():
    recordings, told = users(1920 * 10, 1920 * 4), []
    transcripts = transcribe(conversations(2), recordings, settings=LIVELY, text_delay_s=0.24)
    assert [len(t.tokens) for t in transcripts] == [10 + 3 + 5, 4 + 3 + 5]
    for recording, transcript in zip(recordings, transcripts, strict=True):
        assert transcript.tokens[:2] == [-1, -1]
        assert transcript.words
        for word in transcript.words:
            # the first token of the list is that of frame 1
            assert transcript.tokens[word.frame - 1] == word.tokens[0]
            assert word.start_s == pytest.approx(word.frame / 12.5 - 0.24, abs=1e-3)
        live = conversations(2)
        options = {"settings": LIVELY, "text_delay_s": 0.24, "silence": silence(live)}
        one = Transcriber(frames(recording, 1920), live, **options, on_word=told.append)
        run(live, [one])
        assert one.tokens == transcript.tokens
    assert told == [word for transcript in transcripts for word in transcript.words]


def test_texts_are_read_word_for_word_whatever_the_model_would_write():
    texts = ["one two three four", "moshi: hello there.\nuser: what is it?\nmoshi: seven"]
    together = speak(conversations(2, sound=False), texts, settings=LIVELY)
    assert [" ".join(word.text for word in speech.words) for speech in together] == [texts[0], "hello there. seven"]
    for speech in together:
        last = speech.words[-1].start_s
        assert last + 0.4 <= speech.codes.shape[1] / 12.5 <= last + 0.4 + 2 * 0.64


def test_a_voice_is_told_frame_by_frame():
    alone, told = conversations(2), []
    speaker = Speaker("one two", alone, settings=LIVELY, on_frame=told.append, pace=Pace(max_pause_s=0.16))
    run(alone, [speaker])
    speech = speaker.speech()
    assert torch.equal(torch.stack([frame.codes for frame in told], dim=1), speech.codes)
    assert np.array_equal(np.concatenate([frame.wav for frame in told]), speech.wav)
    assert speech.wav.shape == (speech.codes.shape[1] * 1920,)


def test_what_cannot_be_read_is_refused():
    for text, problem in [("  ", "nothing to read"), ("user: hello", "nothing to read"), ("moshi: a\nb", "who speaks")]:
        with pytest.raises(ValueError, match=problem):
            speak(conversations(), [text])
    with pytest.raises(ValueError, match="must not be negative"):
        Pace(max_pause_s=-1)
    assert moshi_lines("Time: 3 o'clock") == ["Time: 3 o'clock"]
    assert moshi_lines("moshi: ...\nMoshi: yes") == ["yes"]


def read(drawn, entries, **options):
    reading = Reading(entries, tokenizer(), pad=3, epad=0, max_pause=options.pop("max_pause", 4), **options)
    said = []
    for token in drawn:
        said.append(reading.next(token))
        if reading.is_over:
            break
    return said, reading.is_over


def test_the_model_says_when_and_we_say_what():
    space, inside = tokenizer().encode(" two")[0], tokenizer().encode("x")[-1]
    words = [(50, 51), (60,), (70,)]
    # it announces, it begins without announcing, it waits too long; what goes on within a word is no wish
    drawn = [3, 0, 99, 99, space, inside, 3, 3, 3, 3, 99, 0]
    assert read(drawn, words, opening=0) == ([3, 0, 50, 51, 60, 3, 3, 3, 3, 0, 70, 3], True)
    assert read([0] * 9, words, opening=2)[0] == [3, 3, 0, 50, 51, 0, 60, 0, 70]


def test_pauses_begin_when_the_word_is_over():
    drawn = [0, 99, 3, 0, 99, 99, 0, 99, 0]
    assert read(drawn, [(50,), Pause(3), (60,)], opening=0) == ([0, 50, 3, 3, 3, 3, 0, 60, 3], True)


def test_what_is_read_looks_as_in_training():
    words = WordTokens(tokenizer())
    text = "hello there. seven é"
    timed = [TimedTokens(0.5 * i + 0.5, 0.5 * i + 0.8, words(word)) for i, word in enumerate(text.split())]
    row = TextRowBuilder(frame_rate=12.5, pad=3, epad=0).build(timed, 40).tokens.tolist()
    # a model that would write that very row
    assert read(row, map(words, text.split()), opening=0, max_pause=20)[0][:30] == row[:30]
