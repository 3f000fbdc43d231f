"""The training verbs: Lightning's command line, with our presets, run folders and messages."""

import importlib
import inspect
import json
import pkgutil
import re
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from moshi_zoo import registry
from moshi_zoo.cli.command import ShortErrors
from moshi_zoo.cli.inherited import take_over
from moshi_zoo.cli.metrics_csv import MetricsCsv
from moshi_zoo.cli.model_summary import PartsSummary
from moshi_zoo.cli.progress import progress_callback
from moshi_zoo.cli.quiet import quiet
from moshi_zoo.cli.run_folder import checkpoint_path, make_room, run_folder
from moshi_zoo.cli.save_recipe import SaveRecipe
from moshi_zoo.training.curves import Curves
from moshi_zoo.training.init_from import InitFrom
from moshi_zoo.training.run_checkpoint import RunCheckpoint
from moshi_zoo.training.stage import Stage
from moshi_zoo.training.wandb_models import WandbModels
from moshi_zoo.training.zoo_writer import ZooWriter
from moshi_zoo.zoo import uri
from moshi_zoo.zoo.config import read_config

_WRAPPED = "Does not validate against any of the Union subtypes"
SEED = 7  # not 1: Lightning takes that for True, "any seed"


def run(words: list[str]) -> "ZooCLI":
    """Run a training verb.

    Args:
        words: verb and options. Options alone make everything the recipe names, and run nothing.

    Raises:
        ValueError: if the recipe asks for what cannot be.
    """
    quiet()
    _prepare()
    words = [_expanded(word) for word in words]
    verbs = ZooCLI.subcommands()
    try:
        return ZooCLI(
            Stage,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,  # ours is made with the trainer
            seed_everything_default=SEED,
            trainer_defaults={"use_distributed_sampler": False},  # Lightning's always shuffles
            parser_class=_Parser,
            auto_configure_optimizers=False,
            args=words,
            run=bool(words) and words[0] in verbs,
        )
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        refusal = error  # of a component, wrapped by jsonargparse in all that it has tried
        while str(refusal).startswith(_WRAPPED) and isinstance(refusal.__cause__, ValueError):
            refusal = refusal.__cause__
        if refusal is error:
            raise
        raise ValueError(str(refusal)) from error


