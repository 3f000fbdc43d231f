"""Conversations for fine-tuning: the data module that teaches answers."""

import logging
from collections.abc import Sequence
from typing import ClassVar

from moshi_zoo.data.chat import Chat
from moshi_zoo.data.text_data import TextData
from moshi_zoo.data.text_documents import DocumentKind
from moshi_zoo.data.text_rows import Rows, WholeRows
from moshi_zoo.data.text_store import Documents
from moshi_zoo.tokenizer import Tokenizer

log = logging.getLogger(__name__)


class ChatData(TextData):
    """Packed conversations: batches as those of :class:`TextData`, but only the assistant's words are to be predicted.

    A source is a ``.jsonl`` file with ``{"messages": [{"role": "user", "content": "..."}, ...]}`` a line, a folder of
    them, a pattern, or ``dialogues``, in which Moshi is the assistant. The roles are ``system``, ``user`` and
    ``assistant``; :mod:`moshi_zoo.data.chat` has the template. Rows hold whole conversations, so that every answer sees
    its question, and are filled up with padding; one longer than a row loses its end. Give it the ``tokenizer`` of the
    model that is tuned.
    """

    kind: ClassVar[DocumentKind] = Chat()

    def _rows(self, documents: Documents, tokenizer: Tokenizer) -> Rows:
        rows = WholeRows(documents, seq_len=self.seq_len, pad=tokenizer.pad)
        if rows.num_cut:
            log.warning(
                "%d of %d conversations are longer than seq_len (%d) and lose their end: the longest has %d tokens",
                rows.num_cut,
                len(documents),
                self.seq_len,
                documents.lengths.max(),
            )
        return rows

    def _fixed_rows(self, documents: Documents, tokenizer: Tokenizer) -> Rows:
        return WholeRows(documents, seq_len=self.seq_len, pad=tokenizer.pad)

    def _dialogue_rows(self, tokenizer: Tokenizer, families: Sequence[str], *, pad: int | None = None) -> Rows:
        return super()._dialogue_rows(tokenizer, families, pad=tokenizer.pad)
