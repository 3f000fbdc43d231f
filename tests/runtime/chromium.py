"""Drives a headless Chromium over its DevTools protocol."""

import asyncio
import contextlib
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-renderer-backgrounding",  # it takes the tab for hidden and makes it slow
    "--disable-backgrounding-occluded-windows",
    "--disable-background-timer-throttling",
    "--remote-debugging-port=0",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",  # a page that is not from this machine, to the browser's eye
)


def find_chromium() -> str | None:
    """The browser's path, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.errors: list[str] = []  # what the console says in red
        self.loaded = asyncio.Event()
        self.socket = socket
        self.numbers = itertools.count()
        self.answers: dict[int, asyncio.Future] = {}
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            event = message.json()
            if "id" in event:
                if not (answer := self.answers.pop(event["id"])).done():  # who asked may have given up
                    answer.set_result(event)
            elif event["method"] == "Page.loadEventFired":
                self.loaded.set()
            elif event["method"] == "Runtime.exceptionThrown":
                details = event["params"]["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description", details["text"]))
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                self.errors.append(event["params"]["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] == "error":
                self.errors.append(str(event["params"]["args"]))

    async def send(self, method: str, **params) -> dict:
        number = next(self.numbers)
        self.answers[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": params})
        answer = await asyncio.wait_for(self.answers[number], 60)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    async def evaluate(self, expression: str):
        """The value of a JavaScript expression; of a promise, what it resolves to."""
        answer = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def text(self, selector: str) -> str:
        return await self.evaluate(f"document.querySelector({selector!r}).innerText")

    async def until(self, expression: str, seconds: float = 60.0) -> None:
        """Waits until a JavaScript expression is true."""
        try:
            async with asyncio.timeout(seconds):
                while not await self.evaluate(expression):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            shown = await self.evaluate("document.body.innerText")
            raise AssertionError(f"not within {seconds} s: {expression}\n{shown}\n{self.errors}") from None

    async def press(self, key: str) -> None:
        code = {" ": "Space"}.get(key, key)
        for kind in ("keyDown", "keyUp"):
            await self.send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code, text=key if kind == "keyDown" else ""
            )


class Chromium:
    """A browser whose microphone hears a wav file, again and again."""

    def __init__(self, port: int, http: aiohttp.ClientSession):
        self.port = port
        self.http = http

    @classmethod
    @contextlib.asynccontextmanager
    async def run(cls, microphone: Path) -> AsyncIterator["Chromium"]:
        path = find_chromium()
        assert path
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            process = await asyncio.create_subprocess_exec(
                path,
                *FLAGS,
                f"--user-data-dir={profile}",
                f"--use-file-for-fake-audio-capture={microphone}",
                "about:blank",
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                port = await _port(Path(profile, "DevToolsActivePort"))
                async with aiohttp.ClientSession() as http:
                    yield cls(port, http)
            finally:
                process.terminate()
                await process.wait()

    @contextlib.asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Page]:
        """Opens a page in a tab of its own."""
        async with self.http.put(f"http://127.0.0.1:{self.port}/json/new?about:blank") as answer:
            target = await answer.json(content_type=None)
        async with self.http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            page = Page(socket)
            try:
                for domain in ("Page", "Runtime", "Log"):
                    await page.send(f"{domain}.enable")
                await page.send("Page.navigate", url=url)
                await asyncio.wait_for(page.loaded.wait(), 60)
                yield page
            finally:
                page.reader.cancel()
                async with self.http.get(f"http://127.0.0.1:{self.port}/json/close/{target['id']}"):
                    pass


async def _port(path: Path) -> int:
    async with asyncio.timeout(60):
        while not (path.exists() and path.read_text().count("\n")):
            await asyncio.sleep(0.05)
    return int(path.read_text().splitlines()[0])
