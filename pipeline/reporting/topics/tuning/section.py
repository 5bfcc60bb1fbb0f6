"""The search over hyperparameters."""

from collections.abc import Iterator

from pipeline.reporting.document import (
    Block,
    Chart,
    Dots,
    Heading,
    Paragraph,
    Row,
    Series,
    Slide,
    Stack,
    Table,
    paragraphs,
)
from pipeline.reporting.house_style import CANDIDATE_COLORS, MUTED
from pipeline.reporting.results import ReportSettings, RunResults
from pipeline.reporting.topics.tuning.effects import effects, what_mattered
from pipeline.reporting.topics.tuning.figures import trials_figure
from pipeline.reporting.topics.tuning.gain import confirmations, search_gain
from pipeline.reporting.wording import (
    compact,
    counted,
    number,
    percent,
    probability,
    signed,
    whole,
)


def tuning(results: RunResults, _settings: ReportSettings) -> Iterator[Block]:
    """Nothing where nothing was tuned."""
    if not results.trials:
        return
    texts = paragraphs(
        "Hyperparameters are what training does not learn: how large its steps are, how much it forgets, how "
        "broad the network is. The search tries settings, the given one among them, and compares what they "
        "reach. Then the best and the given one are trained in full, and the better of the two is kept.",
        search(results),
        search_gain(results),
    )
    if any(trial.val_accuracy is not None for trial in results.trials):
        row = Row((_trials_chart(results), Stack((*texts, _setting_table(results)))))
        notes = "Each point is one trial, the given setting first; the colored one was kept."
        yield Slide("search", "The search for a better setting", (row,), notes)
    else:
        yield from texts
    if results.confirmation:
        yield Table(
            caption="Trained in full: validation accuracy of both settings",
            columns=("Seed", "Setting found", "Given setting"),
            rows=confirmations(results),
        )
    yield Heading("Which hyperparameters mattered?")
    found = effects(results.trials)
    yield Paragraph(what_mattered(results.trials, found))
    if found:
        yield Table(
            caption="How each hyperparameter went with the validation accuracy (strongest link first)",
            columns=("Hyperparameter", "Rank correlation", "p-value"),
            rows=tuple((e.name, signed(e.correlation, 2), probability(e.p_value)) for e in found),
        )
    yield _trials_table(results)


def search(results: RunResults) -> str:
    """What the search over hyperparameters tried and reached."""
    reached = sorted(trial.val_accuracy for trial in results.trials if trial.val_accuracy is not None)
    failed = sum(not trial.completed for trial in results.trials)
    text = f"The search trained {counted(len(results.trials), 'setting')} briefly"
    if failed:
        text += f" ({whole(failed)} failed)"
    if not reached:
        return f"{text}."
    if len(reached) == 1:
        return f"{text}; the one that ended well is right on {percent(reached[0])} of the validation images."
    return (
        f"{text} and compared them on the validation images: their accuracies range from "
        f"{percent(reached[0])} to {percent(reached[-1])}."
    )


def _trials_chart(results: RunResults) -> Chart:
    reached = {
        place: (trial, trial.val_accuracy)
        for place, trial in enumerate(results.trials)
        if trial.val_accuracy is not None
    }
    values = tuple(accuracy for _, accuracy in reached.values())
    told = f"Validation accuracy of {counted(len(reached), 'trial')}"
    told += f", from {percent(min(values))} to {percent(max(values))}, in order"
    best = results.best_trial
    return Chart(
        name="tuning",
        figure=trials_figure(results.trials, best, "What was tried, and what it reached"),
        alt=f"{told} and against each hyperparameter.",
        caption="Each point is a trial; 0 is the given setting, the star the one that was kept.",
        data=Dots(
            categories=tuple(map(str, reached)),
            series=(Series("validation accuracy", values, ""),),
            colors=tuple(
                CANDIDATE_COLORS["tuned"] if trial == best else MUTED for trial, _ in reached.values()
            ),
            axis_titles=("trial, in order", "validation accuracy"),
            alt=f"{told}.",
        ),
    )


def _setting_table(results: RunResults) -> Table:
    return Table(
        caption="The setting that was kept",
        columns=("Hyperparameter", "Value"),
        rows=tuple((name, compact(value)) for name, value in results.best_hyperparameters.items()),
    )


def _trials_table(results: RunResults) -> Table:
    names = list(results.trials[0].hyperparameters)
    return Table(
        caption="All trials, the given setting first (bold: the one that was kept)",
        columns=("Trial", "Validation accuracy", "Validation loss", "Epochs", *names),
        rows=tuple(
            (
                "given" if place == 0 else str(place),
                "failed" if trial.val_accuracy is None else percent(trial.val_accuracy, 2),
                "" if trial.val_loss is None else f"{trial.val_loss:.4f}",
                "" if trial.epochs is None else str(trial.epochs),
                *(_short(trial.hyperparameters[name]) for name in names),
            )
            for place, trial in enumerate(results.trials)
        ),
        strong=frozenset(place for place, trial in enumerate(results.trials) if trial == results.best_trial),
    )


def _short(text: str) -> str:
    value = number(text)
    return text if value is None else f"{value:.4g}"
