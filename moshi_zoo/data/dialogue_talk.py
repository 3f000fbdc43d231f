"""Talk that is more than question and answer: small talk, interruptions, backchannels, silence.

Each function writes the middle of a dialogue. Answers that can be checked come from what was said before ("what is my
name?"), or are exercises, so the rule of :mod:`moshi_zoo.data.dialogue_tasks` on what is held out covers them; other
values are held out in pairs with their wording.
"""

import random
from collections.abc import Callable, Mapping

from moshi_zoo.data.dialogue import Turn
from moshi_zoo.data.dialogue_questions import DAYS, MONTHS, NUMBERS, TASKS
from moshi_zoo.data.dialogue_tasks import Split, exercise, split_of

_NAMES = (
    *("anna", "ben", "carol", "david", "emma", "frank", "grace", "henry", "julia", "laura"),
    *("leo", "lucy", "martha", "nora", "oliver", "paul", "peter", "sarah", "simon", "thomas"),
)
_FOODS = ("apples", "bread", "cake", "cheese", "coffee", "fish", "lemons", "pears", "rice", "soup", "tea", "toast")
_PLACES = ("the beach", "the church", "the garden", "the library", "the market", "the park", "the river", "the station")
_THINGS = ("apples", "birds", "boats", "books", "cats", "chairs", "flowers", "horses", "lemons", "trees")
_FEELINGS = {
    **dict.fromkeys(("fine", "great", "happy", "very well"), "that is good to hear."),
    **dict.fromkeys(("a little sad", "cold", "not so good", "tired"), "i am sorry to hear that."),
}
_WEATHER = {
    **dict.fromkeys(("cold", "windy", "snowing"), "yes, take a warm coat."),
    **dict.fromkeys(("raining", "wet"), "yes, do not forget your hat."),
    **dict.fromkeys(("sunny", "warm"), "yes, it is a good day for a walk."),
}
_GREETINGS = {
    "hello.": ("hello, how can i help you?", "hello, what can i do for you?"),
    "hi, moshi.": ("hi, how can i help you?", "hi, nice to hear you."),
    "good morning.": ("good morning, how can i help you?", "good morning."),
    "good evening, moshi.": ("good evening, what can i do for you?", "good evening."),
}
_GOODBYES = {
    "thank you.": ("you are welcome.", "no problem."),
    "thank you, that is all.": ("you are welcome, goodbye.", "you are welcome."),
    "goodbye.": ("goodbye.", "goodbye, see you soon."),
    "that was all, goodbye.": ("goodbye, have a nice day.", "goodbye."),
}
_ABOUT_MOSHI = {
    "how are you?": ("i am fine, thank you.", "very well, thank you."),
    "who are you?": ("i am moshi.", "my name is moshi."),
    "what is your name?": ("my name is moshi.", "i am moshi."),
    "what can you do?": ("i can count, add numbers and talk with you.", "i can listen and talk with you."),
    "where do you live?": ("i live in this computer.",),
}
_BACKCHANNELS = ("mhm", "yes", "okay", "right", "i see", "uh huh")
_RECITALS = {
    **dict.fromkeys(("count to ten", "count from one to ten", "say the numbers up to ten"), NUMBERS[1:11]),
    **dict.fromkeys(("say the days of the week", "what are the days of the week?"), DAYS),
    **dict.fromkeys(("say the months of the year", "what are the months of the year?"), MONTHS),
}


def greeting(rng: random.Random) -> list[Turn]:
    """Hello and hello."""
    return _said_and_answered(rng, _GREETINGS)


def goodbye(rng: random.Random) -> list[Turn]:
    """The end of a dialogue."""
    return _said_and_answered(rng, _GOODBYES)


def question_and_answer(rng: random.Random, split: Split, *, families: tuple[str, ...] = tuple(TASKS)) -> list[Turn]:
    """An exercise of one of the families."""
    drawn = exercise(rng.choice(TASKS[rng.choice(families)]), rng, split)
    return [Turn("user", drawn.question), Turn("moshi", drawn.reply, expected=drawn.answer)]


def small_talk(rng: random.Random, split: Split) -> list[Turn]:
    """Two or three subjects, in any order."""
    subjects: list[Callable[[random.Random, Split], list[Turn]]] = [_name, _feeling, _weather, _taste]
    turns = [subject(rng, split) for subject in rng.sample(subjects, rng.randrange(1, 3))]
    turns.append(_said_and_answered(rng, _ABOUT_MOSHI))
    rng.shuffle(turns)
    return [turn for some in turns for turn in some]


def interruption(rng: random.Random, split: Split) -> list[Turn]:
    """Moshi recites; the user breaks in, either with *stop* or with the next question at once."""
    request, row = _recital(rng)
    broken = Turn("moshi", " ".join(row[: rng.randrange(2, len(row) - 1)]))
    question, answer = question_and_answer(rng, split)
    if rng.random() < 0.5:
        stop = Turn("user", rng.choice(("stop.", "okay, stop.", "stop, please.", "that is enough.")), "interrupts")
        return [request, broken, stop, Turn("moshi", rng.choice(("okay.", "sure."))), question, answer]
    wait = rng.choice(("", "wait, ", "no wait, ", "sorry, "))
    return [request, broken, Turn("user", wait + question.text, "interrupts"), answer]


def backchannels(rng: random.Random, split: Split) -> list[Turn]:
    """One side says *mhm* while the other speaks on."""
    return _story(rng, split) if rng.random() < 0.6 else _heard_recital(rng)


