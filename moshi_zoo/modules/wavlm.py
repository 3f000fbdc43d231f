"""WavLM (Chen et al. 2021) as a teacher, as in Moshi paper 3.3.3: torchaudio's network, with weights from a file."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from moshi_zoo.modules.teacher import FEATURE_RATE, Teacher, standardized
from moshi_zoo.modules.torchaudio_guard import load_torchaudio
from moshi_zoo.modules.wavlm_weights import load_weights, read_weights
from moshi_zoo.registry import register

SAMPLE_RATE = 16_000  # Hz, of what WavLM hears
_CONVOLUTIONS = [(10, 5), *[(3, 2)] * 4, *[(2, 2)] * 2]  # kernel, stride
_FIELD, _HOP = 400, SAMPLE_RATE // FEATURE_RATE  # samples that a feature sees, and from one to the next

# Kaiser-windowed sinc: flat to 0.9 of Nyquist, images and aliases below -140 dB.
_RESAMPLING = {
    "lowpass_filter_width": 64,
    "rolloff": 0.9475937167399596,
    "resampling_method": "sinc_interp_kaiser",
    "beta": 14.769656459379492,
}


@register(
    "wavlm-teacher",
    presets={
        # random weights, for tests
        "tiny": {
            **{"dim": 32, "num_layers": 2, "num_heads": 2, "hidden_dim": 64, "conv_dim": 16},
            **{"norm": "first", "normalize": True, "weights": "random"},
        },
        # microsoft/wavlm-base-plus, 94 M parameters
        "base-plus": {
            **{"dim": 768, "num_layers": 12, "num_heads": 12, "hidden_dim": 3072, "conv_dim": 512},
            **{"norm": "last", "normalize": False},
        },
        # microsoft/wavlm-large, 316 M parameters: the paper's
        "large": {
            **{"dim": 1024, "num_layers": 24, "num_heads": 16, "hidden_dim": 4096, "conv_dim": 512},
            **{"norm": "first", "normalize": True},
        },
    },
)
class WavLMTeacher(Teacher):
    """Hidden states of a WavLM, at any sample rate.

    On the meta device it stays without its network: there is nothing to load into, and nothing to train.

    Args:
        dim: width of the transformer.
        num_layers: of the transformer.
        num_heads: of its attention.
        hidden_dim: of its feed-forward layers.
        conv_dim: channels of the convolutions before it.
        norm: ``first``: layers normalize their input, as in the large model; ``last``: their output, as in the others.
        normalize: give each clip mean 0 and variance 1, as its training did (``do_normalize`` of its preprocessor).
        layer: the output of this layer, from 1; the last one's is normalized. ``mean``: of all layers. The paper does
            not say which.
        standardize: ``clip`` gives each feature mean 0 and variance 1 over the clip: if ``constant_cosine`` comes near
            1, the common direction of all features hides what there is to learn.
        weights: a file, or a folder as Hugging Face has it; ``random`` for tests.

    Raises:
        ValueError: if there are no weights, they do not fit, or there is no such layer.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        conv_dim: int,
        norm: Literal["first", "last"],
        normalize: bool,
        layer: int | Literal["mean"] = "mean",
        standardize: Literal["none", "clip"] = "none",
        weights: str | None = None,
    ) -> None:
        super().__init__(dim)
        if layer != "mean" and not 1 <= layer <= num_layers:
            raise ValueError(f"layer is {layer}, but this WavLM has 1 to {num_layers}, or `mean`")
        self.num_layers, self.norm, self.normalize = num_layers, norm, normalize
        self.layer, self.standardize = layer, standardize
        self.network: Any = None
        device = torch.get_default_device()
        if device.type == "meta":
            return
        tensors = None if weights == "random" else read_weights(weights)
        with torch.device(device if tensors is None else "meta"):  # no time for values that are replaced at once
            self.network = load_torchaudio().models.wavlm_model(
                extractor_mode="layer_norm" if norm == "first" else "group_norm",
                extractor_conv_layer_config=[(conv_dim, *shape) for shape in _CONVOLUTIONS],
                extractor_conv_bias=False,
                encoder_embed_dim=dim,
                encoder_projection_dropout=0.0,
                encoder_pos_conv_kernel=128,
                encoder_pos_conv_groups=16,
                encoder_num_layers=num_layers,
                encoder_num_heads=num_heads,
                encoder_num_buckets=320,
                encoder_max_distance=800,
                encoder_attention_dropout=0.0,
                encoder_ff_interm_features=hidden_dim,
                encoder_ff_interm_dropout=0.0,
                encoder_dropout=0.0,
                encoder_layer_norm_first=norm == "first",
                encoder_layer_drop=0.0,
                aux_num_out=None,
            )
        if tensors is not None:
            load_weights(self.network, tensors, source=str(weights))
        self.network.eval().requires_grad_(requires_grad=False)

    def features(self, wav: Tensor, sample_rate: int) -> Tensor:
        """``[B, 1, S] -> [B, dim, N]`` at 50 Hz, feature n centred on (n + 1/2) / 50 s."""
        assert self.network is not None, "made on the meta device"
        heard = self._prepare(wav[:, 0], sample_rate)
        layers, _ = self.network.extract_features(heard, num_layers=None if self.layer == "mean" else self.layer)
        if self.norm == "first" and len(layers) == self.num_layers:
            layers[-1] = self.network.encoder.transformer.layer_norm(layers[-1])
        features = torch.stack(layers).mean(dim=0) if self.layer == "mean" else layers[-1]
        features = features.float().transpose(1, 2)  # [B, N, D] -> [B, D, N]
        return standardized(features) if self.standardize == "clip" else features

    def _prepare(self, wav: Tensor, sample_rate: int) -> Tensor:
        """What the network hears, [B, S] -> [B, S'] at 16 kHz: with edges such that each 20 ms are one feature."""
        with torch.autocast(wav.device.type, enabled=False):
            wav = load_torchaudio().functional.resample(wav.float(), sample_rate, SAMPLE_RATE, **_RESAMPLING)
            if self.normalize:
                wav = F.layer_norm(wav, wav.shape[-1:], eps=1e-7)
            return F.pad(wav, ((_FIELD - _HOP) // 2,) * 2)
