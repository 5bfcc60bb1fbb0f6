"""What the slides say: the report's findings, one per slide, with notes for the speaker."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.reporting import advice, statements
from pipeline.reporting.content import ReportSettings
from pipeline.reporting.content.examples import example
from pipeline.reporting.content.mistakes import Pair, confused_pairs, most_confident_mistakes
from pipeline.reporting.diagnosis import diagnose
from pipeline.reporting.document import Document, Example
from pipeline.reporting.figures.style import CANDIDATE_COLORS, MUTED, SUBSET_COLORS, candidate_color
from pipeline.reporting.results import Candidate, Results
from pipeline.reporting.slides.slide import (
    PERCENT,
    WHOLE,
    Bars,
    Deck,
    Dots,
    Grid,
    Lines,
    Picture,
    Series,
    Slide,
    Tile,
    Tiles,
)
from pipeline.reporting.wording import (
    accuracy_decimals,
    candidate_title,
    compact,
    counted,
    percent,
    points,
    probability,
    quantity,
    shortened,
    whole,
)
from pipeline.scoring.explanations import INPUT_LAYER
from pipeline.scoring.scores import confusion_matrix

_LONGEST_NAME = 24
"""Characters of a class name in a chart or below an image."""

_INTRODUCTION = 2
"""Paragraphs of the report's introduction; the others are about the report itself."""

_MOST_CLASSES = 12
_MOST_TILES = 12
_MISTAKES = 8
_HEATMAPS = 8
_MOST_SETTINGS = 10
_MOST_LIMITS = 6
_MOST_MATRIX_CLASSES = 30
"""Larger confusion matrices cannot be read on a slide; a table of confused pairs can."""

_MOST_PAIRS = 10


def build_slides(
    results: Results, settings: ReportSettings, document: Document, pictures: Mapping[str, bytes]
) -> Deck:
    """The deck for `results`: 12 to 15 slides, the title included.

    Args:
      document: the report, whose title the deck shares.
      pictures: PNG bytes of the report's charts by their names.
    """
    slides = [
        _problem(results),
        _data(results),
        _networks(results),
        _training(results),
        _fit(results),
        *([_search(results)] if any(trial.val_accuracy is not None for trial in results.trials) else []),
        _accuracy(results, settings),
        *([_pairs(results, settings)] if results.paired_tests else []),
        _classes(results),
        _confusion(results, pictures),
        _mistakes(results),
        *_heatmaps(results),
        _limits(results, settings),
        _demo(),
    ]
    return Deck(
        title=document.title,
        subtitle=document.subtitle,
        notes=(
            f"These slides tell what was learned from {document.subtitle}. All figures come from the same "
            "run as the report beside them, index.html and report.pdf, which hold the details."
        ),
        slides=tuple(slides),
    )


# --- problem, data, networks ------------------------------------------------------------------------


def _problem(results: Results) -> Slide:
    train = results.subsets["train"]
    labels = np.unique(train.labels)[:_MOST_TILES]
    tiles = tuple(
        Tile(
            images=(np.asarray(train.images[np.flatnonzero(train.labels == label)[0]]),),
            label=_short(results.class_names[label]),
            note="",
            alt=f"An image of {results.class_names[label]}",
        )
        for label in labels
    )
    count = len(results.class_names)
    texts = statements.introduction(results)[:_INTRODUCTION]
    shown = "" if len(labels) == count else f" Here are the first {len(labels)} of them."
    return Slide(
        title=f"Which of {count} classes does an image show?",
        texts=tuple(texts),
        visual=Tiles(tiles),
        notes=(
            f"The task: name the class of an image, one of {count}.{shown} "
            "Beside the text stands one training image of each class. "
            f"{' '.join(texts)}"
        ),
    )


