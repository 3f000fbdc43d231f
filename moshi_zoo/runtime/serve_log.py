"""What the server does, as JSON lines on a logger of its own."""

import json
import logging
import time

LOGGER = logging.getLogger("moshi_zoo.serve")


def log_to_stderr() -> None:
    """Let the lines be seen, as they are."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


def tell(event: str, **fields: str | float | bool | None) -> None:
    """Log an event with what belongs to it."""
    LOGGER.info(_line(event, **fields))


def tell_failure(what: str, error: BaseException) -> None:
    """Log something that should not have happened, with its traceback."""
    LOGGER.error(_line("failed", what=what, error=f"{type(error).__name__}: {error}"), exc_info=error)


def _line(event: str, **fields: str | float | bool | None) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"time": when, "event": event, **fields}, ensure_ascii=False)
