"""Work on all cores."""

import threading
import time

import pytest

from pipeline.images import parallel
from pipeline.images.parallel import MemoryBudget, ordered_map, with_progress


def no_bytes(item: int) -> int:
    return 0


@pytest.mark.parametrize("cores", [1, 2, 7])
def test_results_keep_the_order_of_the_items(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: cores)

    def slow_for_early_items(item: int) -> int:
        time.sleep(0.002 if item < 8 else 0)
        return item * item

    assert list(ordered_map(slow_for_early_items, range(100), no_bytes)) == [
        item * item for item in range(100)
    ]


def test_several_threads_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    both = threading.Barrier(2, timeout=10)  # passes only when two threads are there

    def meet(item: int) -> int:
        if item in (0, 8):
            both.wait()
        return item

    assert list(ordered_map(meet, range(16), no_bytes)) == list(range(16))


def test_only_a_few_results_wait_for_a_slow_consumer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    done: list[int] = []
    results = ordered_map(done.append, range(10_000), no_bytes)
    next(results)
    time.sleep(0.05)
    assert len(done) < 100
    results.close()  # type: ignore[attr-defined]


def test_large_items_are_not_in_memory_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 4)
    monkeypatch.setattr(parallel, "_BYTES_WAITING", 100)
    sizes = [1, 60, 60, 1, 1, 500, 2, 3]
    begun: list[int] = []
    results = ordered_map(begun.append, range(len(sizes)), sizes.__getitem__)
    for used, _ in enumerate(results):
        held = [sizes[item] for item in begun if item >= used]
        assert sum(held) <= 100 or len(held) == 1, held
    assert begun == list(range(len(sizes)))


def test_who_needs_more_memory_than_is_free_waits() -> None:
    memory = MemoryBudget(10)
    done: list[str] = []

    def need(size: int, name: str) -> None:
        with memory.reserved(size):
            done.append(name)

    with memory.reserved(6):
        threads = [
            threading.Thread(target=need, args=each) for each in ((4, "fits"), (5, "waits"), (99, "all"))
        ]
        for thread in threads:
            thread.start()
        threads[0].join()
        time.sleep(0.05)
        assert done == ["fits"]
    for thread in threads:
        thread.join()
    assert sorted(done) == ["all", "fits", "waits"]


def test_an_error_comes_through() -> None:
    def fail(item: int) -> int:
        if item == 50:
            raise ValueError("item 50")
        return item

    with pytest.raises(ValueError, match="item 50"):
        list(ordered_map(fail, range(1000), no_bytes))


def test_progress_is_printed_only_when_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0

    def second_by_second() -> float:
        nonlocal now
        now += 1.0
        return now

    assert list(with_progress(range(3), 3, "work")) == [0, 1, 2]
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(time, "monotonic", second_by_second)
    assert list(with_progress(range(7), 7000, "work")) == list(range(7))
    assert capsys.readouterr().out == "work: 3 of 7,000\nwork: 6 of 7,000\n"