def silence(rng: random.Random, split: Split) -> list[Turn]:
    """Moshi waits: because it was asked to, or because the user is only thinking."""
    pause = round(rng.uniform(1.5, 4.0), 1)
    question, answer = question_and_answer(rng, split)
    asked = Turn("user", question.text, pause_s=pause)
    kind = rng.randrange(3)
    if kind == 0:
        thinking = rng.choice(("hmm.", "let me think.", "well.", "hmm, let me see.", "what did i want to ask?"))
        return [Turn("user", thinking), Turn("moshi", "", expected=""), asked, answer]
    wait = rng.choice(("wait a moment", "be quiet for a moment", "say nothing until i am back", "one moment"))
    waiting = [Turn("user", rng.choice(("", "please ")) + wait + "."), Turn("moshi", "okay.", expected="okay")]
    if kind == 1:
        return [*waiting, Turn("user", f"i am back. {question.text}", pause_s=pause), answer]
    there = rng.choice(("are you still there?", "moshi, are you there?", "can you hear me?"))
    here = Turn("moshi", rng.choice(("yes, i am here.", "yes, i can hear you.")), expected="yes")
    return [*waiting, Turn("user", there, pause_s=pause), here, question, answer]


def _said_and_answered(rng: random.Random, exchanges: Mapping[str, tuple[str, ...]]) -> list[Turn]:
    said = rng.choice(list(exchanges))
    return [Turn("user", said), Turn("moshi", rng.choice(exchanges[said]))]


def _draw(rng: random.Random, split: Split, wordings: tuple[str, ...], values: tuple[str, ...]) -> tuple[str, str]:
    """A wording and a value whose pair belongs to a split."""
    while True:
        wording, value = rng.choice(wordings), rng.choice(values)
        if split_of(f"{wording}/{value}") == split:
            return wording, value


def _name(rng: random.Random, split: Split) -> list[Turn]:
    wording, name = _draw(rng, split, ("my name is {}.", "i am {}.", "hello, my name is {}.", "call me {}."), _NAMES)
    asked = rng.choice(("what is my name?", "do you know my name?", "who am i?"))
    return [
        Turn("user", wording.format(name)),
        Turn("moshi", rng.choice((f"nice to meet you, {name}.", f"hello, {name}.")), expected=name),
        Turn("user", asked),
        Turn("moshi", rng.choice((f"your name is {name}.", f"you are {name}.")), expected=name),
    ]


def _feeling(rng: random.Random, split: Split) -> list[Turn]:
    wording, feeling = _draw(rng, split, ("i am {}.", "i am {} today.", "today i am {}.", "i feel {}."), (*_FEELINGS,))
    reply = _FEELINGS[feeling]
    return [
        Turn("user", rng.choice(("how are you?", "and how are you?"))),
        Turn("moshi", rng.choice(("i am fine, and you?", "very well, and how are you?"))),
        Turn("user", wording.format(feeling)),
        Turn("moshi", reply, expected=reply),
    ]


def _weather(rng: random.Random, split: Split) -> list[Turn]:
    wordings = ("it is {} today.", "it is {} outside.", "it is so {} today.", "is it not {} today?")
    wording, weather = _draw(rng, split, wordings, (*_WEATHER,))
    reply = _WEATHER[weather]
    return [Turn("user", wording.format(weather)), Turn("moshi", reply, expected=reply)]


def _taste(rng: random.Random, split: Split) -> list[Turn]:
    wording, food = _draw(rng, split, ("i like {}.", "i love {}.", "i want some {}.", "i would like {}."), _FOODS)
    asked, reply = rng.choice((("what did i say?", f"you said {food}."), ("what was it?", f"it was {food}.")))
    return [
        Turn("user", wording.format(food)),
        Turn("moshi", rng.choice((f"{food}, very good.", f"i like {food} too.")), expected=food),
        Turn("user", asked),
        Turn("moshi", reply, expected=food),
    ]


def _recital(rng: random.Random) -> tuple[Turn, tuple[str, ...]]:
    asked = rng.choice(list(_RECITALS))
    if asked.endswith("?"):
        return Turn("user", asked), _RECITALS[asked]
    return Turn("user", rng.choice((f"{asked}.", f"please {asked}.", f"can you {asked}?"))), _RECITALS[asked]


def _heard_recital(rng: random.Random) -> list[Turn]:
    request, row = _recital(rng)
    cut = rng.randrange(2, len(row) - 1)
    rest = " ".join(row[cut:])
    return [
        request,
        Turn("moshi", " ".join(row[:cut])),
        Turn("user", rng.choice(_BACKCHANNELS), "backchannel"),
        Turn("moshi", f"{rest}.", expected=rest),
    ]


def _story(rng: random.Random, split: Split) -> list[Turn]:
    """The user tells something, Moshi listens, and then is asked about it."""
    wording, number = _draw(rng, split, tuple(f"i saw {{}} {things}" for things in _THINGS), NUMBERS[2:11])
    things = wording.split()[-1]
    place, day, name = rng.choice(_PLACES), rng.choice(DAYS), rng.choice(_NAMES)
    asked, answer, reply = rng.choice(
        (
            (f"how many {things} did i see?", number, "you saw {} " + things + "."),
            ("where did i go?", place, "you went to {}."),
            ("what day was it?", day, "it was {}."),
            ("who was with me?", name, "{} was with you."),
        )
    )
    clauses = [
        f"on {day} i went to {place}",
        f"and {name} was with me",
        f"and {wording.format(number)}.",
    ]
    turns = [Turn("user", clauses[0])]
    for clause in clauses[1:]:
        turns += [Turn("moshi", rng.choice(_BACKCHANNELS), "backchannel"), Turn("user", clause)]
    turns.append(Turn("moshi", rng.choice(("that sounds nice.", "how nice.", "i see."))))
    spoken = rng.choice((reply.format(answer), f"{answer}."))
    return [*turns, Turn("user", asked), Turn("moshi", spoken, expected=answer)]
