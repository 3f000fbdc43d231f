"""Validation of a codec: what is measured, and the clips to hear and see."""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from moshi_zoo.metrics.codec import CodebookUse, CodecMetrics
from moshi_zoo.metrics.pictures import codebook_picture, spectrogram_picture
from moshi_zoo.models.mimi import Mimi
from moshi_zoo.training.samples import log_audio, log_picture


class CodecValidation(nn.Module):
    """Measures reconstructions with all codebooks that have started; without any, as long as none has.

    Args:
        codec: which will be validated; it is given to each method again, since this module does not own it.
    """

    def __init__(self, codec: Mimi):
        super().__init__()
        self.metrics = CodecMetrics(codec.sample_rate)
        self.codebook_use = CodebookUse(codec.num_codebooks, codec.codebook_size, frame_rate=codec.frame_rate)

    def measure(self, codec: Mimi, wav: Tensor) -> Tensor:
        """Take in a batch [B, 1, S]; returns the reconstruction."""
        decoded, codes = _reconstruct(codec, wav)
        self.metrics.update(decoded, wav)
        if codes is not None and codec.quantizer.is_initialized:
            self.codebook_use.update(codes)
        return decoded

    def finish(self, stage: LightningModule, codec: Mimi) -> dict[str, Tensor]:
        """The metrics of all batches of all processes; starts anew. Every process calls this.

        Args:
            stage: that validates: its run gets a picture of the codebooks.
            codec: validated.
        """
        values = dict(self.metrics.compute())
        self.metrics.reset()
        if codec.quantizer.is_initialized:
            use = self.codebook_use.compute()
            for level, (used, perplexity) in enumerate(zip(use["used"], use["perplexity"], strict=True)):
                values |= {f"used_{level}": used, f"perplexity_{level}": perplexity}
            values["bitrate"] = use["bitrate"]
            with self.codebook_use.sync_context():
                values["frames"] = self.codebook_use.counts[0].sum().float()
                log_picture(stage, "val/codebooks", codebook_picture(self.codebook_use.counts))
        self.codebook_use.reset()
        return values


def show_clips(stage: LightningModule, codec: Mimi, wav: Tensor, decoded: Tensor) -> None:
    """Keep clips as sound, and as spectrograms with those of the semantic codebook alone.

    Args:
        stage: whose run keeps them.
        codec: that made them.
        wav: recordings [B, 1, S].
        decoded: their reconstructions.
    """
    used = codec.quantizer.num_started
    semantic = _reconstruct(codec, wav, 1)[0] if used else None
    for i in range(len(wav)):
        rows = {"original": wav[i, 0], f"{used} codebooks" if used else "unquantized": decoded[i, 0]}
        if semantic is not None:
            rows["1 codebook"] = semantic[i, 0]
        log_audio(stage, f"val/{i}_original", wav[i], codec.sample_rate)
        log_audio(stage, f"val/{i}_decoded", decoded[i], codec.sample_rate)
        log_picture(stage, f"val/{i}_spectrogram", spectrogram_picture(rows, codec.sample_rate))


@torch.no_grad()
def _reconstruct(codec: Mimi, wav: Tensor, num_codebooks: int | None = None) -> tuple[Tensor, Tensor | None]:
    """The reconstruction, and its codes if any codebook has started."""
    used = codec.quantizer.num_started
    if not used:
        return codec(wav).wav[..., : wav.shape[-1]], None
    codes = codec.encode(wav, num_codebooks or used)
    return codec.decode(codes)[..., : wav.shape[-1]], codes
