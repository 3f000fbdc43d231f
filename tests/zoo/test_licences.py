"""Licences."""

import pytest

from moshi_zoo.zoo import licences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("cc-by-4.0", "CC-BY-4.0"),
        ("mit AND apache-2.0", "MIT AND Apache-2.0"),
        ("CC-BY-SA-4.0 AND LicenseRef-Gemma", "CC-BY-SA-4.0 AND LicenseRef-Gemma"),
        ("unspecified", "unspecified"),
    ],
)
def test_known_licences_come_back_in_their_spelling(text, expected):
    assert licences.checked(text) == expected


@pytest.mark.parametrize("text", ["CC-BY", "", "free for all", "LicenseRef-", "MIT AND nothing", "MIT,Apache-2.0"])
def test_unknown_licences_are_refused(text):
    with pytest.raises(ValueError, match="no licence is called"):
        licences.checked(text)


def test_the_nearest_licence_is_named():
    with pytest.raises(ValueError, match=r"did you mean .*CC-BY-4\.0"):
        licences.checked("CC-BY-40")


@pytest.mark.parametrize("licence", ["CC-BY-4.0", "Apache-2.0", "CC-BY-SA-4.0 AND LicenseRef-Gemma", "unspecified"])
def test_cards_say_what_zoo_folders_note(licence):
    head = licences.for_card(licence)
    assert licences.from_card(head["license"], head.get("license_name")) == licence


def test_a_licence_of_the_hub_that_spdx_does_not_know_keeps_its_name():
    assert licences.from_card("gemma") == "LicenseRef-gemma"
    assert licences.from_card("other") == licences.from_card("") == "unspecified"
