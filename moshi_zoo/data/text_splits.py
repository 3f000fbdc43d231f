"""Which documents are held out: decided by their text, so that equal documents are never on both sides."""

from dataclasses import replace

import numpy as np

from moshi_zoo.data.text_store import Documents

_LARGEST = 2.0  # times the share to hold out: longer documents always train


def hold_out(documents: Documents, share: float) -> tuple[Documents, Documents]:
    """Divide documents into those to train on and those to validate on.

    Documents are taken in the order of their hashes until they have the share of all tokens: nobody's place depends on
    the order of files, nor much on what else there is. Where there are only few and long documents, the end of the
    longest one is held out instead.

    Args:
        documents: All of them.
        share: Share of their tokens to hold out, up to 0.5.
    """
    wanted = share * documents.num_tokens
    lots = np.argsort(documents.hashes, kind="stable")
    lots = lots[documents.lengths[lots] <= _LARGEST * wanted]
    before = np.cumsum(documents.lengths[lots]) - documents.lengths[lots]
    held = np.isin(documents.hashes, documents.hashes[lots[before < wanted]])
    if held.any() and not held.all():
        return documents.select(~held), documents.select(held)
    longest = int(np.argmax(documents.lengths))
    tail = min(max(int(wanted), 1), int(documents.lengths[longest]) // 2)
    lengths = documents.lengths.copy()
    lengths[longest] -= tail
    end = documents.select(np.array([longest]))
    return replace(documents, lengths=lengths), replace(
        end, starts=end.starts + lengths[longest], lengths=np.array([tail])
    )
