"""The program: its verbs, help and exit codes."""

import subprocess
import sys

import pytest

import moshi_zoo
from moshi_zoo import __main__ as program
from moshi_zoo.__main__ import VERBS, main


def test_help_lists_every_verb(capsys):
    assert main([]) == main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, verb in VERBS.items():
        assert f"{name}  " in text
        assert verb.help in text


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in VERBS)], ids=lambda words: words[0])
def test_help_does_not_import_torch(words):
    code = (
        "import sys; from moshi_zoo.__main__ import main; code = main(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"moshi_zoo {words[0]}" in done.stdout or words == ["--help"]


def test_version(capsys):
    assert main(["--version"]) == 0
    assert moshi_zoo.__version__ in capsys.readouterr().out


def test_an_unknown_verb_names_the_nearest(capsys):
    assert main(["fitt"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("moshi_zoo fitt: no verb is called 'fitt'; did you mean fit")


def verb_that_raises(monkeypatch, error):
    def raise_it(words):
        raise error

    monkeypatch.setattr(program, "_run", raise_it)


def test_a_missing_file_is_wrong_use(monkeypatch, capsys):
    verb_that_raises(monkeypatch, FileNotFoundError(2, "No such file or directory", "x.wav"))
    assert main(["encode"]) == 2
    assert capsys.readouterr().err == "moshi_zoo encode: x.wav: No such file or directory\n"


def test_an_error_of_another_library_is_a_bug_with_a_traceback(monkeypatch, capsys):
    monkeypatch.setattr(program, "_run", int)  # int(["x"]) raises a TypeError, int("x") a ValueError outside our files
    assert main(["x"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_debug_shows_where_wrong_use_was_found(monkeypatch, capsys):
    monkeypatch.setenv("MOSHI_ZOO_DEBUG", "1")
    assert main(["fitt"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_quiet(monkeypatch, capsys):
    verb_that_raises(monkeypatch, KeyboardInterrupt())
    assert main(["fit"]) == 130
    assert capsys.readouterr() == ("", "")
