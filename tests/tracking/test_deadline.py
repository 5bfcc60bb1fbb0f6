"""An end to waiting, whatever is waited for."""

import signal
import socket
import threading
import time

import pytest

from pipeline.tracking.deadline import DeadlinePassedError, within


def test_a_read_that_never_ends_is_ended() -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(DeadlinePassedError), within(0.05):
        here.recv(1)


def test_what_is_done_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with within(0.05):
        pass
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) is before


def test_an_earlier_deadline_around_it_stays() -> None:
    began = time.monotonic()
    with pytest.raises(DeadlinePassedError), within(0.1), within(10):
        time.sleep(5)
    assert time.monotonic() - began < 2
    with pytest.raises(DeadlinePassedError), within(0.1):
        with within(10):
            pass
        time.sleep(5)


def test_in_another_thread_it_does_nothing() -> None:
    done = []

    def wait() -> None:
        with within(0.01):
            time.sleep(0.05)
        done.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert done == [True]
