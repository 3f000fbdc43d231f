"""``data inspect``: what there is to train Moshi on, in numbers, as a picture, and to listen to."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from moshi_zoo.cli.load_codec import load_codec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moshi_zoo.data.code_store import CodeStore
    from moshi_zoo.data.dialogue_survey import DialogueSummary, Surveyed
    from moshi_zoo.data.dialogue_windows import Rows, TextOf
    from moshi_zoo.data.text_row import Crowded
    from moshi_zoo.tokenizer import Tokenizer

_MIMI_FRAME_RATE = 12.5  # for files that are not encoded yet
_FISHER = {"ipu": 51.1, "pause": 6.4, "gap": 4.2, "overlap": 3.3}  # telephone calls (Moshi paper, table 9)
_LOST_SHARE = 0.01  # of tokens: more is worth a warning
_BLOCK_FRAMES = 50


def inspect(
    source: Path,
    *,
    tokenizer: str | None = None,
    crowded: Literal["shift", "replace", "truncate"] = "shift",
    text_of: Literal["moshi", "user", "both", "moshi_and_heard"] = "moshi",
    heard_delay: float = 0.48,
    item: int = 0,
    picture: Path | None = None,
    audio: Path | None = None,
    model: str | None = None,
    device: str = "cpu",
) -> None:
    """Show dialogues in numbers, as a picture of all rows, and as the audio that their codes stand for.

    Args:
        source: a store made by `data encode`; for numbers alone also a manifest or folder of dialogues.
        tokenizer: a SentencePiece file, or a zoo folder: shows shares of PAD and EPAD, and how much text is lost.
        crowded: what becomes of words that come too fast for their tokens: they wait (shift), replace those of the
            word before, or are left out (truncate).
        text_of: whose words the row of text has; moshi_and_heard: Moshi's, and between them what it hears the user say.
        heard_delay: seconds after which what is heard is written.
        item: number of the dialogue for picture and audio.
        picture: PNG file to write: the rows of text and codes, with the words; needs --tokenizer.
        audio: file to write: the dialogue made from its codes; needs --model.
        model: name or folder of the codec that made the codes.
        device: where to compute, such as cpu or cuda.
    """
    from moshi_zoo.data.alignments import find_dialogues
    from moshi_zoo.data.code_store import CodeStore
    from moshi_zoo.data.dialogue_survey import of_files, of_store
    from moshi_zoo.tokenizer import Tokenizer

    speech = Tokenizer.load(tokenizer) if tokenizer else None
    if not (source / "store.json").is_file():
        if picture or audio:
            raise ValueError(f"{source} is no store of codes: picture and audio need one, see `data encode`")
        _show(of_files(find_dialogues(source)), speech, _MIMI_FRAME_RATE, crowded)
        return
    store = CodeStore(source)
    if (picture or audio) and not 0 <= item < len(store.entries):
        raise ValueError(f"item is {item}, but {source} has {len(store.entries)} dialogues, numbered from 0")
    codec = store.codec
    print(f"{source}: {codec.num_codebooks} codebooks of {codec.codebook_size}, by {codec.name} ({codec.sha256[:12]})")
    _show(of_store(store), speech, codec.frame_rate, crowded)
    rows = _rows(store, speech, crowded, text_of, heard_delay) if speech else None
    if rows and text_of == "moshi_and_heard":
        _show_heard(store, rows)
    if picture:
        if rows is None:
            raise ValueError("a picture shows the row of text: give --tokenizer")
        _draw(rows, store, item, picture)
    if audio:
        if model is None:
            raise ValueError("the audio is made by the codec that made the codes: give --model")
        _synthesise(store, item, model, device, audio)


def _show(
    dialogues: "Iterable[Surveyed]", tokenizer: "Tokenizer | None", frame_rate: float, crowded: "Crowded"
) -> None:
    from moshi_zoo.data.dialogue_survey import summarise
    from moshi_zoo.data.text_row import TextRowBuilder
    from moshi_zoo.word_tokens import WordTokens

    if tokenizer:
        builder = TextRowBuilder(frame_rate=frame_rate, pad=tokenizer.pad, epad=tokenizer.epad, crowded=crowded)
        summary = summarise(dialogues, text=builder, tokens=WordTokens(tokenizer))
    else:
        summary = summarise(dialogues)
    minutes = summary.seconds / 60
    print(f"dialogues   {summary.dialogues}, {minutes:.1f} min; words of {summary.unknown} are not known")
    print(f"words       {summary.moshi_words} of Moshi, {summary.user_words} of users")
    turns = (f"{name} {value:.1f} ({_FISHER[name]})" for name, value in summary.turns.per_minute().items())
    print(f"s a minute  {', '.join(turns)}; in brackets: telephone calls")
    if tokenizer:
        _show_text(summary, frame_rate)


def _show_text(summary: "DialogueSummary", frame_rate: float) -> None:
    text = summary.text
    print(
        f"text row    PAD {text.pad_share:.1%}, EPAD {text.epad_share:.1%}, {text.num_tokens} tokens in "
        f"{text.num_frames} frames; words wait for {text.max_shift / frame_rate:.2f} s at most"
    )
    print(f"lost        {text.words_dropped} of {text.num_words} words, {text.tokens_dropped} tokens")
    if text.dropped_share > _LOST_SHARE:
        print(f"note: {text.dropped_share:.1%} of the text is lost: look at the times of the words", file=sys.stderr)


def _rows(
    store: "CodeStore", tokenizer: "Tokenizer", crowded: "Crowded", text_of: "TextOf", heard_delay: float
) -> "Rows":
    from moshi_zoo.data.dialogue_windows import Rows
    from moshi_zoo.data.text_row import TextRowBuilder
    from moshi_zoo.word_tokens import WordTokens

    codec = store.codec
    builder = TextRowBuilder(frame_rate=codec.frame_rate, pad=tokenizer.pad, epad=tokenizer.epad, crowded=crowded)
    return Rows(
        builder,
        WordTokens(tokenizer),
        num_own_codebooks=codec.num_codebooks,
        num_user_codebooks=codec.num_codebooks,
        text_of=text_of,
        heard_delay_s=heard_delay,
    )


def _show_heard(store: "CodeStore", rows: "Rows") -> None:
    from moshi_zoo.data.alignments import MAIN
    from moshi_zoo.data.dialogue_windows import Place

    said = written = 0
    for item in range(len(store.entries)):
        said += sum(len(word.text.split()) for word in store.words(item) or [] if word.speaker != MAIN)
        if row := rows.text_row(Place(store, item)):
            written += len(rows.tokens.tokenizer.words_heard(row.tokens.tolist()))
    print(f"heard       {written} of the users' {said} words find room between Moshi's")


def _draw(rows: "Rows", store: "CodeStore", item: int, out: Path) -> None:
    from moshi_zoo.data.alignments import MAIN
    from moshi_zoo.data.dialogue_windows import Place
    from moshi_zoo.metrics.heard_tokens import HeardTokens
    from moshi_zoo.metrics.streams_picture import streams_picture

    codec, tokenizer, place = store.codec, rows.tokens.tokenizer, Place(store, item)
    words = store.words(item) or []
    codes = rows.window(place, 0, place.num_frames)
    image = streams_picture(
        codes,
        frame_rate=codec.frame_rate,
        codebook_size=codec.codebook_size,
        pad=tokenizer.pad,
        epad=tokenizer.epad,
        words={
            "Moshi says": [(word.start_s, word.text) for word in words if word.speaker == MAIN],
            "user says": [(word.start_s, word.text) for word in words if word.speaker != MAIN],
        },
        heard=HeardTokens(tokenizer)(codes[0]),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    image.save(out)
    print(f"{out}: dialogue {item}, {store.entries[item].path}")


def _synthesise(store: "CodeStore", item: int, model: str, device: str, out: Path) -> None:
    import torch

    from moshi_zoo.data import audio

    loaded = load_codec(model, device)
    if loaded.config.sha256 != store.codec.sha256:
        raise ValueError(f"{model} did not make these codes, {store.codec.name} did ({store.codec.sha256[:12]})")
    codec, codes = loaded.net, store.codes(item)  # [C, K, T]
    channels, _, T = codes.shape
    state = codec.init_state(channels, max_frames=_BLOCK_FRAMES)
    out.parent.mkdir(parents=True, exist_ok=True)
    with audio.Writer(out, codec.sample_rate, channels) as writer, torch.inference_mode():
        for block in codes.split(_BLOCK_FRAMES, dim=-1):
            writer.write(codec.decode(block.to(device), state=state.decoder)[:, 0])  # [C, S]
    print(f"{out}: dialogue {item} from its codes, {T / codec.frame_rate:.2f} s")
