"""The results of the duplex suite as files: results.json, report.md."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from moshi_zoo.evaluation.duplex_pictures import conversation_picture, histogram_picture, shares_picture
from moshi_zoo.evaluation.duplex_suite import ALL, ConversationRow, DuplexReport, Group
from moshi_zoo.evaluation.measurement import Figure
from moshi_zoo.evaluation.presentation import (
    Context,
    Table,
    as_markdown_table,
    cell,
    figure_entry,
    heading,
    listed,
    without_nan,
)
from moshi_zoo.evaluation.speech_report import beside
from moshi_zoo.evaluation.turn_taking import REPLY_GAP
from moshi_zoo.models.moshi import Moshi

_BY_FAMILY = (
    "answers_right",
    "answers_heard_right",
    "answer_words",
    "answer_digits",
    "heard_word_error_rate",
    "text_gap_median",
)


def as_json(report: DuplexReport, context: Context) -> str:
    """All of it: context, settings, figures of each family, and each conversation with its answers."""
    content = {
        "suite": "duplex",
        **context,
        "settings": asdict(report.settings),
        "took_s": report.took,
        "groups": [_group(group) for group in report.groups],
        "conversations": [_conversation(row) for row in report.rows],
    }
    return json.dumps(without_nan(content), indent=1, ensure_ascii=False)


def as_markdown(report: DuplexReport, context: Context) -> str:
    """The report for people."""
    minutes = sum(row.conversation.seconds for row in report.rows) / 60
    parts = [
        "# Conversations",
        "\n".join(f"- {what}: {listed(entries)}" for what, entries in context.items()),
        f"{len(report.rows)} conversations, {minutes:.1f} minutes. In brackets: 95 % intervals, from "
        f"{report.settings.resamples} resamples of the conversations.",
    ]
    for title, table in tables(report).items():
        parts += [f"## {title}", as_markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def tables(report: DuplexReport) -> dict[str, Table]:
    """Title -> rows of cells, the head first."""
    whole = next(group for group in report.groups if group.name == ALL)
    found = {"All": beside(whole.said, whole.written)}
    if len(report.groups) > 1:
        found["Families"] = _families(report.groups)
    return found


def write_pictures(report: DuplexReport, moshi: Moshi, folder: Path) -> None:
    """Answers by family, how long replies take, and each example beside what was expected."""
    labels = {"answers_right": "answers right in the text", "answers_heard_right": "heard right in the sound"}
    shares = {group.name: [_figure(group, name) for name in labels] for group in report.groups}
    shares_picture(shares, list(labels.values())).save(folder / "answers.png")
    sides = {"Moshi": [row.said for row in report.rows], "as written": [row.written for row in report.rows]}
    gaps = {who: [gap for one in measured for gap in one.events.get(REPLY_GAP, ())] for who, measured in sides.items()}
    if any(gaps.values()):
        histogram_picture(gaps, "replies after the end of the user's turn").save(folder / "reply_gaps.png")
    for name, row in _examples(report).items():
        conversation_picture(row, moshi).save(folder / f"{name}.png")


def examples(report: DuplexReport) -> dict[str, Tensor]:
    """File name -> Moshi and the user, [2, S]."""
    return {
        name: torch.stack([row.sounds.moshi, row.sounds.user])
        for name, row in _examples(report).items()
        if row.sounds is not None
    }


def _examples(report: DuplexReport) -> dict[str, ConversationRow]:
    shown = [row for row in report.rows if row.sounds is not None]
    return {f"{i}_{row.conversation.family.replace(' ', '_')}": row for i, row in enumerate(shown)}


def _figure(group: Group, name: str) -> Figure | None:
    return next((figure for figure in group.said if figure.measure.name == name), None)


def _families(groups: list[Group]) -> Table:
    by_name = {figure.measure.name: figure for group in groups for figure in group.said}
    columns = [name for name in _BY_FAMILY if name in by_name]
    table: Table = [["", *(heading(by_name[name]) for name in columns), "conversations"]]
    for group in groups:
        own: dict[str, Figure] = {figure.measure.name: figure for figure in group.said}
        cells = [cell(own[name]) if name in own else "" for name in columns]
        table.append([group.name, *cells, str(group.conversations)])
    return table


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "conversations": group.conversations,
        "figures": [figure_entry(figure) for figure in group.said],
        "as_written": [figure_entry(figure) for figure in group.written],
    }


def _conversation(row: ConversationRow) -> dict[str, Any]:
    conversation = row.conversation
    return {
        "name": conversation.name,
        "family": conversation.family,
        "seconds": conversation.seconds,
        "said": [[word.text, round(word.start_s, 2)] for word in conversation.said],
        **({"user": row.recognised.said, "heard": row.recognised.heard} if row.conversation.heard else {}),
        "answers": [
            {"expected": a.question.expected, "asked_s": a.question.asked_s, "said": a.said, "right": a.right}
            for a in row.answers
        ],
        "values": {measure.name: value.value for measure, value in row.said.values.items()},
        "events": {measure.name: list(events) for measure, events in row.said.events.items()},
    }
