"""Training on text that lies otherwise than a model has learnt it."""

import warnings

import pytest

from moshi_zoo.training.text_layouts import check_text_layout
from moshi_zoo.zoo.config import ZooConfig
from moshi_zoo.zoo.text_layout import TextLayout

HEARING = TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.48})
DEAF = TextLayout("moshi", {"duplex": 0.0})
LATE = TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.64})
NAMES = r"base has learnt with the text layout moshi_and_heard \(.*heard -0.48 s\), but the data have moshi"


def config(layout):
    return ZooConfig("moshi", {}, "0" * 64, text_layout=layout)


@pytest.mark.parametrize("data", [DEAF, LATE])
def test_an_adapter_for_another_layout_is_refused_with_both_and_the_fix(data):
    with pytest.raises(ValueError, match=rf"{NAMES}.*without data\.text_of and data\.heard_delay_s"):
        check_text_layout(data, "base", config(HEARING), is_adapter=True)


def test_a_whole_model_may_learn_another_layout_and_that_is_warned_of():
    with pytest.warns(UserWarning, match=rf"{NAMES}.*it will unlearn the one"):
        check_text_layout(DEAF, "base", config(HEARING), is_adapter=False)


@pytest.mark.parametrize("learnt", [HEARING, TextLayout(), TextLayout("moshi_and_heard", {"tts": 0.4})])
@pytest.mark.parametrize("is_adapter", [True, False])
def test_the_same_layout_or_one_that_is_not_known_says_nothing(learnt, is_adapter):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_text_layout(HEARING, "base", config(learnt), is_adapter=is_adapter)
