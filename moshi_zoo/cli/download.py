"""The verb ``download``: a model from the hub to a zoo folder."""

from pathlib import Path


def download(name: str, *, revision: str | None = None, to: Path | None = None) -> None:
    """Fetch a model, check what came, and turn it into a zoo folder in checkpoints/.

    A download that broke off goes on with the files that are complete. HF_TOKEN, HF_HOME, HF_ENDPOINT and
    HF_HUB_OFFLINE mean what they mean to Hugging Face's programs.

    Args:
        name: of the catalogue (`list` shows it), or hf://owner/name.
        revision: commit, branch or tag of the repository, instead of the catalogue's.
        to: the zoo folder to write, instead of checkpoints/NAME.
    """
    from moshi_zoo.zoo import catalogue, folder
    from moshi_zoo.zoo import download as downloads
    from moshi_zoo.zoo.config import read_config

    if name.startswith("hf://"):
        path = downloads.on_demand(name, revision=revision, to=to, say=print)
    else:
        path = downloads.download(catalogue.find(name), revision=revision, to=to, say=print)
    config = read_config(path)
    print(f"{path}: {config.component}, {folder.num_parameters(config.spec):,} parameters, licence {config.licence}")
