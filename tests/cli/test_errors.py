"""What jsonargparse refuses, in one line. (Its own messages are met in test_trainer.py; these are the rarer shapes.)"""

import pytest

from moshi_zoo.cli.errors import explain

UNION = """Parser key "{key}":
  Does not validate against any of the Union subtypes
  Subtypes: [<class 'int'>, <class 'NoneType'>]
  Errors:
    - Expected a <class 'int'>
    - Expected a <class 'NoneType'>
  Given value type: <class 'str'>
  Given value: {value}"""


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (UNION.format(key="num_codebooks", value="a"), "num_codebooks: 'a' is not int"),
        ("unrecognized arguments: --bach=3 --x", "no option is called '--bach'; did you mean --batch?"),
        ("unrecognized arguments: b c", "one word too many: 'b'"),
        ("the following arguments are required: model, out", "model, out not given"),
        ("Group 'a' does not accept option 'bach'", "no option is called 'bach'; did you mean batch?"),
        ("Parser key \"k\":\n  Expected a typing.Literal['a', 'b']. Got value: c", "k: 'c' is not a or b"),
        ("Something\n   new", "Something new"),
    ],
)
def test_a_message_becomes_a_line(message, line):
    assert explain(message, ["batch", "config"]) == line