def _data(results: Results) -> Slide:
    size = len(results.class_names)
    counts = {name: np.bincount(data.labels, minlength=size) for name, data in results.subsets.items()}
    total = np.sum(list(counts.values()), axis=0)
    # With many classes only the rarest fit, which are the ones to know.
    chosen = np.arange(size) if size <= _MOST_CLASSES else np.argsort(total, kind="stable")[:_MOST_CLASSES]
    part = "" if size <= _MOST_CLASSES else f" The chart shows the {len(chosen)} smallest classes."
    texts = [
        statements.data_source(results),
        statements.image_sizes(results),
        f"{statements.class_sizes(counts['train'], results.class_names)}{part}",
        statements.duplicates(results),
        statements.left_out(results),
    ]
    told = ", ".join(f"{whole(len(data))} {name}" for name, data in results.subsets.items())
    return Slide(
        title=f"The data: {counted(int(total.sum()), 'image')} in three subsets",
        texts=_said(*texts),
        visual=Bars(
            categories=tuple(_short(results.class_names[label]) for label in chosen),
            series=tuple(
                Series(name, tuple(int(value) for value in values[chosen]), SUBSET_COLORS[name])
                for name, values in counts.items()
            ),
            number_format=WHOLE,
            axis_title="images",
            alt=f"Bars of images per class, stacked by subset: {told}.",
        ),
        notes=(
            f"The images are divided into {told}. Networks learn from the training images alone, are chosen "
            f"by the validation images, and are judged by the test images. {statements.rejected(results)}"
        ),
    )


def _networks(results: Results) -> Slide:
    rows = [
        (
            candidate_title(candidate.name),
            _short(candidate.card.network),
            whole(candidate.card.parameters["total"]),
            quantity(candidate.card.forward_macs),
        )
        for candidate in results.candidates
    ]
    descriptions = [
        f"{candidate_title(candidate.name)}: "
        f"{statements.candidate_description(candidate, len(results.trials))}"
        for candidate in results.candidates
    ]
    return Slide(
        title=f"{counted(len(results.candidates), 'network')} for the same task",
        texts=tuple(descriptions),
        visual=Grid(
            rows=(("Model", "Network", "Weights", "Multiplications per image"), *rows),
            numeric=(False, False, True, True),
            strong=frozenset({_place_of_winner(results)}),
            alt="Table of the networks with their weights and multiplications per image.",
        ),
        notes=(
            f"{statements.cost(results)} Weights are what training adjusts; multiplications are the work "
            "that one image takes. "
            + " ".join(
                f"{candidate_title(candidate.name)}: {statements.size(candidate)}"
                for candidate in results.candidates
            )
        ),
    )


# --- training ---------------------------------------------------------------------------------------


def _training(results: Results) -> Slide:
    longest = max(len(candidate.history) for candidate in results.candidates)
    best = [
        f"{candidate_title(candidate.name)}: {counted(len(candidate.history), 'epoch')}, at best "
        f"{percent(float(candidate.history.val_accuracy.max()))} of the validation images right."
        for candidate in results.candidates
    ]
    return Slide(
        title="How fast the networks learned",
        texts=("In an epoch a network sees every training image once.", *best),
        visual=Lines(
            categories=tuple(str(epoch) for epoch in range(1, longest + 1)),
            series=tuple(
                Series(
                    candidate_title(candidate.name),
                    _padded(candidate.history.val_accuracy, longest),
                    candidate_color(candidate.name),
                )
                for candidate in results.candidates
            ),
            axis_titles=("epoch", "validation accuracy"),
            alt=f"Curves of validation accuracy over the epochs. {' '.join(best)}",
        ),
        notes=(
            f"Each line is one network; each point says how many validation images it got right after that "
            f"epoch. {' '.join(best)} No network has learned from the validation images."
        ),
    )


def _fit(results: Results) -> Slide:
    winner = results.winner
    name, history = candidate_title(winner.name), winner.history
    kept = int(winner.card.training["best_epoch"])
    judgment = statements.fit(diagnose(history, kept, len(results.subsets["validation"])), name)
    return Slide(
        title=f"Does {name} learn its images by heart?",
        texts=(judgment,),
        visual=Lines(
            categories=tuple(str(epoch) for epoch in history.epochs),
            series=(
                Series("training images", _padded(history.accuracy, len(history)), SUBSET_COLORS["train"]),
                Series(
                    "validation images",
                    _padded(history.val_accuracy, len(history)),
                    SUBSET_COLORS["validation"],
                ),
            ),
            axis_titles=("epoch", "accuracy"),
            alt=f"Accuracy of {name} on training and validation images over the epochs. {judgment}",
        ),
        notes=(
            "A network that learns by heart does far better on its training images than on others. "
            f"{judgment} Training figures are taken while the weights change and from augmented images; "
            "that is why they may lie below the others."
        ),
    )


