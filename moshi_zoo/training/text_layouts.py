"""What becomes of a model's text when it is trained on: in another layout, it unlearns the one it knows."""

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from moshi_zoo.zoo.config import ZooConfig
from moshi_zoo.zoo.text_layout import TextLayout


def check_text_layout(data: TextLayout, source: str, config: ZooConfig, *, is_adapter: bool) -> None:
    """Compare the text of the data with that of the model that a run starts from.

    A model may be taught another layout on purpose, as conversations are after pre-training; it is warned of. An
    adapter may not: it is too small for that, and its model would still write the other one.

    Args:
        data: the layout of the data.
        source: name of the model.
        config: of its zoo folder.
        is_adapter: whether an adapter is trained.

    Raises:
        ValueError: if an adapter's data contradict its model.
    """
    learnt = config.text_layout
    if not data.contradicts(learnt):
        return
    difference = f"init_from: {source} has learnt with the text layout {learnt}, but the data have {data}"
    fix = f"{source} learns on as it did without data.text_of and data.heard_delay_s"
    if "duplex" in learnt.delays_s:
        fix += f", and with a text delay of {learnt.delay_s('duplex'):g} s in conversations"
    if is_adapter:
        raise ValueError(f"{difference}: it would unlearn what its adapter cannot teach it anew. {fix}")
    rank_zero_warn(f"{difference}: it will unlearn the one and learn the other. If that is not what you want: {fix}")
