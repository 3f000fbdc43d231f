"""Documents to test with."""

import functools
import random
from collections.abc import Sequence
from itertools import islice

import numpy as np

from moshi_zoo.data.dialogues import dialogues
from moshi_zoo.data.sentences import sentence
from moshi_zoo.data.text_documents import Encoded
from moshi_zoo.data.text_store import Documents
from moshi_zoo.tokenizer import Tokenizer


@functools.cache
def tokenizer() -> Tokenizer:
    """A small one, of the embedded dialogues."""
    return Tokenizer.train([d.text for d in islice(dialogues(), 300)], vocab_size=400)


def texts(count: int, *, seed: int = 0) -> list[str]:
    """Different documents of one to five sentences."""
    rng = random.Random(seed)
    return [f"{i}: " + " ".join(sentence(rng) for _ in range(rng.randint(1, 5))) for i in range(count)]


def numbered(lengths: Sequence[int]) -> Documents:
    """Documents whose tokens all differ: document 2 is 2000, 2001, ..."""
    return Documents.from_encoded(Encoded([1000 * i + j for j in range(n)]) for i, n in enumerate(lengths))


def hashed(documents: Documents, hashes: Sequence[int]) -> Documents:
    """The same documents with these hashes."""
    starts, lengths = documents.starts, documents.lengths
    return Documents(documents.tokens, starts, lengths, np.array(hashes, np.uint64), documents.counted)
