"""The log of decisions: what is written, what is read, and which champions follow from it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from pipeline.foundation.errors import PipelineError
from pipeline.tracking.registry.decisions import (
    Decision,
    GateRecord,
    Kind,
    VersionName,
    champions,
    decisions_on,
    new_key,
    previous_champion,
    read_decisions,
)


def decision(kind: Kind, version: int, champion: int | None = None, **values: Any) -> Decision:
    made = Decision(
        key=new_key(),
        kind=kind,
        when="2026-01-31T12:00:00Z",
        who="me@here",
        reason="",
        version=VersionName(version, "d" * 64),
        champion=None if champion is None else VersionName(champion, "c" * 64),
    )
    return replace(made, **values)


def test_what_is_written_is_read_back() -> None:
    gates = (
        GateRecord("gain in accuracy", "failed", "above 0", {"low": -0.01, "high": 0.02}),
        GateRecord(
            "recall of every class", "passed", "at most 5 points", {"class": "chat“\n”", "images": 40}
        ),
    )
    first = decision("refused", 2, 1, gates=gates, reason="Grün", test_digest="t" * 64, number=3)
    second = decision("rolled back", 1, 2)
    tags = {each.key: each.to_tag() for each in (second, first)} | {"owner": "me"}
    read = read_decisions(tags)
    assert [each.key for each in read] == [first.key, second.key]
    assert read[1] == second
    assert replace(read[0], gates=()) == replace(first, gates=())
    assert read[0].gates[0] == gates[0]
    assert read[0].failed == ["gain in accuracy"]


def test_keys_sort_by_time_and_never_meet() -> None:
    keys = [new_key() for _ in range(200)]
    assert len(set(keys)) == 200
    assert [key.split(".")[1] for key in keys] == sorted(key.split(".")[1] for key in keys)


def test_an_entry_fits_however_long_its_texts_are() -> None:
    gates = tuple(
        GateRecord("not worse than " * 3, "not applicable", "y" * 40, {"class": "x" * 5000, "p": 1 / 3})
        for _ in range(8)
    )
    entry = decision("refused", 10**6, 10**6, gates=gates, reason="why? " * 5000, who="me" * 500)
    text = entry.to_tag()
    assert len(text) <= 5000
    assert json.loads(text)["gates"][7]["figures"]["p"] == 1 / 3


def test_an_entry_that_somebody_has_changed_is_named() -> None:
    entry = decision("promoted", 1)
    for text in ("{}", "no JSON", entry.to_tag().replace('"kind"', '"sort"')):
        with pytest.raises(PipelineError, match=entry.key):
            read_decisions({entry.key: text})


def test_promotions_follow_each_other_and_refusals_change_nothing() -> None:
    log = [decision("promoted", 1), decision("refused", 2, 1), decision("forced", 3, 1)]
    assert champions(log) == [1, 3]
    assert previous_champion(log, 3) == 1


def test_rollbacks_go_further_and_further_back() -> None:
    log = [decision("promoted", 1), decision("promoted", 2, 1), decision("promoted", 3, 2)]
    log.append(decision("rolled back", 2, 3))
    assert champions(log) == [1, 2]
    assert previous_champion(log, 2) == 1
    log.append(decision("rolled back", 1, 2))
    assert champions(log) == [1]
    assert previous_champion(log, 1) is None


def test_a_version_may_become_champion_twice() -> None:
    log = [decision("promoted", 1), decision("promoted", 2, 1), decision("forced", 1, 2)]
    assert champions(log) == [1, 2, 1]
    assert previous_champion(log, 1) == 2
    log.append(decision("rolled back", 2, 1))
    assert previous_champion(log, 2) == 1


def test_a_decision_that_a_conflict_has_stopped_does_not_count_as_carried_out() -> None:
    stopped = decision("promoted", 3, 1)
    log = [decision("promoted", 1), stopped, decision("conflict", 3, 1, cancels=stopped.key)]
    assert champions(log) == [1]


def test_a_decision_that_was_killed_before_it_was_carried_out_is_left_behind() -> None:
    log = [decision("promoted", 1), decision("promoted", 2, 1)]  # the alias still points to 1
    assert previous_champion(log, 1) is None
    log.append(decision("promoted", 3, 1))
    assert champions(log) == [1, 3]


def test_a_champion_that_was_made_by_hand_can_be_returned_to_and_left() -> None:
    log = [decision("promoted", 1)]
    assert previous_champion(log, 7) == 1  # 7 was made champion by hand
    log.append(decision("promoted", 8, 7))
    assert champions(log) == [1, 7, 8]
    log.append(decision("rolled back", 7, 8))
    assert champions(log) == [1, 7]


def test_without_an_alias_the_last_champion_comes_back() -> None:
    log = [decision("promoted", 1), decision("promoted", 2, 1)]
    assert previous_champion(log, None) == 2
    assert champions([*log, decision("rolled back", 2, None)]) == [1, 2]
    assert previous_champion([], None) is None


def test_decisions_are_counted_by_the_test_subset_that_they_looked_at() -> None:
    stopped = decision("promoted", 2, test_digest="a")
    log = [
        decision("refused", 1, test_digest="a"),
        decision("refused", 1, test_digest="b"),
        stopped,
        decision("conflict", 2, test_digest="a", cancels=stopped.key),
        decision("rolled back", 1),
    ]
    assert (decisions_on(log, "a"), decisions_on(log, "b"), decisions_on(log, "c")) == (2, 1, 0)
