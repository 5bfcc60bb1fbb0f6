"""How the networks learned: curves, and what they say about over- and underfitting."""

from collections.abc import Iterator

from pipeline.reporting.document import (
    Block,
    Chart,
    Details,
    Finding,
    Lines,
    Paragraph,
    Row,
    Series,
    Slide,
    Stack,
    Table,
)
from pipeline.reporting.house_style import SUBSET_COLORS, candidate_color
from pipeline.reporting.results import Candidate, ReportSettings, RunResults
from pipeline.reporting.topics.training.figures import (
    PHASE_NAMES,
    training_curves_figure,
    validation_accuracy_figure,
)
from pipeline.reporting.topics.training.overfitting import diagnosis_of, fit_sentence
from pipeline.reporting.wording import counted, percent


def training(results: RunResults, _settings: ReportSettings) -> Iterator[Block]:
    yield Slide(
        name="learning",
        title="How fast the networks learned",
        blocks=(Row((_accuracy_chart(results), Stack(_introduction(results)))),),
        notes="Each line is a network; each point is the share of the validation images that it got right "
        "after that epoch. No network has learned from the validation images.",
    )
    yield Row(tuple(_curves(candidate, results) for candidate in results.candidates))
    tables = tuple(map(_history_table, results.candidates))
    yield Details("Tables: all figures of every epoch", tables)


def _introduction(results: RunResults) -> tuple[Paragraph, ...]:
    reached = [
        f"{each.title}: {counted(len(each.history), 'epoch')}, at best "
        f"{percent(float(each.history.val_accuracy.max()))} of the validation images right."
        for each in results.candidates
    ]
    return (
        Paragraph("In an epoch a network sees every training image once."),
        *map(Paragraph, reached),
        Paragraph(
            "The closer the answers of a network come to the labels, the lower its loss. Where the curve of "
            "the training images pulls away from that of the validation images, the network is learning its "
            "images by heart (overfitting); where both stay low, it has not learned enough (underfitting).",
            spoken=True,
        ),
        Paragraph(
            "Training figures are taken while the weights change, from images as augmentation and dropout "
            "leave them; that is why the dashed line may run below the other one.",
            spoken=True,
        ),
    )


def _curves(candidate: Candidate, results: RunResults) -> Block:
    """Curves and judgment of a network; those of the chosen one make a slide."""
    blocks = (
        _curves_chart(candidate, results),
        Finding(fit_sentence(diagnosis_of(candidate, results), candidate.title)),
    )
    if candidate.name != results.best:
        return Stack(blocks)
    return Slide(
        name="fitting",
        title=f"Does {candidate.title} learn its images by heart?",
        blocks=blocks,
        notes="A network that learns by heart does far better on its training images than on others. "
        "Training figures are taken while the weights change and from augmented images; that is why they "
        "may lie below the others.",
    )


def _curves_chart(candidate: Candidate, results: RunResults) -> Chart:
    history = candidate.history
    fit = diagnosis_of(candidate, results).fit.value
    epochs = counted(len(history), "epoch")
    early = ", stopped early" if candidate.card.training.stopped_early else ""
    kept = f"the dotted line marks epoch {candidate.kept_epoch}, whose weights were kept"
    alt = (
        f"Curves of {candidate.title} over {epochs}: accuracy on training images ends at "
        f"{percent(history.accuracy[-1])}, on validation images at {percent(history.val_accuracy[-1])}."
    )
    return Chart(
        name=f"training_{candidate.name}",
        figure=training_curves_figure(history, candidate.kept_epoch, f"{candidate.title} {fit}"),
        alt=alt,
        caption=f"{epochs}{early}; {kept}.",
        data=Lines(
            categories=tuple(str(epoch) for epoch in history.epochs),
            series=(
                Series("training images", tuple(history.accuracy.tolist()), SUBSET_COLORS["train"]),
                Series(
                    "validation images", tuple(history.val_accuracy.tolist()), SUBSET_COLORS["validation"]
                ),
            ),
            axis_titles=("epoch", "accuracy"),
            alt=alt,
        ),
    )


def _accuracy_chart(results: RunResults) -> Chart:
    histories = {candidate.name: candidate.history for candidate in results.candidates}
    longest = max(map(len, histories.values()))
    ends = ", ".join(
        f"{each.title} {percent(each.history.val_accuracy.max())}" for each in results.candidates
    )
    alt = f"Validation accuracy over the epochs; highest values: {ends}."
    return Chart(
        name="learning",
        figure=validation_accuracy_figure(histories),
        alt=alt,
        data=Lines(
            categories=tuple(str(epoch) for epoch in range(1, longest + 1)),
            series=tuple(
                Series(
                    each.title,
                    (*each.history.val_accuracy.tolist(), *[None] * (longest - len(each.history))),
                    candidate_color(each.name),
                )
                for each in results.candidates
            ),
            axis_titles=("epoch", "validation accuracy"),
            alt=alt,
        ),
    )


def _history_table(candidate: Candidate) -> Table:
    history = candidate.history
    return Table(
        caption=f"Epochs of {candidate.title} (bold: the one whose weights were kept)",
        columns=(
            "Epoch",
            "Phase",
            "Loss",
            "Accuracy",
            "Validation loss",
            "Validation accuracy",
            "Learning rate",
        ),
        rows=tuple(
            (
                str(history.epochs[i]),
                PHASE_NAMES.get(history.phases[i], history.phases[i]),
                f"{history.loss[i]:.4f}",
                percent(history.accuracy[i], 2),
                f"{history.val_loss[i]:.4f}",
                percent(history.val_accuracy[i], 2),
                f"{history.learning_rate[i]:.3g}",
            )
            for i in range(len(history))
        ),
        text_columns=frozenset({1}),
        strong=frozenset(i for i in range(len(history)) if history.epochs[i] == candidate.kept_epoch),
    )
