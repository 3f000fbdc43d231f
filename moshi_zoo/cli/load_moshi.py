"""From the name of a speech language model to the model and its tokenizer, for the verbs that measure it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from moshi_zoo.cli.load_codec import check_device

if TYPE_CHECKING:
    from moshi_zoo.models.moshi import Moshi
    from moshi_zoo.tokenizer import Tokenizer
    from moshi_zoo.zoo.config import ZooConfig
    from moshi_zoo.zoo.sampling import Sampling


@dataclass(frozen=True)
class LoadedMoshi:
    """A speech language model, ready to use, and where it came from."""

    net: "Moshi"
    tokenizer: "Tokenizer"
    config: "ZooConfig"
    folder: Path

    @property
    def sampling(self) -> "Sampling":
        """How to draw from it, unless the user says otherwise."""
        from moshi_zoo.zoo.sampling import Sampling

        return self.config.sampling or Sampling()


def load_moshi(name: str, device: str) -> LoadedMoshi:
    """Load a speech language model.

    Args:
        name: what the user typed.
        device: where to put it.

    Raises:
        ValueError: if there is no such model or device, the model is no speech language model, or it has no tokenizer
            that fits.
    """
    check_device(device)

    from moshi_zoo.models.moshi import Moshi
    from moshi_zoo.tokenizer import FILE, Tokenizer
    from moshi_zoo.zoo import folder, uri
    from moshi_zoo.zoo.config import read_config

    path = uri.resolve(name)
    config = read_config(path)
    net = folder.load(path, device)
    if not isinstance(net, Moshi):
        raise ValueError(f"{name} is a {config.component}, which is no speech language model")
    if not (path / FILE).is_file():
        raise ValueError(f"{path} has no {FILE}: copy the SentencePiece model that it was trained with there")
    tokenizer = Tokenizer.load(path / FILE)
    if tokenizer.vocab_size > net.temporal.vocab_size:
        raise ValueError(
            f"{path}: its tokenizer has {tokenizer.vocab_size} ids, but the model only {net.temporal.vocab_size}: this "
            "is not the tokenizer that it was trained with"
        )
    return LoadedMoshi(net, tokenizer, config, path.absolute())
