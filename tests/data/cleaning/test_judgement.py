import pytest

from moshi_zoo.data.cleaning.classifier import TextClassifier
from moshi_zoo.data.cleaning.judgement import Language, Length, Quality
from moshi_zoo.data.cleaning.prose import Prose
from moshi_zoo.data.cleaning.stop_words import StopWords


class Said(TextClassifier):
    """Believes what the first word of a text says."""

    def probabilities(self, text):
        return {"good": float(text.split()[0])}


def test_quality_weighs_lines_by_their_length():
    step = Quality(Said(), threshold=0.5)
    assert step.score("1.0 " + "x" * 26 + "\n0.0 xxxxxx") == pytest.approx(0.75)
    assert step.score("\n \n") == 0
    assert step("0.5 a").text == "0.5 a"
    assert step("0.4 a").cuts[0].reason == "score below 0.5"


def test_language_names_what_it_found_instead():
    step = Language(StopWords(), "en")
    assert step("this is what the people said when they were here").text
    assert step("das ist nicht der Hund und die Katze ist auch nicht hier").cuts[0].reason == "rather de"
    assert step("12345 67890").cuts[0].reason == "not surely en"


def test_length_counts_characters_without_the_space_around():
    assert Length(3)(" abc ").text == " abc "
    assert Length(3)(" ab  ").text is None


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I would like to know whether you have seen the dog, because it is not at home.", "en"),
        ("Je ne sais pas si le chien est dans la maison avec les enfants.", "fr"),
        ("Ich weiß nicht, ob der Hund mit den Kindern im Haus ist.", "de"),
        ("No sé si el perro está en la casa con los niños, pero es muy tarde.", "es"),
        ("Non so se il cane è nella casa con i bambini, ma è molto tardi.", "it"),
        ("Não sei se o cão está em casa com as crianças, mas já é muito tarde.", "pt"),
        ("Ik weet niet of de hond met de kinderen in het huis is, maar het is laat.", "nl"),
        ("Jag vet inte om hunden är i huset med barnen, men det är mycket sent.", "sv"),
        ("Nie wiem, czy pies jest w domu z dziećmi, ale już jest bardzo późno.", "pl"),
        ("Я не знаю, дома ли собака с детьми.", "other"),  # noqa: RUF001
    ],
)
def test_function_words_tell_languages_apart(text, label):
    found = StopWords().probabilities(text)
    assert max(found, key=found.get) == label
    assert found[label] > 0.8
    assert sum(found.values()) <= 1 + 1e-9


def test_names_alone_are_of_no_language():
    assert max(StopWords().probabilities("Anna Karlsson Peter Novak Maria Silva Jan Kowalski").values()) < 0.5


def test_prose_is_told_from_menus():
    prose = Prose()
    assert prose.probabilities("The dog was not at home, so we went to look for it.")["good"] == 1
    assert prose.probabilities("HOME | LOGIN | 1234 | >>>")["good"] < 0.5
    assert prose.probabilities("buy buy buy buy buy buy buy")["good"] < 0.7
    assert prose.probabilities(" ") == {}
