"""Who may talk to the server."""

import pytest
from aiohttp.test_utils import make_mocked_request

from moshi_zoo.runtime.access import Access, is_loopback

TOKEN = "correct-horse-battery"


def asked(path="/api/chat", **headers):
    return make_mocked_request("GET", path, headers={"Host": "localhost:8998", **headers})


def test_loopback_is_what_only_this_machine_reaches():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.3.2.1", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.evil.org")))


def test_elsewhere_a_token_is_demanded():
    with pytest.raises(ValueError, match="others can reach the server: give a token"):
        Access("0.0.0.0")
    with pytest.raises(ValueError, match="a token of 4 characters can be guessed"):
        Access("127.0.0.1", "1234")
    Access("0.0.0.0", TOKEN)


@pytest.mark.parametrize(
    "request_",
    [
        asked(Authorization=f"Bearer {TOKEN}"),
        asked(Authorization=f"bearer  {TOKEN}"),
        asked(f"/api/chat?token={TOKEN}"),
        asked(f"/api/chat?worker_auth_id={TOKEN}"),
        asked(f"/api/chat?token={TOKEN}", Authorization="Bearer other"),
    ],
)
def test_the_token_may_be_in_a_header_or_in_the_query(request_):
    assert Access("127.0.0.1", TOKEN).is_known(request_)


@pytest.mark.parametrize(
    "request_",
    [
        asked(),
        asked(Authorization=TOKEN),
        asked(Authorization=f"Basic {TOKEN}"),
        asked(f"/api/chat?token={TOKEN[:-1]}"),
        asked("/api/chat?token="),
    ],
)
def test_others_are_not_known(request_):
    assert not Access("127.0.0.1", TOKEN).is_known(request_)


def test_programs_and_our_own_page_may_come():
    access = Access("127.0.0.1")
    assert access.may_come_from(asked())
    assert access.may_come_from(asked(Origin="http://localhost:8998"))
    assert not access.may_come_from(asked(Origin="http://localhost:3000"))
    assert not access.may_come_from(asked(Origin="https://evil.org"))
    assert not access.may_come_from(asked(Origin="null"))


def test_a_foreign_name_that_leads_here_is_refused():
    rebound = {"Host": "evil.org:8998", "Origin": "http://evil.org:8998"}
    assert not Access("127.0.0.1").may_come_from(asked(**rebound))
    assert Access("0.0.0.0", TOKEN).may_come_from(asked(Host="my.box:8998", Origin="https://my.box:8998"))


def test_allowed_origins_may_come_also_through_a_proxy():
    access = Access("127.0.0.1", origins=("https://talk.org",))
    assert access.may_come_from(asked(Origin="https://talk.org"))
    assert access.may_come_from(asked(Host="talk.org", Origin="https://talk.org"))
    with pytest.raises(ValueError, match="allow-origin talk"):
        Access("127.0.0.1", origins=("talk.org",))
