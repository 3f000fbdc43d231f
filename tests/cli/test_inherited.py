"""What data take over from the models that a run starts from."""

from dataclasses import replace

import pytest
from jsonargparse import Namespace

from moshi_zoo.cli.inherited import take_over
from moshi_zoo.zoo.config import read_config, write_config
from moshi_zoo.zoo.text_layout import TextLayout
from tests.runtime.pairs import save_pair

HEARING = TextLayout("moshi_and_heard", {"duplex": 0.0, "heard": -0.48})


@pytest.fixture
def moshi(tmp_path):
    """The zoo folder of a Moshi that writes down what it hears."""
    save_pair(tmp_path)
    write_config(tmp_path / "moshi", replace(read_config(tmp_path / "moshi"), text_layout=HEARING))
    return tmp_path / "moshi"


def taken_over(models, **said):
    arguments = Namespace(tokenizer=None, text_of=None, heard_delay_s=None)
    arguments.update(Namespace(**said))
    take_over(Namespace(class_path="x", init_args=arguments), models)
    return arguments.text_of, arguments.heard_delay_s


def test_data_for_a_whole_model_are_written_as_it_has_learnt_it(moshi):
    arguments = Namespace(tokenizer=None, text_of=None, heard_delay_s=None)
    take_over(Namespace(class_path="x", init_args=arguments), {"net": moshi})
    assert arguments == Namespace(
        tokenizer=str(moshi / "tokenizer.model"), text_of="moshi_and_heard", heard_delay_s=0.48
    )


def test_what_the_recipe_says_holds(moshi):
    assert taken_over({"net": moshi}, text_of="moshi") == ("moshi", None)
    assert taken_over({"net": moshi}, heard_delay_s=0.2) == ("moshi_and_heard", 0.2)
    assert taken_over({"net": moshi}, text_of="moshi_and_heard") == ("moshi_and_heard", 0.48)


def test_a_part_of_a_model_and_one_that_says_nothing_bring_no_layout(moshi):
    assert taken_over({"temporal": moshi}) == (None, None)
    write_config(moshi, replace(read_config(moshi), text_layout=TextLayout()))
    assert taken_over({"net": moshi}) == (None, None)


def test_other_data_stay_as_they_are(moshi):
    arguments = Namespace(source="recordings")
    take_over(Namespace(class_path="x", init_args=arguments), {"net": moshi})
    assert arguments == Namespace(source="recordings")
    take_over(None, {"net": moshi})