def _search(results: Results) -> Slide:
    tried = [trial for trial in results.trials if trial.val_accuracy is not None]
    best = results.best_trial
    setting = list(results.best_hyperparameters.items())[:_MOST_SETTINGS]
    chosen = "; ".join(f"{name} {compact(value)}" for name, value in setting)
    return Slide(
        title="The search for a better setting",
        texts=_said(
            statements.search(results),
            statements.search_gain(results),
            f"The setting that was chosen: {chosen}." if chosen else "",
        ),
        visual=Dots(
            categories=tuple(str(place) for place, trial in enumerate(results.trials, 1) if trial in tried),
            name="validation accuracy",
            values=tuple(float(trial.val_accuracy or 0.0) for trial in tried),
            colors=tuple(CANDIDATE_COLORS["tuned"] if trial == best else MUTED for trial in tried),
            intervals=None,
            axis_titles=("trial, in order", "validation accuracy"),
            alt=f"Validation accuracy of every trial, in order. {statements.search(results)}",
        ),
        notes=(
            "Hyperparameters are what training does not learn, such as the size of its steps. Each point is "
            f"one trial, in the order of the search. {statements.search(results)} "
            f"{statements.search_gain(results)}"
        ).rstrip(),
    )


# --- results ----------------------------------------------------------------------------------------


def _accuracy(results: Results, settings: ReportSettings) -> Slide:
    winner = results.winner
    test = winner.scores["test"]
    confidence = settings.evaluate.confidence
    decimals = accuracy_decimals(int(test["images"]))
    scores = [candidate.scores["test"] for candidate in results.candidates]
    told = ", ".join(
        f"{candidate_title(candidate.name)} {percent(score['accuracy'], decimals)}"
        for candidate, score in zip(results.candidates, scores, strict=True)
    )
    return Slide(
        title=f"{candidate_title(winner.name)} is right on {percent(test['accuracy'], decimals)} "
        "of the test images",
        texts=_said(
            statements.choice(results),
            statements.test_result(winner, confidence),
            statements.against_references(results),
        ),
        visual=Dots(
            categories=tuple(candidate_title(candidate.name) for candidate in results.candidates),
            name="test accuracy",
            values=tuple(score["accuracy"] for score in scores),
            colors=tuple(candidate_color(candidate.name) for candidate in results.candidates),
            intervals=tuple((score["accuracy_low"], score["accuracy_high"]) for score in scores),
            axis_titles=("", f"test accuracy with its {percent(confidence, 0)} interval"),
            alt=f"Test accuracy of each network with its {percent(confidence, 0)} interval: {told}.",
        ),
        notes=(
            f"The point is the share of test images that a network gets right, the bar its "
            f"{percent(confidence, 0)} interval: where the figure could have come out with other test "
            f"images. The axis does not begin at zero. {statements.choice(results)} "
            f"{statements.test_result(winner, confidence)} {statements.cost(results)}"
        ),
    )


def _pairs(results: Results, settings: ReportSettings) -> Slide:
    winner = results.winner
    confidence = settings.evaluate.confidence
    images = int(winner.scores["test"]["images"])
    decimals = accuracy_decimals(images)
    rows = [
        (
            f"{candidate_title(test.first)} – {candidate_title(test.second)}",
            whole(test.only_first_right),
            whole(test.only_second_right),
            points(test.difference, decimals),
            probability(test.p_value),
        )
        for test in results.paired_tests
    ]
    others = [other.name for other in results.candidates if other is not winner]
    tests = [test for name in others if (test := results.paired_test(winner.name, name)) is not None]
    sentences = [statements.against(test, confidence, images) for test in tests]
    return Slide(
        title="Is the difference more than chance?",
        texts=tuple(sentences),
        visual=Grid(
            rows=(("Pair", "Only first right", "Only second right", "Difference", "McNemar"), *rows),
            numeric=(False, True, True, True, True),
            strong=frozenset(),
            alt=f"Table of paired comparisons on the test images. {' '.join(sentences)}",
        ),
        notes=(
            "All networks answered for the same test images, so only the images count on which exactly one "
            "of two is right. McNemar's exact test asks how easily chance alone would divide them so "
            f"unevenly. {' '.join(sentences)}"
        ),
    )


