"""The page about a study: its figures are those of the results, and its words follow from them."""

import csv
from typing import TypeVar

import pytest

from pipeline.reporting.document import Chart, Commands, Document, Finding, Paragraph, Table
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.studies.analysis import Analysis, analyse
from pipeline.studies.cells import FAILED, OPEN, results_csv
from pipeline.studies.content import Making, recommendation, study_document
from tests.reporting.reading import lines, panels, plain
from tests.studies.made_studies import BROKE_OFF, made_cells, made_study
from tests.studies.test_analysis import ALIKE, BEST, BETTER, USUAL, WORSE, analysed

Kind = TypeVar("Kind")

COMMAND = "python -m pipeline study studies/batch_size.yaml"
MAKING = Making(COMMAND, ["AMD EPYC"], ["1fd6430"], {"python": "3.13", "keras": "3.15"})


def document(analysis: Analysis) -> Document:
    return study_document(analysis, MAKING)


def blocks(analysis: Analysis, kind: type[Kind]) -> list[Kind]:
    return [block for block in document(analysis).blocks() if isinstance(block, kind)]


def rows(analysis: Analysis, first_column: str, place: int = 0) -> list[dict[str, str]]:
    """Of the table whose first column is called so; two columns with one name: the latter counts."""
    table = [each for each in blocks(analysis, Table) if each.columns[0] == first_column][place]
    columns = list(map(plain, table.columns))
    return [dict(zip(columns, map(plain, row), strict=True)) for row in table.rows]


def told(analysis: Analysis) -> str:
    """All that stands in sentences above the tables."""
    first = document(analysis).sections[0].blocks
    return plain(" ".join(block.text for block in first if isinstance(block, Finding | Paragraph)))


def page(analysis: Analysis) -> str:
    made = document(analysis)
    return render_page(made, {chart.name: figure_png(chart.figure) for chart in made.charts()}, {})


# --- tables ------------------------------------------------------------------------------------------


def test_the_table_of_settings_has_the_results() -> None:
    usual, better = rows(analysed(usual=USUAL, better=BETTER), "setting")
    assert (usual["setting"], usual["seeds"], usual["mean"]) == ("usual", "3 of 3", "81.00")
    # Deviation 0.01; t with 2 degrees of freedom: 4.303, so +- 2.48 points.
    assert usual["standard deviation"] == "1.00"
    assert usual["difference"] == usual["p"] == usual["p (Holm)"] == "–"
    # Differences 1.01, 1.00 and 0.99 points: mean 1, t = 1 / (0.01 / sqrt(3)).
    assert usual["95 % interval"] == "78.52 to 83.48"
    assert better["difference"] == "+1.00"
    assert better["95 % interval of it"] == "+0.98 to +1.02"
    assert better["p"] == better["p (Holm)"] == "< 0.001"


def test_the_table_of_costs() -> None:
    _, better = rows(analysed({"better": 1234.5}, usual=USUAL, better=BETTER), "setting", place=1)
    assert better == {
        "setting": "better",
        "seconds": "1,235.5",
        "core seconds": "2,471",
        "images per second": "1,234",
        "parameters": "295,968",
    }


def test_the_table_of_trainings_is_that_of_the_file() -> None:
    analysis = analysed(usual=(0.8, FAILED, OPEN), better=BETTER)
    shown = rows(analysis, "setting", place=2)
    written = list(csv.DictReader(results_csv(analysis.cells).splitlines()))
    assert len(shown) == len(written) == 6
    for row, values in zip(shown, written, strict=True):
        assert (row["setting"], row["seed"]) == (values["setting"], values["seed"])
        assert row["experiment"] == values["experiment"]
        accuracy = values["validation_accuracy"]
        assert row["accuracy"] == (f"{100 * float(accuracy):.2f} %" if accuracy else "–")
        assert row["seconds"] == (values["seconds"] or "–")
        assert row["epochs"] == (values["epochs"] or "–")
    assert [row["result"] for row in shown[:3]] == ["done", f"failed: {BROKE_OFF}", "not run yet"]


def test_what_was_set_and_typed_is_there() -> None:
    analysis = analysed(usual=USUAL, better=BETTER)
    (commands,) = blocks(analysis, Commands)
    assert commands.items[0][0] == COMMAND
    assert [row["params"] for row in rows(analysis, "setting", place=3)] == [
        "batch_size = 1",
        "batch_size = 2",
    ]
    assert rows(analysis, "param") == [
        {"param": "lr", "value": "0.1"},
        {"param": "split.train_limit", "value": "off"},
    ]
    machine = {row["item"]: row["value"] for row in rows(analysis, "item")}
    assert (machine["processor"], machine["threads"]) == ("AMD EPYC", "2")
    assert machine["versions"] == "python 3.13, keras 3.15"


# --- chart -------------------------------------------------------------------------------------------


