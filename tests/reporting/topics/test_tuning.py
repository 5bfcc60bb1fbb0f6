"""What is said and drawn about a search."""

import pytest
from scipy.stats import spearmanr

from pipeline.reporting.results import SearchedSetting
from pipeline.reporting.topics.data.section import searched_augmentation
from pipeline.reporting.topics.tuning.effects import Effect, effects, what_mattered
from pipeline.reporting.topics.tuning.figures import trials_figure
from pipeline.reporting.topics.tuning.gain import confirmations, search_gain
from pipeline.reporting.topics.tuning.section import search
from tests.reporting.fake_project import FakeProject
from tests.reporting.reading import Load, lines, panels, plain


def trial(accuracy: float | None, epochs: int = 3, **hyperparameters: str) -> SearchedSetting:
    return SearchedSetting("t", accuracy is not None, epochs, None, accuracy, hyperparameters)


def test_effects_are_scipys_rank_correlations_the_strongest_first() -> None:
    rates, widths = [0.1, 0.4, 0.2, 0.8, 0.3], [1.0, 2.0, 2.0, 1.0, 3.0]
    accuracies = [0.7, 0.8, 0.72, 0.6, 0.9]
    trials = [
        trial(accuracy, lr=str(rate), width=str(width), optimizer="sgd", patience="5")
        for accuracy, rate, width in zip(accuracies, rates, widths, strict=True)
    ]
    width, rate = effects(trials)
    assert (width.name, rate.name) == ("width", "lr")
    assert width.correlation == pytest.approx(spearmanr(widths, accuracies).statistic)
    assert rate.correlation == pytest.approx(spearmanr(rates, accuracies).statistic)


def test_p_values_count_all_orders() -> None:
    """Of the 24 orders of four values, the sorted and the reversed one correlate as strongly."""
    (found,) = effects([trial(0.1 * i, lr=str(i)) for i in range(1, 5)])
    assert found.correlation == pytest.approx(1.0)
    assert found.p_value == pytest.approx(2 / 24)


def test_too_few_failed_and_short_trials_say_nothing() -> None:
    whole = [trial(0.1 * i, lr=str(i)) for i in range(1, 4)]
    assert effects([*whole, trial(None, lr="9"), trial(0.9, epochs=1, lr="8")]) == ()
    assert effects([]) == ()
    assert effects([trial(0.5, lr=str(i)) for i in range(5)]) == ()


def test_with_several_hyperparameters_a_small_p_value_may_still_be_chance() -> None:
    link = Effect("lr", 0.9, 0.028)
    trials = [trial(0.1 * i, lr=str(i)) for i in range(1, 7)]
    alone = what_mattered(trials, [link])
    assert "the accuracy clearly went with lr (higher values did better; rank correlation +0.90" in alone
    among_two = what_mattered(trials, [link, Effect("dropout", 0.1, 0.9)])
    assert "no hyperparameter went with the accuracy more clearly than chance could make it" in among_two
    assert "With 2 of them looked at, only p < 0.025 would count." in among_two


def test_the_search(results: Load) -> None:
    found = results(FakeProject())
    assert plain(search(found)) == (
        "The search trained 4 settings briefly (1 failed) and compared them on the validation images: "
        "their accuracies range from 85.0 % to 92.0 %."
    )
    assert found.best_trial is not None
    assert found.best_trial.name == "1"
    assert searched_augmentation(found) == ""


HEADER = "setting,seed,val_accuracy,val_loss\n"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            "found,0,0.925,0\ngiven,0,0.90,0\nfound,1,0.915,0\ngiven,1,0.905,0\n",
            "Trained in full under 2 seeds, the setting that the search found reached 92.0 % of the "
            "validation images, and the one that was given 90.3 %: +1.8 points, within what chance explains "
            "(paired t-test over the seeds, p = 0.258). The one found was kept.",
        ),
        (
            "found,0,0.95,0\ngiven,0,0.90,0\nfound,1,0.96,0\ngiven,1,0.905,0\n"
            "found,2,0.97,0\ngiven,2,0.91,0\n",
            "more than chance explains (paired t-test over the seeds, p = 0.003). The one found was kept.",
        ),
        ("found,0,0.91,0\ngiven,0,0.92,0\n", "−1.0 points, on one seed. The given one was kept."),
        ("found,0,0.91,0\ngiven,0,0.91,0\n", "The given one was kept."),
        (
            "found,0,0.9,0\ngiven,0,,\n",
            "reached 90.0 % of the validation images, and the one that was given none (its loss was not "
            "finite). The one found was kept.",
        ),
        (
            "found,0,,\ngiven,0,0.5,0\nfound,1,0.9,0\ngiven,1,0.5,0\n",
            "the setting that the search found reached 90.0 % (1 of them failed) of the validation images",
        ),
        ("", "No trial did better on the validation images than the setting that was given"),
    ],
)
def test_what_the_search_has_won(rows: str, said: str, results: Load) -> None:
    found = results(FakeProject(confirmation=HEADER + rows))
    assert said in plain(search_gain(found))
    assert len(confirmations(found)) == rows.count("found")


def test_trials_are_drawn_in_order_and_against_each_hyperparameter() -> None:
    trials = [
        trial(0.8, lr="0.001", optimizer="sgd"),
        trial(None, lr="0.1", optimizer="adam"),
        trial(0.9, lr="0.1", optimizer="adam"),
    ]
    figure = trials_figure(trials, trials[2], "Title")
    order, rate, optimizer = (axes for axes in panels(figure) if axes.get_visible())
    assert lines(order, "trials") == [([0, 2], [0.8, 0.9])]
    assert lines(order, "best") == [([2], [0.9])]
    assert lines(rate, "trials") == [([0.001, 0.1], [0.8, 0.9])]
    assert rate.get_xscale() == "log"
    assert [label.get_text() for label in optimizer.get_xticklabels()] == ["adam", "sgd"]
    assert lines(optimizer, "trials") == [([1, 0], [0.8, 0.9])]


def test_labels_of_logarithmic_axes_are_numbers() -> None:
    rates = ("0.0004", "0.002", "0.003", "0.004", "0.005", "0.006", "0.007", "0.02")
    trials = [trial(0.8, lr=rate) for rate in rates]
    figure = trials_figure(trials, None, "Title")
    figure.canvas.draw()
    labels = [label.get_text() for label in panels(figure)[1].get_xticklabels(which="both")]
    assert {"0.001", "0.01"} <= set(labels)
    assert all(label == "" or float(label) for label in labels)
