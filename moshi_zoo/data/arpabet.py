"""English phonemes in ARPAbet, the notation of pronouncing dictionaries and of :mod:`moshi_zoo.data.align`.

espeak writes many more symbols, some for the same sound in another place. In one notation, what is learnt from
synthetic speech holds for recordings.
"""

PHONEMES = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH"),
    *("K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
"""All 39, without marks of stress."""

# espeak's vowels in all its accents of English, one symbol each or several where it ends in r
_VOWELS = {
    "AA": "A: aa",
    "AE": "a a2",
    "AH": "V V2 @ @2 @5 a# A#",
    "AO": "O: O O2 0 0#",
    "AW": "aU",
    "AY": "aI aI2 aI3",
    "EH": "E E2 E#",
    "ER": "3 3: IR VR",
    "EY": "eI e: e",
    "IH": "I I2 I#",
    "IY": "i i: i2",
    "OW": "oU o: o",
    "OY": "OI",
    "UH": "U U# U:",
    "UW": "u: u u2",
    "AA R": "A@ A@2",
    "AO R": "O@ o@ O@2",
    "EH R": "e@ E@",
    "IH R": "i@3 I@",
    "IY AH": "i@",
    "UH R": "U@",
    "AY ER": "aI@ aI@3",
    "AW ER": "aU@",
    "AH L": "@L",
}
_CONSONANTS = {
    **{"B": "b", "CH": "tS", "D": "d d#", "DH": "D", "F": "f", "G": "g", "HH": "h", "JH": "dZ", "K": "k", "L": "l l#"},
    **{"M": "m m-", "N": "n n-", "NG": "N", "P": "p", "R": "r r- r/ *", "S": "s", "SH": "S", "T": "t t# t2 t[ ?"},
    **{"TH": "T", "V": "v", "W": "w w#", "Y": "j", "Z": "z z#", "ZH": "Z"},
}
_FROM_ESPEAK = {
    symbol: tuple(sounds.split()) for sounds, symbols in (_VOWELS | _CONSONANTS).items() for symbol in symbols.split()
}
_STRESS = "',"
_NO_SOUND = {";"}  # palatalizes its neighbour


def from_espeak(symbol: str) -> tuple[str, ...]:
    """The sounds of a symbol of espeak's English voices, one after the other; none where it is a mark.

    Args:
        symbol: in espeak's ASCII notation, with or without stress.

    Raises:
        ValueError: for a symbol of another language.
    """
    plain = symbol.strip(_STRESS)
    if plain in _NO_SOUND:
        return ()
    if plain not in _FROM_ESPEAK:
        raise ValueError(f"espeak's {symbol!r} is no sound of English that we know; known: {' '.join(_FROM_ESPEAK)}")
    return _FROM_ESPEAK[plain]