def test_the_chart_shows_means_and_seeds() -> None:
    analysis = analysed(usual=USUAL, better=BETTER, broken=(FAILED, FAILED, FAILED))
    (chart,) = blocks(analysis, Chart)
    (axes,) = panels(chart.figure)
    ((means, places),) = lines(axes, "better")
    assert means == [pytest.approx(0.82)]
    assert places == [1]
    ((scores, _),) = lines(axes, "better: seeds")
    assert scores == list(BETTER)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["usual", "better", "broken\n✗ 3 of 3 failed"]
    assert plain(chart.alt) == "Mean validation accuracy: usual 81.00 %, better 82.00 %."
    low, high = axes.get_xlim()
    assert low < min(USUAL) < max(BETTER) < high <= 1.0


def test_a_chart_without_any_result() -> None:
    (chart,) = blocks(analysed(usual=(OPEN, OPEN, OPEN), better=(OPEN, OPEN, OPEN)), Chart)
    assert chart.alt == "Mean validation accuracy: none yet."
    assert figure_png(chart.figure)


# --- words -------------------------------------------------------------------------------------------


def test_a_better_setting_and_its_price() -> None:
    analysis = analysed({"best": 21.0}, usual=USUAL, better=BETTER, best=BEST)
    text = told(analysis)
    assert text.startswith(
        "Use best: it is better than usual by more than chance explains (+2.00 points, 95 % interval "
        "+1.98 to +2.02, p < 0.001 after correction). So is better, with a lower mean."
    )
    assert "It takes 2 times the training time of usual." in text
    assert "It takes about the training time of usual." in told(analysed(usual=USUAL, better=BETTER))


def test_no_better_setting() -> None:
    text = told(analysed({"alike": 4.5}, usual=USUAL, alike=ALIKE, worse=WORSE))
    assert text.startswith("Stay with usual: no setting is better by more than chance explains.")
    assert "Cheaper than usual, and not shown to be worse: alike (0.5 times its training time; +0.13" in text
    assert "Worse than usual by more than chance explains: worse." in text


def test_nothing_to_recommend() -> None:
    assert recommendation(analysed(usual=(0.8, FAILED, FAILED), better=BETTER)) == (
        "No recommendation: the reference usual has failed under seeds 1 and 2, and there is nothing to "
        "compare the others with. Choose another one."
    )
    assert recommendation(analysed(usual=(0.8, 0.81, OPEN), better=BETTER)) == (
        "No recommendation yet: the reference usual was not run under all seeds."
    )


def test_what_is_still_to_be_run() -> None:
    text = told(analysed(usual=USUAL, better=BETTER, other=(0.8, OPEN, OPEN)))
    assert "2 of 9 trainings were not run yet, and this may change." in text
    assert "not run yet" not in told(analysed(usual=USUAL, better=BETTER))


def test_what_has_failed_and_why() -> None:
    text = told(analysed(usual=USUAL, broken=(0.9, FAILED, FAILED)))
    assert f"broken has failed under seeds 1 and 2: {BROKE_OFF}" in text


def test_how_little_few_seeds_can_show() -> None:
    # Differences of 0.3, -0.2 and 0.3 points: deviation 0.289, and 4.303 x 0.289 / sqrt(3) = 0.72.
    text = told(analysed(usual=USUAL, alike=ALIKE))
    assert (
        "With 3 seeds and 1 comparison, and as these trainings scatter, a mean difference has to exceed"
        in text
    )
    assert "about 0.72 points" in text
    assert "That is little power" in text
    scores = {"usual": [0.80, 0.81, 0.82, 0.83, 0.84], "alike": [0.81, 0.80, 0.83, 0.82, 0.85]}
    assert "little power" not in told(analyse(made_study(list(scores), range(5)), made_cells(scores)))


def test_times_of_different_processors() -> None:
    analysis = analysed(usual=USUAL, better=BETTER)
    mixed = study_document(analysis, Making(COMMAND, ["A", "B"], [], {}))
    texts = [block.text for block in mixed.blocks() if isinstance(block, Paragraph)]
    assert "The trainings ran on different processors: their times cannot be compared." in texts


# --- page --------------------------------------------------------------------------------------------


def test_the_page_is_one_small_file_and_the_same_again() -> None:
    names = ["none", *(f"setting_{number}" for number in range(9))]
    scores = {
        name: tuple(0.7 + 0.01 * place + 0.003 * seed**2 for seed in range(3))
        for place, name in enumerate(names)
    }
    text = page(analysed(**scores))
    assert text == page(analysed(**scores))
    assert "http" not in text.replace("http-equiv", "")
    assert len(text.encode()) < 300_000
    assert "<h1>Batch size</h1>" in text
    for anchor in ("answer", "settings", "trainings", "reading", "making"):
        assert f'id="{anchor}"' in text
    assert "Holm 1979" in text
