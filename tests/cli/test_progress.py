"""Lines of progress, where there is no terminal."""

from moshi_zoo.cli.progress import progress_callback


def test_a_log_file_gets_lines(recipe, moshi_zoo):
    assert type(progress_callback()).__name__ == "ProgressLines"
    _, out, _ = moshi_zoo("fit", "--config", recipe)
    lines = out.splitlines()
    assert any(line.startswith("step 1/8") and "train/loss" in line for line in lines)
    assert any(line.startswith("validation at step 8: val/loss") for line in lines)
    assert not any("\r" in line or "\x1b" in line for line in lines)


def test_the_bar_can_be_switched_off(recipe, moshi_zoo):
    _, out, _ = moshi_zoo("fit", "--config", recipe, "--trainer.enable_progress_bar", "false")
    assert "step 1" not in out
