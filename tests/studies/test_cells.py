"""The table of a study's trainings as a file."""

import csv

from pipeline.studies.cells import FAILED, OPEN, results_csv
from tests.studies.made_studies import BROKE_OFF, made_cell


def test_a_row_for_each_training() -> None:
    cells = [
        made_cell("usual", 0, 0.91, seconds=61.24),
        made_cell("usual", 1, FAILED),
        made_cell("usual", 2, OPEN),
    ]
    done, failed, not_run = csv.DictReader(results_csv(cells).splitlines())
    assert done == {
        "setting": "usual",
        "seed": "0",
        "status": "done",
        "validation_accuracy": "0.910000",
        "validation_loss": "0.090000",
        "epochs": "15",
        "seconds": "61.2",
        "images_per_second": "1234",
        "parameters": "295968",
        "threads": "2",
        "experiment": "baseline-seed-0-usual",
        "reason": "",
    }
    assert (failed["status"], failed["validation_accuracy"], failed["reason"]) == ("failed", "", BROKE_OFF)
    assert (not_run["status"], not_run["seconds"], not_run["reason"]) == ("open", "", "")
