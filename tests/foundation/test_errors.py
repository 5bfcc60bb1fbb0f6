"""An error says what happened, what was expected, what was found and how to fix it."""

import pickle

from pipeline.foundation.errors import PipelineError


def test_every_part_has_its_line() -> None:
    error = PipelineError("It broke.", expected="whole", found="two halves", remedy="glue it")
    assert str(error).splitlines() == [
        "It broke.",
        "  expected: whole",
        "  found:    two halves",
        "  to fix:   glue it",
    ]


def test_parts_that_are_not_given_take_no_line() -> None:
    assert str(PipelineError("It broke.")) == "It broke."


def test_it_comes_whole_out_of_a_worker_process() -> None:
    error = pickle.loads(pickle.dumps(PipelineError("It broke.", found="halves", remedy="glue it")))
    assert (error.what, error.expected, error.found, error.remedy) == ("It broke.", None, "halves", "glue it")
    assert str(error) == "It broke.\n  found:    halves\n  to fix:   glue it"
