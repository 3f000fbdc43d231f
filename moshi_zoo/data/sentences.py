"""Things to say: a small grammar of English sentences, so that synthetic speech needs no text from outside.

Digits, numbers, days and names, small talk, questions, and plain statements whose words between them hold every phoneme
of English in many neighbourhoods. Numbers are spelled out: the text is what is heard.
"""

import random
import re
from collections.abc import Callable


def sentence(rng: random.Random) -> str:
    """One sentence with its punctuation, drawn from millions."""
    template = rng.choice(rng.choices(list(_TEMPLATES), weights=_WEIGHTS)[0])
    text = re.sub(r"\{(\w+)\}", lambda slot: _SLOTS[slot[1]](rng), template)
    text = re.sub(r"\b([Aa]) (?=[aeio]|u(?!se))", r"\1n ", text)
    return text[0].upper() + text[1:]


def number_in_words(number: int) -> str:
    """``1207`` -> ``one thousand two hundred and seven``; from 0 to 999,999."""
    if not 0 <= number < 1_000_000:
        raise ValueError(f"{number} is not between 0 and 999999")
    for size, name in ((1000, "thousand"), (100, "hundred")):
        if number >= size:
            many, rest = divmod(number, size)
            joint = " and " if rest < 100 else " "
            return f"{number_in_words(many)} {name}" + (joint + number_in_words(rest) if rest else "")
    if number < 20:
        return _SMALL[number]
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.replace("_", " ") for word in text.split())


_SMALL = _words(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
)
_TENS = _words("twenty thirty forty fifty sixty seventy eighty ninety")

_NAMES = _words(
    """Alice Andrew Anna Ben Carol Charles Claire Daniel David Edith Emma Frank George Grace Hannah Henry Hugo Isabel
    Jack Jane Joyce Julia Kate Keith Laura Leo Lucy Martha Maurice Megan Nathan Nora Oliver Paul Peter Philip Rachel
    Rebecca Roy Ruth Sarah Simon Sophie Stephen Susan Thomas Ursula Victor Vivian Walter Yvonne Zachary"""
)
_PLACES = _words(
    """Athens Berlin Boston Bristol Cairo Chicago Delhi Denver Dublin Edinburgh Geneva Glasgow Houston Istanbul Jersey
    Kyoto Leeds Lisbon London Madrid Montreal Nairobi Naples Oslo Oxford Paris Prague Rome Seattle Sheffield Sydney
    Tokyo Toronto Vienna Warsaw York Zurich"""
)
_DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MONTHS = _words("January February March April May June July August September October November December")
_ORDINALS = _words(
    """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fifteenth
    eighteenth twentieth thirtieth"""
)
_ADJECTIVES = _words(
    """ancient azure bitter blue brave brief bright broad busy calm cheap clean clever cold cosy crooked curious dark
    deep dusty early empty faint fair famous fierce foggy fresh gentle giant golden grey happy heavy hollow huge
    humble idle jolly keen large lazy little lonely loud lovely lucky mild modern muddy narrow new noisy odd old
    pale patient plain polite proud purple quick quiet rare rough round royal rusty sharp shiny short silent silver
    simple slow small smooth soft sour square steep strange strong sudden sweet tall tame thick thin tiny useful
    vague vast violet warm wet white wide wild wise wooden yellow young"""
)
_THINGS = _words(
    """apple arrow badger basket beach bell bicycle bird blanket boat book bottle bridge bucket candle carriage castle
    cat chair cheese church clock cloud coach cup desk dog door dragon engine envelope feather fence fire fish
    flower forest fox garage garden gate giraffe glove goose guitar hammer harbour hat hedge hill horse house island
    jacket jewel jug kettle kitchen ladder lake lamp leaf lemon letter library lion machine market mirror moon
    mountain mouse needle ocean office onion orange oven owl painting path pencil piano pigeon pillow pocket poem
    potato question rabbit radio river road robin roof rose sandwich school shadow sheep ship shirt shoe shop song
    spoon stable star station stone story street table ticket tiger tooth tower town toy train treasure tree trumpet
    umbrella valley vase village violin volcano wagon wall watch wheel whistle window wolf yacht yard zebra"""
)
_PEOPLE = _words(
    """actor aunt baker boy brother butcher captain child cousin daughter doctor farmer father friend girl judge king
    mother neighbour nurse painter pirate queen sailor sister soldier tailor teacher thief uncle wizard youth"""
)
_VERBS = _words(
    """admired borrowed bought brought built carried caught changed chased chose cleaned closed copied covered
    described dreamed_of dropped enjoyed fetched finished followed forgot found gave_away guarded heard held hid
    judged kept laughed_at lifted liked looked_at lost loved measured mentioned missed moved noticed opened owned
    painted passed photographed pointed_at praised pulled pushed reached remembered saved saw sold studied thanked
    thought_about threw touched treasured used visited waited_for washed watched welcomed wished_for"""
)
_PREPOSITIONS = _words(
    """above across_from along around behind below beside between beyond close_to far_from in_front_of inside near
    next_to opposite outside over past through towards under with without"""
)
_ADVERBS = _words(
    """again always at_once at_noon before_dawn carefully every_day gently just_now last_year loudly often once quickly
    quietly rather_late slowly sometimes soon suddenly this_morning together twice very_early yesterday"""
)
_UNITS = _words(
    """books chairs dollars euros feet hours inches jars kilometres litres metres miles minutes months oranges pages
    people pounds sheep steps tickets weeks years"""
)
_WEATHER = _words("cloudy cold dry foggy frosty hot humid icy mild rainy snowy stormy sunny warm wet windy")
_FOODS = _words(
    """apple_juice bread carrots cheese cherries chicken chocolate coffee eggs fish fudge ginger_tea honey ice_cream
    lemonade mushrooms noodles orange_juice pears rice sausages soup strawberries sugar toast vegetables yoghurt"""
)


