"""The modes of the runtime are those of training."""

from typing import get_args

from moshi_zoo.data.dialogue_modes import ModeName, mark
from moshi_zoo.runtime.settings import Mode, opening_token
from tests.runtime.pairs import tokenizer


def test_conversations_begin_with_the_marks_of_training():
    assert get_args(Mode) == get_args(ModeName)
    for mode in get_args(Mode):
        assert opening_token(mode, tokenizer(), pad=3) == (mark(mode, tokenizer()) or 3)
