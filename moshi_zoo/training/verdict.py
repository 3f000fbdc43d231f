"""What a discriminator thinks of a batch, in numbers for the log."""

import torch
from torch import Tensor

from moshi_zoo.losses.adversarial import discriminator_loss
from moshi_zoo.modules.discriminator import DiscriminatorOutput


@torch.no_grad()
def verdict(real: DiscriminatorOutput, fake: DiscriminatorOutput) -> dict[str, Tensor]:
    """The discriminator's loss (2: it cannot tell), and how often it is right.

    Args:
        real: what it says of recordings.
        fake: and of the codec's output for them.
    """
    on_real, on_fake = real.logits, fake.logits
    right = [((x > 0).float().mean() + (y < 0).float().mean()) / 2 for x, y in zip(on_real, on_fake, strict=True)]
    return {
        "discriminator": discriminator_loss(on_real, on_fake),
        "discriminator_accuracy": torch.stack(right).mean(),
    }
