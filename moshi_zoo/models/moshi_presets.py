"""Sizes of Moshi: each has the transformer of Helium's preset of that name, and the codes of Mimi's."""

from moshi_zoo.models.helium import HIDDEN_SCALE
from moshi_zoo.models.helium import PRESETS as HELIUM_PRESETS
from moshi_zoo.modules.gating import gated_width
from moshi_zoo.registry import Spec

_DEPTH_7B = {"dim": 1024, "num_layers": 6, "num_heads": 16}


def _preset(
    trunk: str,
    *,
    num_codebooks: int = 8,
    codebook_size: int,
    depth: Spec,
    context: int | None = None,
    acoustic_delay: int = 1,
    **more: object,
) -> Spec:
    helium, speaker = HELIUM_PRESETS[trunk], [0, *[acoustic_delay] * (num_codebooks - 1)]
    return {
        **helium,
        "transformer": helium["transformer"] | ({"context": context} if context else {}),
        "num_own_codebooks": num_codebooks,
        "num_user_codebooks": num_codebooks,
        "codebook_size": codebook_size,
        "delays": [0, *speaker, *speaker],
        "depth": {
            "hidden_dim": gated_width(depth["dim"], HIDDEN_SCALE),
            "schedule": None,
            "embedding_rank": None,
            "norm_eps": 1e-8,
            "parallel": False,
            **depth,
        },
        "user_heads": False,
        "num_extra_heads": 0,
        "extra_head_dim": 6,
        **more,
    }


PRESETS = {
    # every branch in under 200 k parameters, for tests
    "tiny": _preset(
        "tiny",
        num_codebooks=4,
        codebook_size=32,
        depth={
            "dim": 16,
            "num_layers": 2,
            "num_heads": 2,
            "schedule": [0, 1, 2, 2, 3, 3, 2, 2],
            "embedding_rank": 8,
        },
        user_heads=True,
        num_extra_heads=2,
    ),
    # minutes of training on two cores; it learns from 19 seconds at a time, and talks nonsense if it sees more
    "nano": _preset("nano", context=240, codebook_size=256, depth={"dim": 128, "num_layers": 2, "num_heads": 4}),
    # 7.9 M: hours on one of them; likewise
    "small": _preset("small", context=240, codebook_size=256, depth={"dim": 128, "num_layers": 2, "num_heads": 4}),
    # 236 M: one GPU
    "base": _preset("base", codebook_size=1024, depth={"dim": 512, "num_layers": 4, "num_heads": 8}),
    # moshiko and moshika: they see four minutes
    "7b": _preset("7b", context=3000, codebook_size=2048, depth=_DEPTH_7B),
    # the same, with the longer acoustic delay of the paper's first stage
    "7b-pretraining": _preset("7b", context=3000, codebook_size=2048, depth=_DEPTH_7B, acoustic_delay=2),
}