def _classes(results: Results) -> Slide:
    winner = results.winner
    name = candidate_title(winner.name)
    seen = [result for result in winner.classes if result.support > 0]
    hardest = sorted(seen, key=lambda result: result.recall)[:_MOST_CLASSES]
    which = "hardest classes" if len(hardest) < len(seen) else "classes, the hardest first"
    told = ", ".join(f"{result.name} {percent(result.recall)}" for result in hardest)
    return Slide(
        title=f"Which classes {name} recognizes",
        texts=(statements.classes(winner), f"Recall of the {len(hardest)} {which}."),
        visual=Bars(
            categories=tuple(_short(result.name) for result in hardest),
            series=(
                Series("recall", tuple(result.recall for result in hardest), candidate_color(winner.name)),
            ),
            number_format=PERCENT,
            axis_title="recall: share of the class's test images that are recognized",
            alt=f"Bars of recall by class: {told}.",
        ),
        notes=(
            "Recall is the share of a class's test images that were given this class. "
            f"{statements.classes(winner)}"
        ),
    )


# --- examples ---------------------------------------------------------------------------------------


def _confusion(results: Results, pictures: Mapping[str, bytes]) -> Slide:
    winner = results.winner
    name = candidate_title(winner.name)
    matrix = confusion_matrix(winner.predictions["test"])
    pairs = confused_pairs(matrix, results.class_names)
    sentence = statements.confusions(pairs, name)
    right, total = int(np.trace(matrix)), int(matrix.sum())
    readable = len(results.class_names) <= _MOST_MATRIX_CLASSES
    how_to_read = (
        "Each row holds the test images of one class, each column what they were taken for; what lies on "
        "the diagonal is right."
    )
    return Slide(
        title="What is taken for what",
        texts=(sentence, how_to_read) if readable or not pairs else (sentence,),
        visual=Picture(
            pictures[f"confusion_{winner.name}"],
            f"Confusion matrix of {name}: {right} of {total} test images lie on the diagonal.",
        )
        if readable or not pairs
        else _pairs_grid(pairs, name),
        notes=(
            f"Of {counted(total, 'test image')} {name} names {whole(right)} rightly. Which classes are taken "
            f"for each other says which of them look alike to the network. {sentence}"
        ),
    )


def _pairs_grid(pairs: Sequence[Pair], name: str) -> Grid:
    rows = [
        (_short(actual), _short(predicted), whole(images), percent(images / support, 0))
        for actual, predicted, images, support in pairs[:_MOST_PAIRS]
    ]
    return Grid(
        rows=(("Actual class", "Taken for", "Images", "Share of the class"), *rows),
        numeric=(False, False, True, True),
        strong=frozenset(),
        alt=f"Table of the pairs of classes that {name} confuses most.",
    )


def _mistakes(results: Results) -> Slide:
    winner = results.winner
    name = candidate_title(winner.name)
    rows = most_confident_mistakes(winner, _MISTAKES)
    wrong = int((~winner.predictions["test"].right).sum())
    together = statements.wrong_by_all(results)
    if not wrong:
        sentence = f"{name} makes no mistake on the test images."
        texts = _said(sentence, together)
        return Slide(title="Mistakes", texts=texts, notes=" ".join(texts))
    shown = "all of them" if len(rows) == wrong else f"the {len(rows)} that it is most sure of"
    return Slide(
        title=f"{name} makes {counted(wrong, 'mistake')}",
        texts=_said(f"Shown: {shown}, the surest first.", together),
        visual=Tiles(tuple(_tile(example(results, winner, row)) for row in rows)),
        notes=(
            f"Of {counted(len(results.subsets['test']), 'test image')} {name} gets {whole(wrong)} wrong. "
            "Below each image stands what the network said, how sure it was, and what the label says. "
            f"Where there is a second image, its colors are the heatmap of the wrong class. {together}"
        ).rstrip(),
    )


