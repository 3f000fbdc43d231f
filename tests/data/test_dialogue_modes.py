"""The ways of using the rows."""

import pytest

from moshi_zoo.data.dialogue_modes import Mode, mark
from moshi_zoo.tokenizer import Tokenizer


def test_a_mode_must_make_sense():
    with pytest.raises(ValueError, match=r"asr is \[0.1, 0.2\]; it must be at most 0"):
        Mode("asr", text_delay_s=(0.1, 0.2))
    with pytest.raises(ValueError, match=r"tts is .* 0 or more"):
        Mode("tts", text_delay_s=(-0.1, 0.2))
    with pytest.raises(ValueError, match="weight of the mode duplex is 0"):
        Mode(weight=0)
    with pytest.raises(ValueError, match="must be a range"):
        Mode(text_delay_s=(0.2, 0.1))


def test_marks_are_no_text():
    tokenizer = Tokenizer.train(["hello there"] * 3, vocab_size=300, size="at most")
    marks = [mark(name, tokenizer) for name in ("duplex", "asr", "tts")]
    assert marks == [None, tokenizer.bos, tokenizer.eos]
    assert tokenizer.decode([mark for mark in marks if mark is not None]) == ""
