"""One client's conversation over its websocket, from the handshake to the goodbye.

Three tasks run side by side: what comes is read and goes to the model frame by frame, what the model says is sent, and
a clock watches. The first that ends says why, and the session is over; its seat is given back before anything else, so
that a client that does not react holds nothing but its own socket.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import asdict

from aiohttp import WSMsgType, web

from moshi_zoo.runtime.ending import FAILURE, FLOOD, LEFT, STALLED, TOO_BIG, TOO_FAST, VANISHED, Ending
from moshi_zoo.runtime.limits import Allowance, Limits
from moshi_zoo.runtime.outbox import Outbox
from moshi_zoo.runtime.protocol import HEARD_COLOUR, ChatQuery, CloseCode, Control, Kind, control_of, message
from moshi_zoo.runtime.serve_log import tell, tell_failure
from moshi_zoo.runtime.step_loop import Reply, StepLoop
from moshi_zoo.runtime.wire_audio import Framer, wire_audio

_TICK_S = 0.5


class Session:
    """A conversation with one client.

    Args:
        name: in the log.
        socket: prepared.
        query: what the client asked for.
        steps: where it talks.
        limits: of the session.
    """

    def __init__(self, name: str, socket: web.WebSocketResponse, query: ChatQuery, steps: StepLoop, limits: Limits):
        self.name, self._socket, self._query, self._steps, self._limits = name, socket, query, steps, limits
        conversations = steps.conversations
        self._audio = wire_audio(query.format, conversations.sample_rate)
        self._framer = Framer(conversations.frame_size)
        self._outbox = Outbox(limits.replies)
        self._messages = Allowance(limits.messages_per_s, limits.burst_s)
        self._bytes = Allowance(limits.bytes_per_s, limits.burst_s)
        self._samples = Allowance(conversations.sample_rate, limits.burst_s)
        self._over: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self._heard_at = self._sent_at = self._began = time.monotonic()
        self._heard = self._spoken = self._late = self._dropped = 0

    async def hold(self, introduction: Mapping[str, object], *, peer: str | None) -> Ending:
        """Talk until somebody ends it, and give the seat back. The socket may still be open then.

        Args:
            introduction: what the client is told first, beside the session's name and settings.
            peer: address of the client, for the log.
        """
        settings = asdict(self._query.settings)
        tell("session started", session=self.name, peer=peer, format=self._query.format, **settings)
        seat = self._seat = self._steps.sit(self._query.settings, self._take, lambda: self.end(FAILURE))
        ending = FAILURE
        try:
            ending = await self._until_one_ends(introduction)
        finally:
            seat.leave()
            self._steps.metrics.ended[ending.reason] += 1
            tell(
                "session ended",
                session=self.name,
                reason=ending.reason,
                seconds=round(time.monotonic() - self._began, 3),
                heard=self._heard,
                spoken=self._spoken,
                late=self._late,
                dropped_heard=seat.dropped,
                dropped_spoken=self._dropped,
            )
        return ending

    def end(self, ending: Ending) -> None:
        """End the session from outside."""
        if not self._over.done():
            self._over.set_result(ending)

    async def _until_one_ends(self, introduction: Mapping[str, object]) -> Ending:
        tasks = [
            asyncio.create_task(self._read()),
            asyncio.create_task(self._write(introduction)),
            asyncio.create_task(self._watch()),
        ]
        try:
            ways = [self._over, *tasks]
            done, _ = await asyncio.wait(ways, timeout=self._limits.session_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if not done:
            minutes = self._limits.session_s / 60
            return Ending("too long", CloseCode.OK, f"a conversation lasts {minutes:g} minutes at most")
        first = next(way for way in ways if way in done)  # a writer fails too when the client leaves
        if error := first.exception():
            tell_failure("session", error)
            return FAILURE
        return first.result()

    # From the client

    async def _read(self) -> Ending:
        async for received in self._socket:
            if received.type is WSMsgType.ERROR:
                return TOO_BIG if getattr(received.data, "code", None) == CloseCode.TOO_BIG else VANISHED
            if not (self._messages.take(1) and self._bytes.take(len(received.data))):
                return FLOOD
            if received.type is WSMsgType.PING:
                await self._socket.pong(received.data)
            elif received.type is WSMsgType.BINARY and received.data:  # others are skipped, as Kyutai's servers do
                try:
                    self._react(received.data[0], received.data[1:])
                except ValueError as error:
                    return Ending("bad audio", CloseCode.INVALID_DATA, str(error))
                if not self._samples.take(0):
                    return TOO_FAST
            await asyncio.sleep(0)  # a burst must not hold up the others
        return LEFT if self._socket.exception() is None else VANISHED

    def _react(self, kind: int, payload: bytes) -> None:
        if kind == Kind.AUDIO:
            self._hear(payload)
        elif kind == Kind.CONTROL:
            self._control(payload)
        elif kind == Kind.PING:
            self._outbox.put_ping()

    def _hear(self, payload: bytes) -> None:
        self._heard_at = time.monotonic()
        for samples in self._audio.decode(payload):
            if not self._samples.take(len(samples)):
                return
            for frame in self._framer.cut(samples):
                self._heard += 1
                self._seat.hear(frame)

    def _control(self, payload: bytes) -> None:
        control = control_of(payload)
        if control is Control.START:
            self._seat.resume()
        elif control is Control.PAUSE:
            self._seat.pause()
        elif control is Control.RESTART:
            self._seat.restart()

    # To the client

    def _take(self, reply: Reply) -> None:
        self._late += reply.late
        if self._outbox.put(reply.spoken):
            self._dropped += 1
            self._steps.metrics.dropped["spoken"] += 1

    async def _write(self, introduction: Mapping[str, object]) -> Ending:
        settings = asdict(self._query.settings)
        known = {**introduction, "session": self.name, "format": self._query.format, "settings": settings}
        told = 0
        try:
            await self._send(Kind.HANDSHAKE)
            await self._send(Kind.METADATA, json.dumps(known).encode())
            while True:
                waiting = await self._outbox.get()
                if isinstance(waiting, Kind):
                    await self._send(waiting)
                    continue
                if (dropped := self._seat.dropped + self._dropped) > told:
                    told = dropped  # so that the client can tell its missing frames from slow ones
                    await self._send(Kind.METADATA, json.dumps({"dropped": dropped}).encode())
                self._spoken += 1
                if waiting.wav is not None and (audio := self._audio.encode(waiting.wav)):
                    await self._send(Kind.AUDIO, audio)
                if waiting.piece is not None:
                    await self._send(Kind.TEXT, waiting.piece.encode())
                if waiting.heard is not None and self._query.heard:
                    await self._send(Kind.HEARD, HEARD_COLOUR + waiting.heard.encode())
        except TimeoutError:
            return STALLED
        except ConnectionError:
            return VANISHED

    async def _send(self, kind: Kind, payload: bytes = b"") -> None:
        async with asyncio.timeout(self._limits.send_s):
            await self._socket.send_bytes(message(kind, payload))
        self._sent_at = time.monotonic()

    # The clock

    async def _watch(self) -> Ending:
        while time.monotonic() - self._heard_at < self._limits.idle_s:
            await asyncio.sleep(min(_TICK_S, self._limits.idle_s / 4))
            if time.monotonic() - self._sent_at > self._limits.quiet_s:
                self._outbox.put_ping()
        return Ending("idle", CloseCode.OK, f"nothing was heard for {self._limits.idle_s:g} s")
