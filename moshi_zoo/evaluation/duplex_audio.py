"""What the sound of a conversation shows: who speaks when, which words a listener hears, whose voice it is.

Each conversation is measured beside the dialogue as it was written, decoded from its codes by the same codec: what is
measured there is the most that this codec, this listener and this detector of speech can show.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from moshi_zoo.data.dialogue import is_right
from moshi_zoo.data.dialogue_audio_voices import Talker
from moshi_zoo.data.turn_statistics import inter_pausal_units
from moshi_zoo.evaluation.answers import Answer, SpokenWord, answers, common_words
from moshi_zoo.evaluation.codec import Codec
from moshi_zoo.evaluation.duplex_conversations import Conversation
from moshi_zoo.evaluation.listener import Listener
from moshi_zoo.evaluation.measured import Measured, share
from moshi_zoo.evaluation.measurement import SHARE, Measure, Value
from moshi_zoo.evaluation.script import Question, questions
from moshi_zoo.evaluation.speaker import MFCC_SIMILARITY, SpeakerSimilarity
from moshi_zoo.evaluation.turn_taking import Scene, turn_taking
from moshi_zoo.evaluation.voice_activity import speech_spans

HEARD_RIGHT = Measure("answers_heard_right", "answers heard right in the sound", SHARE)
RIGHT_ONES_HEARD = Measure("right_answers_heard", "of answers right in the text, heard right", SHARE)
ANSWER_WORDS_HEARD = Measure("answer_words_heard", "words of answers, in order, heard in the sound", SHARE)
WORDS_HEARD = Measure("words_heard", "words of the text heard in the sound", SHARE)
ORIGINAL_HEARD = Measure("answers_heard_original", "answers heard right in the speech before the codec", SHARE)
_OWN_VOICE = Measure("own_voice", "more like Moshi's voice than any user's", SHARE)


_VOICE_S = 8.0  # of speech, to know a voice


@dataclass(frozen=True)
class Sound:
    """What one side of a conversation sounds like, and what was measured.

    Args:
        wav: [S].
        heard: words that the listener hears, with the time of their middle.
        measured: the measures.
    """

    wav: Tensor
    heard: list[SpokenWord]
    measured: Measured


class Ears:
    """Decodes conversations and measures their sound.

    Args:
        codec: that the codes are of.
        listener: names words; None: nobody listens to words.
        moshi: who speaks Moshi's part in the dialogues, to hear what the listener makes of him without the codec; None:
            that is not known.
        similarity: compares voices.
        device: where the codec is.
    """

    def __init__(
        self,
        codec: Codec,
        listener: Listener | None,
        *,
        moshi: Talker | None = None,
        similarity: SpeakerSimilarity = MFCC_SIMILARITY,
        device: torch.device | str = "cpu",
    ):
        self.codec, self.listener, self.similarity, self.device = codec, listener, similarity, device
        self.moshi = moshi
        self.voice_measure = Measure(similarity.name, f"{similarity.title} with Moshi's voice", "")
        self._own: Tensor | None = None
        self._others: list[Tensor] = []

    def learn_voices(self, moshi_codes: Sequence[Tensor], user_codes: Sequence[Tensor]) -> None:
        """Hear how Moshi and some users sound: codes [K, T] of their channels."""
        self._own = self._speech(torch.cat([self.decode(codes) for codes in moshi_codes]))
        self._others = [self._speech(self.decode(codes)) for codes in user_codes]

    @torch.inference_mode()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes [K, T] -> waveform [S]."""
        return self.codec.decode(codes[None].clamp(min=0).to(self.device))[0, 0].cpu()

    def said(self, conversation: Conversation, by_text: Sequence[Answer]) -> Sound:
        """What Moshi said.

        Args:
            conversation: that was had.
            by_text: its answers by the inner monologue.
        """
        return self._sound(conversation, conversation.codes, conversation.said, by_text)

    def written(self, conversation: Conversation, by_text: Sequence[Answer]) -> Sound:
        """What Moshi says in the dialogue."""
        sound = self._sound(conversation, conversation.expected_codes, conversation.expected_words, by_text)
        if self.listener is None or self.moshi is None or conversation.voice != self.moshi.name:
            return sound
        original = Measured({ORIGINAL_HEARD: self._original(conversation, self.listener, self.moshi)})
        return replace(sound, measured=sound.measured | original)

    def _original(self, conversation: Conversation, listener: Listener, moshi: Talker) -> Value:
        """Moshi's turns with right answers, spoken anew."""
        right = []
        for turn in conversation.turns:
            if turn.speaker != "moshi" or not turn.expected or not all(map(listener.knows, turn.expected.split())):
                continue
            spoken = moshi.say(turn.text)
            heard = " ".join(word.text for word in listener.hear(spoken.wav, spoken.sample_rate))
            right.append(is_right(heard, listener.heard_as(turn.expected)))
        return share(sum(right), len(right))

    def _sound(
        self, conversation: Conversation, codes: Tensor, words: Sequence[SpokenWord], by_text: Sequence[Answer]
    ) -> Sound:
        wav = self.decode(codes)
        spans = speech_spans(wav, self.codec.sample_rate)
        scene = Scene(conversation.turns, conversation.user_words, spans, conversation.seconds)
        measured = turn_taking(scene) | Measured(self._voice(wav, bool(spans)))
        heard = self.listener.hear(wav, self.codec.sample_rate) if self.listener else []
        # Words that are heard in what is no speech were not said.
        heard = [word for word in heard if any(a <= word.start_s <= b for a, b in inter_pausal_units(spans))]
        if self.listener:
            asked = questions(conversation.turns, conversation.seconds)
            measured |= Measured(_of_words(self.listener, asked, words, heard, by_text))
        return Sound(wav, heard, measured)

    def _voice(self, wav: Tensor, speaks: bool) -> dict[Measure, Value]:
        if not speaks or self._own is None:
            return {}
        speech, rate = self._speech(wav), self.codec.sample_rate
        own = self.similarity.compare(speech, self._own, rate)
        values = {self.voice_measure: Value(own)}
        if self._others and not math.isnan(own):
            others = [self.similarity.compare(speech, other, rate) for other in self._others]
            values[_OWN_VOICE] = Value(float(own > max(others)))
        return values

    def _speech(self, wav: Tensor) -> Tensor:
        """The first seconds of speech, without what is between [S]."""
        rate = self.codec.sample_rate
        spans = speech_spans(wav, rate) or [(0.0, _VOICE_S)]
        return torch.cat([wav[round(a * rate) : round(b * rate)] for a, b in spans])[: round(_VOICE_S * rate)]


def _of_words(
    listener: Listener,
    asked: Sequence[Question],
    words: Sequence[SpokenWord],
    heard: Sequence[SpokenWord],
    by_text: Sequence[Answer],
) -> dict[Measure, Value]:
    """What the listener makes of the answers, and of all that is said; words that it does not know do not count."""
    known = [
        (replace(question, expected=listener.heard_as(question.expected)), in_text.right)
        for question, in_text in zip(asked, by_text, strict=True)
        if all(map(listener.knows, question.expected.split()))
    ]
    judged = answers([question for question, _ in known], heard)
    spoken = [
        answer.right for answer, (question, right) in zip(judged, known, strict=True) if right and question.expected
    ]
    own = listener.heard_as(" ".join(word.text for word in words)).split()
    own = [word for word in own if listener.knows(word)]
    return {
        HEARD_RIGHT: share(sum(answer.right for answer in judged), len(judged)),
        ANSWER_WORDS_HEARD: share(sum(a.words_right for a in judged), sum(a.num_words for a in judged)),
        RIGHT_ONES_HEARD: share(sum(spoken), len(spoken)),
        WORDS_HEARD: share(common_words(own, [word.text for word in heard]), len(own)),
    }