def _heatmaps(results: Results) -> list[Slide]:
    """Right answers with their heatmaps; no slide where there are none."""
    winner = results.winner
    name = candidate_title(winner.name)
    rows = _one_per_class(winner, results)
    if not rows:
        return []
    # Without convolutions the maps are gradients, which tell where pixels matter and not for what.
    gradients = winner.explanations.heatmap_layer == INPUT_LAYER
    shown = "places that would move the answer most" if gradients else "places that spoke for the answer"
    meaning = "would change the probability of the answer most" if gradients else "spoke for the answer"
    return [
        Slide(
            title=f"Where {name} looks",
            texts=(
                f"Beside each test image the {shown}: the warmer the color, the more.",
                "A network that looks at the object has learned what was meant; one that looks at the "
                "background may fail on other images.",
            ),
            visual=Tiles(tuple(_tile(example(results, winner, row)) for row in rows)),
            notes=(
                f"These are test images that {name} names rightly, of different classes. The heatmap shows "
                f"which places of the image {meaning}: where the network looks, not what it sees there."
            ),
        )
    ]


def _one_per_class(candidate: Candidate, results: Results) -> list[int]:
    """Rows of right answers with a heatmap, of different classes spread over all of them."""
    predictions = candidate.predictions["test"]
    found: dict[int, int] = {}
    for row in candidate.explanations.rows:
        if predictions.right[row]:
            found.setdefault(int(predictions.labels[row]), int(row))
    rows = [found[label] for label in sorted(found)]
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(_HEATMAPS, len(rows))).round().astype(int))
    return [rows[place] for place in chosen]


def _tile(shown: Example) -> Tile:
    """Label: the answer. Note: how sure it was and, of a wrong one, what would have been right."""
    images = (shown.image,) if shown.overlay is None else (shown.image, shown.overlay)
    mark = "✓" if shown.right else "✗"
    sure = percent(shown.probabilities[0][1], 0)
    note = sure if shown.right else f"{sure}, actually {_short(shown.actual)}"
    return Tile(
        images=images,
        label=f"{mark} {_short(shown.predicted)}",
        note=note,
        alt=f"Image {shown.name}, taken for {shown.predicted}, actually {shown.actual}",
    )


# --- limits, demo -----------------------------------------------------------------------------------


def _limits(results: Results, settings: ReportSettings) -> Slide:
    limits = advice.limits(results, settings.evaluate.confidence)
    steps = advice.next_steps(results, settings.augmentation)
    return Slide(
        title="Its limits",
        texts=tuple(f"{lead}. {text}" for lead, text in limits[:_MOST_LIMITS]),
        notes=(
            "Before the network is used, it should be tried on images from the place where it will be used. "
            + " ".join(f"{lead}. {text}" for lead, text in limits)
            + " What to try next: "
            + " ".join(f"{lead}. {text}" for lead, text in steps)
        ),
    )


def _demo() -> Slide:
    return Slide(
        title="Try it: on your own images, in a browser, from a program",
        texts=(
            "The chosen network runs wherever it is needed: on the command line, behind a web page, in other "
            "programs. Every exported file is checked against the original before it is kept.",
        ),
        commands=(
            ("python -m pipeline export", "files for phones, servers, other runtimes"),
            ("python -m pipeline predict photo.jpg", "what an image shows"),
            ("python -m pipeline explain photo.jpg", "where the network looks"),
            ("python -m pipeline serve", "a web page with camera, and a REST API"),
        ),
        notes=(
            "For the demonstration, export the model once, then start the server and open the address that "
            "it prints. Choose an image or use the camera; the page shows the most probable classes. The "
            "same answers come from the command line and from the REST API."
        ),
    )


def _said(*texts: str) -> tuple[str, ...]:
    """The texts that there is cause for."""
    return tuple(text for text in texts if text)


def _short(name: str) -> str:
    return shortened(name, _LONGEST_NAME)


def _place_of_winner(results: Results) -> int:
    return next(place for place, each in enumerate(results.candidates) if each is results.winner)


def _padded(values: Sequence[float] | np.ndarray, length: int) -> tuple[float | None, ...]:
    """The values, then None up to `length`."""
    return (*(float(value) for value in values), *(None for _ in range(length - len(values))))
