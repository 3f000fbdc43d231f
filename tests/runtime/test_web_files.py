"""Files of web clients."""

import asyncio
import base64
import hashlib

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from moshi_zoo.runtime.web_files import OUR_CLIENT, WebFiles

SCRIPT = "\n  console.log('é');\n"


@pytest.fixture
def folder(tmp_path):
    """A client with a page and a script, a secret beside it and a hidden file in it."""
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(
        f"<script>{SCRIPT}</script><script src='assets/a.js'></script>", encoding="utf-8"
    )
    (folder / "assets" / "a.js").write_text("1")
    (folder / "assets" / "d.wasm").write_bytes(b"\0asm")
    (folder / ".env").write_text("secret")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    return folder


def fetch(folder, *paths):
    async def run():
        app = web.Application()
        app.router.add_get("/{path:.*}", WebFiles(folder).answer)
        async with TestClient(TestServer(app)) as client:
            answers = []
            for path in paths:
                async with client.get(URL(path, encoded=True)) as answer:
                    answers.append((answer.status, answer.headers, await answer.text()))
            return answers

    return asyncio.run(run())


def test_files_have_the_types_that_browsers_insist_on(folder):
    page, script, wasm = fetch(folder, "/", "/assets/a.js", "/assets/d.wasm")
    assert page[1]["Content-Type"] == "text/html; charset=utf-8"
    assert (script[1]["Content-Type"], script[2]) == ("text/javascript; charset=utf-8", "1")
    assert wasm[1]["Content-Type"] == "application/wasm"
    assert wasm[1]["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/assets/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/./../secret.txt",
        "/%2Fetc/passwd",
        "/.env",
        "/link.txt",
        "/assets",
        "/none.js",
        "/a%00.js",
    ],
)
def test_nothing_else_is_served(folder, path):
    ((status, _, text),) = fetch(folder, path)
    assert status in (400, 404)
    assert "secret" not in text


def test_scripts_in_the_page_are_allowed_by_what_they_say(folder):
    ((_, headers, _),) = fetch(folder, "/")
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert f"'sha256-{digest}'" in policy["script-src"]
    assert policy["script-src"].count("sha256") == 1
    assert "'unsafe-inline'" not in policy["script-src"]


def test_our_page_may_run_nothing_but_its_own_files():
    ((status, headers, _),) = fetch(OUR_CLIENT, "/")
    assert status == 200
    assert "script-src 'self'; style-src 'self';" in headers["Content-Security-Policy"]


def test_a_folder_without_a_page_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no index\.html"):
        WebFiles(tmp_path)
