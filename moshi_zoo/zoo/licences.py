"""Licences by their SPDX names, as zoo folders note them, and by Hugging Face's, as model cards say them."""

from moshi_zoo import registry

UNSPECIFIED = "unspecified"
_KNOWN = (
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-ND-4.0",
    "CC-BY-NC-SA-4.0",
    "CC-BY-ND-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "GPL-3.0",
    "MIT",
    "ODC-By",
    "Unlicense",
)
_OWN = "LicenseRef-"  # SPDX: a licence that has no name there
_AND = " AND "


def checked(text: str) -> str:
    """A licence in SPDX's spelling: a name, ``LicenseRef-`` and a name of one's own, or several with ``AND`` between.

    Raises:
        ValueError: if it is none, with the nearest names.
    """
    return _AND.join(_checked_name(part.strip()) for part in text.split(_AND))


def for_card(licence: str) -> dict[str, str]:
    """What the head of a model card on the hub says of a licence."""
    if licence in _KNOWN:
        return {"license": licence.lower()}
    return {"license": "unknown"} if licence == UNSPECIFIED else {"license": "other", "license_name": licence}


def from_card(licence: str, name: object = None) -> str:
    """What the head of a model card on the hub says, in SPDX's spelling.

    Args:
        licence: its ``license``.
        name: its ``license_name``, which counts where that is ``other``.
    """
    said = name if licence == "other" and isinstance(name, str) else licence
    try:
        return checked(said)
    except ValueError:
        return UNSPECIFIED if said in ("", "unknown", "other") or " " in said else _OWN + said


def _checked_name(name: str) -> str:
    if name == UNSPECIFIED or (name.startswith(_OWN) and name != _OWN and " " not in name):
        return name
    for known in _KNOWN:
        if known.lower() == name.lower():
            return known
    raise ValueError(f"{registry.unknown('licence', name, [*_KNOWN, UNSPECIFIED])} (one of your own: {_OWN}NAME)")