class ZooCLI(LightningCLI):
    """LightningCLI that keeps a run in ``runs/<run_name>``."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Presets are expanded while a file is read, so that flags and later files can change their values."""
        kwargs = {"parser_mode": "omegaconf", "allow_abbrev": False, "prog": "moshi_zoo", **kwargs}
        return super().init_parser(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Our top-level entries of a recipe, and what net and data share (as far as they have it)."""
        for shared in ("sample_rate", "vocab_size", "num_own_codebooks", "num_user_codebooks", "codebook_size"):
            parser.link_arguments(f"model.init_args.net.init_args.{shared}", f"data.init_args.{shared}")
        parser.add_argument("--run_name", type=str, default="debug", help="results go to runs/<run_name>")
        parser.add_argument("--threads", type=int | None, default=None, help="CPU threads; null: one for each core")
        parser.add_argument(
            "--init_from", type=dict[str, str], default={}, help="part of the net -> model to start from"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; what OmegaConf refuses is the user's to mend, too."""
        try:
            self.config = parser.parse_args(args)
        except OmegaConfBaseException as error:
            cause = str(error).partition("\n")[0].rpartition("resolving interpolation: ")[2]
            raise ValueError(f"{error.full_key}: {cause}") from error

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint is for its state, the hyper-parameters are those that were typed."""

    def before_instantiate_classes(self) -> None:
        """Settle the number of threads, the run's folder, and what depends on its name."""
        if (threads := self._get(self.config, "threads")) is not None:
            if threads < 1:
                raise ValueError(f"threads is {threads}; it must be 1 or more")
            torch.set_num_threads(threads)
        self.root = run_folder(self._get(self.config, "run_name"))
        # a wrong name shall cost a second, not the loading of data
        models = {part: uri.resolve(source) for part, source in self._get(self.config, "init_from").items()}
        section = self.config[self.subcommand] if self.subcommand else self.config
        take_over(section.get("data"), models)
        self.recipe = self._recipe()
        self.checkpoint = checkpoint_path(self.root, section.get("ckpt_path"))
        if self.checkpoint:
            section["ckpt_path"] = str(self.checkpoint)
            section["weights_only"] = True  # never unpickle code; our checkpoints hold plain values
        if isinstance(section.trainer.val_check_interval, int) and section.trainer.check_val_every_n_epoch == 1:
            section.trainer.check_val_every_n_epoch = None  # count batches over the run: an epoch may have fewer
        for logger in _as_list(section.trainer.logger):
            if isinstance(logger, Namespace) and logger.class_path.endswith("WandbLogger"):
                _name_wandb_run(logger, self._get(self.config, "run_name"), self.root)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Add what every run has: folder, metrics.csv, curves, progress, checkpoints, zoo folder, its recipe."""
        made = self.config_init[self.subcommand] if self.subcommand else self.config_init
        config = made["trainer"]
        callbacks = [*_as_list(config.callbacks), InitFrom(made["init_from"])]
        if config.enable_progress_bar is not False:
            _add(callbacks, ProgressBar, progress_callback())
        if config.enable_model_summary is not False:
            _add(callbacks, ModelSummary, PartsSummary())
        self.keeps_results = not config.fast_dev_run and self.subcommand == "fit"
        if self.keeps_results:
            callbacks += [SaveRecipe(self.recipe), Curves(), WandbModels()]
        if self.keeps_results and config.enable_checkpointing is not False:
            _add(callbacks, RunCheckpoint, RunCheckpoint())
            _add(callbacks, ZooWriter, ZooWriter())
        kwargs |= {"default_root_dir": str(self.root), "callbacks": callbacks, "logger": self._loggers(config.logger)}
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, ImportError) as error:
            raise ValueError(f"trainer: {error}") from error

    def before_fit(self) -> None:
        """Everything could be made: the run begins."""
        if self.trainer.is_global_zero and self.keeps_results:
            make_room(self.root, self.checkpoint)

    def after_fit(self) -> None:
        """Say where the result is."""
        if self.trainer.is_global_zero and self.keeps_results and (self.root / "zoo").is_dir():
            print(f"The model is in {self.root / 'zoo'}; `--model {self.root}` uses it.", flush=True)

    def _run_subcommand(self, subcommand: str) -> None:
        try:
            super()._run_subcommand(subcommand)
        except SystemExit as error:
            if self.trainer.interrupted:  # Lightning turns Ctrl-C into a failure
                if self.trainer.is_global_zero and (self.root / "checkpoints/last.ckpt").exists():
                    print(
                        f"Stopped at step {self.trainer.global_step}; --ckpt_path last goes on from there.", flush=True
                    )
                raise KeyboardInterrupt from error
            raise

    def _recipe(self) -> str:
        config = self.config.clone()
        section = config[self.subcommand] if self.subcommand else config
        section.pop("config", None)
        if "ckpt_path" in section:
            section["ckpt_path"] = None  # the recipe starts a run; it does not resume one
        return self._parser(self.subcommand).dump(section, skip_none=False)

    def _loggers(self, configured: Any) -> list[Logger] | bool:
        if configured is False:
            return False
        name = "metrics" if self.subcommand in (None, "fit") else self.subcommand
        return [MetricsCsv(self.root / f"{name}.csv"), *(x for x in _as_list(configured) if isinstance(x, Logger))]


class _Parser(ShortErrors, LightningArgumentParser):
    """Lightning's parser with short errors."""


def _prepare() -> None:
    """Make short class names and presets known, and mend an annotation."""
    for home in ("moshi_zoo.modules", "moshi_zoo.models", "moshi_zoo.data", "moshi_zoo.training"):
        for module in pkgutil.iter_modules(importlib.import_module(home).__path__, home + "."):
            importlib.import_module(module.name)
    for name, expand in _EXPANSIONS.items():
        OmegaConf.register_resolver(name, expand, replace=True)
    OmegaConf.register_resolver("component", _class_path, replace=True)
    # Lightning's annotation `int | float` has become `float | int` in typing's cache: a 1, meaning one batch, turns
    # into 1.0, meaning all of them.
    annotations = inspect.unwrap(Trainer.__init__).__annotations__
    for name in [n for n in annotations if n.startswith("limit_") and n.endswith("_batches")]:
        annotations[name] = int | float | None


def _class_path(component: str) -> str:
    cls = registry.component(component)
    return f"{cls.__module__}.{cls.__qualname__}"


def _sizes_of(model: str) -> registry.Spec:
    """The ``{class_path, init_args}`` of a model that is here."""
    return registry.from_portable(read_config(uri.resolve(model)).spec)


_EXPANSIONS = {"preset": registry.preset, "model": _sizes_of}


def _expanded(word: str) -> str:
    """What a user typed, with ``${preset:NAME}`` in it as plain text: on the command line nobody else expands it."""
    flag, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
    match = re.fullmatch(rf"\$\{{({'|'.join(_EXPANSIONS)}):([^}}]+)\}}", value)
    return flag + sign + json.dumps(_EXPANSIONS[match[1]](match[2])) if match else word


def _name_wandb_run(logger: Namespace, run_name: str, root: Path) -> None:
    defaults = {"name": run_name, "save_dir": str(root)}
    for key, value in defaults.items():
        if logger.init_args.get(key) in (None, "."):
            logger.init_args[key] = value


def _as_list(value: Any) -> list[Any]:
    if value is None or isinstance(value, bool):
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _add(callbacks: list[Callback], kind: type[Callback], default: Callback) -> None:
    if not any(isinstance(callback, kind) for callback in callbacks):
        callbacks.append(default)
