"""The search over hyperparameters."""

from pipeline.reporting import statements
from pipeline.reporting.diagnosis import effects
from pipeline.reporting.document import Block, Chart, Heading, Paragraph, Row, Section, Stack, Table
from pipeline.reporting.figures.tuning import trials_figure
from pipeline.reporting.results import Results
from pipeline.reporting.wording import compact, counted, percent, probability, signed


def tuning_section(results: Results) -> Section:
    texts = [
        "Hyperparameters are what training does not learn: how large its steps are, how much it forgets, "
        "how broad "
        "the network is. The search tries settings, compares what they reach, and trains the best one "
        "in full.",
        statements.search(results),
        statements.search_gain(results),
    ]
    words: list[Block] = [Paragraph(text) for text in texts if text]
    blocks: list[Block] = words
    if any(trial.val_accuracy is not None for trial in results.trials):
        blocks = [Row((_trials_chart(results), Stack((*words, _setting_table(results)))))]
    blocks += _what_mattered(results)
    blocks.append(_trials_table(results))
    return Section(anchor="tuning", title="The search for a better setting", blocks=tuple(blocks))


def _what_mattered(results: Results) -> list[Block]:
    found = effects(results.trials)
    blocks: list[Block] = [
        Heading("Which hyperparameters mattered?"),
        Paragraph(statements.what_mattered(results.trials, found)),
    ]
    if found:
        blocks.append(
            Table(
                caption="How each hyperparameter went with the validation accuracy (strongest link first)",
                columns=("Hyperparameter", "Rank correlation", "p-value"),
                rows=tuple(
                    (each.name, signed(each.correlation, 2), probability(each.p_value)) for each in found
                ),
                numeric=(False, True, True),
            )
        )
    return blocks


def _trials_chart(results: Results) -> Chart:
    reached = [trial.val_accuracy for trial in results.trials if trial.val_accuracy is not None]
    return Chart(
        name="tuning",
        figure=trials_figure(results.trials, results.best_trial, "What was tried, and what it reached"),
        alt=(
            f"Validation accuracy of {counted(len(reached), 'trial')}, from {percent(min(reached))} to "
            f"{percent(max(reached))}, "
            "in order and against each hyperparameter."
        ),
        caption="Each point is a trial; the star is the setting that was chosen.",
    )


def _setting_table(results: Results) -> Table:
    return Table(
        caption="The setting that was chosen",
        columns=("Hyperparameter", "Value"),
        rows=tuple((name, compact(value)) for name, value in results.best_hyperparameters.items()),
        numeric=(False, True),
    )


def _trials_table(results: Results) -> Table:
    names = list(results.trials[0].hyperparameters)
    return Table(
        caption="All trials (bold: the one that was chosen)",
        columns=("Trial", "Name", "Validation accuracy", "Validation loss", "Epochs", *names),
        rows=tuple(
            (
                str(place),
                trial.name,
                "failed" if trial.val_accuracy is None else percent(trial.val_accuracy, 2),
                "" if trial.val_loss is None else f"{trial.val_loss:.4f}",
                "" if trial.epochs is None else str(trial.epochs),
                *(_short(trial.hyperparameters[name]) for name in names),
            )
            for place, trial in enumerate(results.trials, start=1)
        ),
        numeric=(True, False, *(True for _ in range(3 + len(names)))),
        strong=frozenset(place for place, trial in enumerate(results.trials) if trial == results.best_trial),
    )


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text
