"""How the networks learned: curves, and what they say about over- and underfitting."""

from pipeline.reporting import statements
from pipeline.reporting.diagnosis import Verdict, diagnose
from pipeline.reporting.document import Block, Chart, Details, Finding, Paragraph, Row, Section, Stack, Table
from pipeline.reporting.figures.training import (
    PHASE_NAMES,
    training_curves_figure,
    validation_accuracy_figure,
)
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.wording import candidate_title, counted, percent

_VERDICTS = {
    Verdict.OVERFITTING: "overfits",
    Verdict.UNDERFITTING: "underfits",
    Verdict.BALANCED: "fits well",
}


def training_section(results: Results) -> Section:
    texts: tuple[Block, ...] = (
        Paragraph(
            "In an epoch a network sees every training image once. The closer its answers come to the "
            "labels, "
            "the lower the loss. Where the curve of the training images leaves that of the validation images "
            "behind, the network learns its images by heart (overfitting); where both stay low, it has "
            "not learned "
            "enough (underfitting)."
        ),
        Paragraph(
            "Training figures are taken while the weights change, from images as augmentation and "
            "dropout leave "
            "them; that is why the dashed line may run below the other one."
        ),
    )
    return Section(
        anchor="training",
        title="How they learned",
        blocks=(
            Row((_overlay(results), Stack(texts))),
            Row(
                tuple(
                    Stack((_curves(candidate, results), Finding(_judgment(candidate, results))))
                    for candidate in results.candidates
                )
            ),
            Details(
                "Tables: all figures of every epoch",
                tuple(_history_table(candidate) for candidate in results.candidates),
            ),
        ),
    )


def _judgment(candidate: Candidate, results: Results) -> str:
    return statements.fit(
        diagnose(
            candidate.history, candidate.card.training["best_epoch"], len(results.subsets["validation"])
        ),
        candidate_title(candidate.name),
    )


def _curves(candidate: Candidate, results: Results) -> Chart:
    history = candidate.history
    kept = int(candidate.card.training["best_epoch"])
    diagnosis = diagnose(history, kept, len(results.subsets["validation"]))
    name = candidate_title(candidate.name)
    early = ", stopped early" if candidate.card.training["stopped_early"] else ""
    return Chart(
        name=f"training_{candidate.name}",
        figure=training_curves_figure(history, kept, f"{name} {_VERDICTS[diagnosis.verdict]}"),
        alt=(
            f"Curves of {name} over {counted(len(history), 'epoch')}: accuracy on training images ends at "
            f"{percent(history.accuracy[-1])}, on validation images at {percent(history.val_accuracy[-1])}."
        ),
        caption=(
            f"{counted(len(history), 'epoch')}{early}; "
            f"the dotted line marks epoch {kept}, whose weights were kept."
        ),
    )


def _overlay(results: Results) -> Chart:
    histories = {candidate.name: candidate.history for candidate in results.candidates}
    ends = ", ".join(
        f"{candidate_title(name)} {percent(h.val_accuracy.max())}" for name, h in histories.items()
    )
    return Chart(
        name="learning",
        figure=validation_accuracy_figure(histories),
        alt=f"Validation accuracy over the epochs; highest values: {ends}.",
        caption=f"Highest validation accuracy of any epoch: {ends}.",
    )


def _history_table(candidate: Candidate) -> Table:
    history = candidate.history
    kept = int(candidate.card.training["best_epoch"])
    return Table(
        caption=f"Epochs of {candidate_title(candidate.name)} (bold: the one whose weights were kept)",
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
        numeric=(True, False, True, True, True, True, True),
        strong=frozenset(i for i in range(len(history)) if history.epochs[i] == kept),
    )
