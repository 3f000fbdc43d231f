"""The verbs ``fit``, ``validate``, ``test`` and ``predict``: their short help, and the way to the trainer."""

import itertools
from pathlib import Path

from moshi_zoo.host_memory import prepare_to_train

_EXAMPLE = "recipes/nano/mimi.yaml"
_HELP = """\
usage: python -m moshi_zoo {verb} --config RECIPE [--config OVERLAY ...] [--NAME VALUE ...]

{what}

  --config FILE            a recipe; give several to stack them, later ones win (recipes/with/ holds overlays)
  --run_name NAME          results go to runs/NAME
  --ckpt_path last|best|FILE
                           {checkpoint}
  --init_from.PART MODEL   start with the weights of another model: PART is a submodule of the net, or `net` for all
  --seed_everything N      seed of all random numbers (7)
  --threads N              CPU threads (one for each core)

Every value of a recipe can be set by its name, after the --config that it changes:
  --data.batch_size 8                        of the data
  --model.net.dim 96                         of the network, on top of its preset
  --trainer.max_steps 100                    of Lightning's Trainer; also
  --trainer.accelerator cpu|gpu, --trainer.devices N, --trainer.precision bf16-mixed, --trainer.max_time 00:01:00:00,
  --trainer.val_check_interval N, --trainer.limit_val_batches N, --trainer.fast_dev_run true

To see all there is:
  {verb} --help-all                           every option (long)
  {verb} --model.help LitMimi                 options of a stage; also --data.help SegmentData
  {verb} --config RECIPE --print_config       the recipe with everything filled in

  python -m moshi_zoo {verb} --config {example}"""

_WHAT = {
    "fit": "Train a model. Writes runs/NAME: config.yaml, metrics.csv, checkpoints/, samples/ and zoo/ (the result).",
    "validate": "Measure a model on the recipe's validation data. Writes runs/NAME/validate.csv.",
    "test": "Measure a model on the recipe's test data. Writes runs/NAME/test.csv.",
    "predict": "Run a model over the recipe's prediction data.",
}
_RESUME = "continue a run where it stopped, in its folder"
_WEIGHTS = "weights of a training run"


def run(words: list[str]) -> None:
    """Run a training verb.

    Args:
        words: the verb and what the user typed after it.
    """
    verb, *rest = words
    if set(rest) & {"-h", "--help"}:
        print(
            _HELP.format(
                verb=verb, what=_WHAT[verb], checkpoint=_RESUME if verb == "fit" else _WEIGHTS, example=_EXAMPLE
            )
        )
        return
    from moshi_zoo.cli.command import with_underscores

    rest = ["--help" if word == "--help-all" else word for word in with_underscores(rest)]
    _check_recipes(verb, rest)
    prepare_to_train()
    from moshi_zoo.cli import trainer

    trainer.run([verb, *rest])


def _check_recipes(verb: str, words: list[str]) -> None:
    """Look at the recipes before the seconds that it takes to import the trainer; name the file that is at fault."""
    import yaml

    from moshi_zoo.registry import unknown

    if not any(word.startswith(("-c", "--config", "--model", "--data", "--help")) for word in words):
        raise ValueError(f"{verb} needs a recipe, such as --config {_EXAMPLE}")
    for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
        flag, sign, value = word.partition("=")
        if flag not in ("-c", "--config"):
            continue
        path = Path(value if sign else following)
        if not path.is_file():
            raise ValueError(unknown("recipe", str(path), map(str, Path("recipes").glob("**/*.yaml"))))
        try:
            yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