def _one_of(options: tuple[str, ...]) -> Callable[[random.Random], str]:
    return lambda rng: rng.choice(options)


_SLOTS: dict[str, Callable[[random.Random], str]] = {
    "name": _one_of(_NAMES),
    "place": _one_of(_PLACES),
    "day": _one_of(_DAYS),
    "month": _one_of(_MONTHS),
    "ordinal": _one_of(_ORDINALS),
    "adj": _one_of(_ADJECTIVES),
    "thing": _one_of(_THINGS),
    "person": _one_of(_PEOPLE),
    "did": _one_of(_VERBS),
    "prep": _one_of(_PREPOSITIONS),
    "adv": _one_of(_ADVERBS),
    "units": _one_of(_UNITS),
    "weather": _one_of(_WEATHER),
    "food": _one_of(_FOODS),
    "digit": lambda rng: _SMALL[rng.randrange(10)],
    "hour": lambda rng: _SMALL[rng.randrange(1, 13)],
    "few": lambda rng: _SMALL[rng.randrange(2, 20)],
    "number": lambda rng: number_in_words(rng.randrange(20, 10 ** rng.randrange(2, 5))),
    "year": lambda rng: f"{rng.choice(('nineteen', 'twenty'))} {number_in_words(rng.randrange(11, 100))}",
}

_STATEMENTS = (
    "The {adj} {thing} {did} the {person}.",
    "The {person} {did} the {adj} {thing}.",
    "A {adj} {person} {did} a {thing} {prep} the {thing}.",
    "{name} {did} the {adj} {thing} {adv}.",
    "The {thing} {prep} the {adj} {thing} is {adj} and {adj}.",
    "My {person} {did} {few} {units}, and then a {adj} {thing}.",
    "{adv}, the {adj} {person} {did} our {thing}.",
    "We {did} the {thing} {prep} {place}, but it was too {adj}.",
    "Neither the {person} nor the {person} {did} the {thing}.",
    "There is a {adj} {thing} {prep} the {thing}.",
    "{name} and {name} {did} a {adj} {adj} {thing}.",
    "If the {thing} is {adj}, the {thing} is {adj} too.",
)
_DIGITS = (
    "{digit} {digit} {digit} {digit}.",
    "{digit}, {digit}, {digit}.",
    "My number is {digit} {digit} {digit}, {digit} {digit} {digit} {digit}.",
    "The code is {digit} {digit} {digit} {digit} {digit}.",
    "{digit} and {digit}, not {digit}.",
)
_NUMBERS = (
    "The {thing} costs {number} {units}.",
    "{place} is {number} miles from {place}.",
    "It took {number} minutes and {few} seconds.",
    "Page {number}, line {few}.",
    "{few} times {few} is less than {number}.",
    "We counted {number} {units} in {year}.",
)
_DATES = (
    "{name} will arrive on {day}, the {ordinal} of {month}.",
    "Let us meet {name} in {place} on {day} at {hour} o'clock.",
    "{name} was born in {place} in {month}, {year}.",
    "The {thing} is closed on {day} and {day}.",
    "{day} is better for {name} than {day}.",
    "From {month} to {month} it is {weather} in {place}.",
)
_SMALL_TALK = (
    "Good morning, {name}, how are you?",
    "I am very well, thank you, {name}.",
    "It is so {weather} today, isn't it?",
    "Yes, but on {day} it will be {weather} again.",
    "Would you like some {food}, {name}?",
    "No, thank you, but I would love some {food}.",
    "I'm sorry, I didn't hear you.",
    "Oh, really? Tell me more about the {adj} {thing}.",
    "See you on {day}!",
    "Well, I think the {food} was better than the {food}.",
    "Nice to meet you. My name is {name}, and I live in {place}.",
    "Could you say that once more, please?",
)
_QUESTIONS = (
    "Who {did} the {adj} {thing}?",
    "Where is the {thing} that {name} {did}?",
    "How many {units} are there in a {adj} {thing}?",
    "Is the {person} in {place} or in {place}?",
    "What did {name} say about the {adj} {person}?",
    "Why was the {thing} {prep} the {thing} so {adj}?",
    "When does the {ordinal} train to {place} leave?",
)
_WEIGHTS = (40, 12, 12, 12, 14, 10)
_TEMPLATES = (_STATEMENTS, _DIGITS, _NUMBERS, _DATES, _SMALL_TALK, _QUESTIONS)
