"""Uploads a model's folder to the hub: a zoo folder, or one that ``export --format hf`` wrote."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from moshi_zoo.tokenizer import FILE as TOKENIZER
from moshi_zoo.zoo import config as config_file
from moshi_zoo.zoo import folder, hf_folder, hub, licences
from moshi_zoo.zoo.card import model_card
from moshi_zoo.zoo.config import read_config, write_config

_PUBLISHED = {
    config_file.FILE,
    folder.CARD,
    TOKENIZER,
    hf_folder.CONFIG,
    hf_folder.INDEX,
    "preprocessor_config.json",
    "generation_config.json",
}
_HEAD = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)


@dataclass(frozen=True)
class Plan:
    """What an upload would do.

    Args:
        files: name in the repository -> file here.
        left_out: files of the folder that are no part of a model.
        licence: that the card says.
    """

    files: Mapping[str, Path]
    left_out: tuple[str, ...]
    licence: str

    @property
    def num_bytes(self) -> int:
        """Of all files together."""
        return sum(file.stat().st_size for file in self.files.values())


def plan(model: Path, licence: str | None = None) -> Plan:
    """Look through a folder, and check what is in it.

    Args:
        model: a zoo folder, or one in Hugging Face's layout.
        licence: SPDX name; None: the one that the folder says.

    Raises:
        ValueError: if it is none, is damaged, says no licence, or links to a file elsewhere; or there is no such
            licence.
    """
    named = None if licence is None else licences.checked(licence)
    files, left_out = {}, []
    for file in sorted(model.iterdir()):
        if file.name in _PUBLISHED or file.suffix == ".safetensors":
            if file.resolve().parent != model.resolve():
                raise ValueError(f"{file} is a link to {file.resolve()}, outside the folder: it is not uploaded")
            files[file.name] = file
        else:
            left_out.append(file.name)
    if not any(name.endswith(".safetensors") for name in files):
        raise ValueError(f"{model} holds no weights in safetensors files")
    if config_file.FILE in files:
        folder.verify(model)
        folder.check(model)
        said = read_config(model).licence
    elif hf_folder.CONFIG in files:
        said = _licence_of_card(model / folder.CARD)
    else:
        raise ValueError(f"{model} has neither {config_file.FILE} nor {hf_folder.CONFIG}: it is no model's folder")
    if (licence := named or said) == licences.UNSPECIFIED:
        raise ValueError(
            f"{model} does not say under which licence it may be used, and nobody could use it: --licence NAME says it "
            "(that of the data and of the models it was made from has a say in it)"
        )
    return Plan(files, tuple(left_out), licences.checked(licence))


def relicensed(made: Plan, model: Path, scratch: Path) -> Plan:
    """The plan with a config and a card that name its licence, where those of the folder name another.

    Args:
        made: of :func:`plan`.
        model: the zoo folder.
        scratch: an empty folder, for both files.

    Raises:
        ValueError: if the folder is no zoo folder.
    """
    config = read_config(model)
    if config.licence == made.licence:
        return made
    config = replace(config, licence=made.licence)
    write_config(scratch, config)
    (scratch / folder.CARD).write_text(model_card(model.name, config, folder.num_parameters(config.spec)))
    new = {name: scratch / name for name in (config_file.FILE, folder.CARD)}
    return replace(made, files={**made.files, **new})


def upload(made: Plan, repository: str, *, private: bool, message: str) -> str:
    """Upload in one commit; the repository is made if there is none.

    Args:
        made: of :func:`plan`.
        repository: ``owner/name``.
        private: whether nobody else may see a repository that is made.
        message: of the commit.

    Returns:
        Where to see it.

    Raises:
        ValueError: if there is no token, or the hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, get_token

    if get_token() is None:
        raise ValueError("publishing needs a token of yours that may write: set HF_TOKEN, or `hf auth login`")
    with hub.explained(repository, "main"):
        api = hub.client()
        api.create_repo(repository, private=private or None, exist_ok=True)  # None: as the owner has it
        operations = [CommitOperationAdd(name, str(file)) for name, file in made.files.items()]
        return api.create_commit(repository, operations, commit_message=message).commit_url


def _licence_of_card(card: Path) -> str:
    head = _HEAD.match(card.read_text()) if card.is_file() else None
    try:
        said = yaml.safe_load(head[1]) if head else None
    except yaml.YAMLError as error:
        raise ValueError(f"{card}: its head is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(said, Mapping) or not isinstance(said.get("license"), str):
        return licences.UNSPECIFIED
    return licences.from_card(said["license"], said.get("license_name"))
