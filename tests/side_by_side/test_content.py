"""The page about two models."""

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import pytest

from pipeline.images.arrays import ChannelStatistics
from pipeline.inference.model_card import ModelCard, ParameterCounts, TrainingSummary
from pipeline.inference.preprocessing import PreprocessingSpec
from pipeline.reporting.document import Chart, Document, Finding, Gallery, Paragraph, Table
from pipeline.reporting.house_style import figure_png
from pipeline.reporting.page import render_page
from pipeline.reporting.results import History
from pipeline.scoring.intervals import Bootstrap
from pipeline.scoring.predictions import Predictions
from pipeline.side_by_side import ComparedModel, ModelPair, pair_document
from tests.reporting.reading import plain
from tests.scoring.made_scores import made_scores

Kind = TypeVar("Kind")

CLASSES = ("cat", "dog")
HISTORY = History(("train",), *(np.array([value]) for value in (1, 0.5, 0.8, 0.6, 0.7, 0.1)))


def card(classes: tuple[str, ...] = CLASSES) -> ModelCard:
    return ModelCard(
        candidate="baseline",
        stage="train_baseline",
        network="fast_cnn",
        model_digest="0" * 64,
        data_digest="0" * 64,
        preprocessing=PreprocessingSpec(8, "pad", "rgb", classes),
        statistics=ChannelStatistics((0.0,), (1.0,)),
        hyperparameters={},
        parameters=ParameterCounts(total=1000, trainable=1000, frozen=0),
        forward_macs=1,
        layers=(),
        training=TrainingSummary(epochs=1, best_epoch=1, stopped_early=False, train_images=10),
        versions={},
    )


def side(wrong: Sequence[int], images: int = 40, **changes: Any) -> ComparedModel:
    """Right on alternating cats and dogs, but for some rows; the higher the row, the surer."""
    labels = np.arange(images) % 2
    predicted = labels.copy()
    predicted[list(wrong)] ^= 1
    sure = 0.6 + 0.3 * np.arange(images) / images
    probabilities = np.stack([1 - sure, sure], axis=1)
    probabilities[predicted == 0] = probabilities[predicted == 0, ::-1]
    scores = made_scores(images, accuracy=1 - len(wrong) / images, log_loss=0.5)
    values: dict[str, Any] = {
        "asked": "main",
        "origin": "commit abc",
        "card": card(),
        "params": {"seed": "0", "lr": "0.1"},
        "scores": {"validation": scores, "test": scores},
        "test": Predictions(probabilities.astype(np.float32), labels, np.arange(images)),
        "history": HISTORY,
    }
    return ComparedModel(**{**values, **changes})


def pair(
    first: ComparedModel, second: ComparedModel, same_data: bool = True, with_images: bool = True
) -> ModelPair:
    images = np.zeros((len(first.test), 8, 8, 3), np.uint8) if with_images else None
    return ModelPair(
        first=first, second=second, same_data=same_data, images=images, bootstrap=Bootstrap(200, 0.95, 0)
    )


def blocks(document: Document, kind: type[Kind]) -> list[Kind]:
    return [block for section in document.sections for block in section.blocks if isinstance(block, kind)]


def texts(document: Document) -> list[str]:
    return [paragraph.text for paragraph in blocks(document, Paragraph)]


def finding(document: Document) -> str:
    text: str = blocks(document, Finding)[0].text
    return plain(text)


def test_more_than_luck() -> None:
    # 20 against 0 disagreements: p = 2 / 2^20.
    text = finding(pair_document(pair(side(range(20)), side([]))))
    assert text.startswith(
        "B is better than A on the test images by more than chance explains (+50.0 points,"
    )
    assert "Of 40 test images B alone gets 20 right, A alone 0." in text
    assert "p < 0.001" in text


def test_perhaps_luck() -> None:
    # 1 against 4: p = 2 (1 + 5) / 2^5 = 0.375.
    text = finding(pair_document(pair(side([0]), side([1, 2, 3, 4]))))
    assert text.startswith("The test images do not decide between A and B (+7.5 points,")
    assert "p = 0.375" in text


def test_equally_good() -> None:
    text = finding(pair_document(pair(side([0, 1]), side([2, 3]))))
    assert text.startswith("The test images do not decide between B and A (0.0 points,")


@pytest.mark.parametrize(
    ("other", "same_data"),
    [
        pytest.param(side([1]), False, id="another data set"),
        pytest.param(side([1], images=30), True, id="another test subset"),
        pytest.param(side([1], card=card(("dog", "cat"))), True, id="other classes"),
    ],
)
def test_on_different_images_there_is_no_verdict(other: ComparedModel, same_data: bool) -> None:
    document = pair_document(pair(side([0]), other, same_data))
    assert "were not tested on the same images and classes" in finding(document)
    assert [section.anchor for section in document.sections] == ["result", "scores", "params", "curves"]
    assert blocks(document, Gallery) == []


def test_pictures_that_one_fixes_and_the_other_breaks() -> None:
    document = pair_document(pair(side([3, 7, 9]), side([9, 20])))
    fixed, broken = blocks(document, Gallery)
    assert (fixed.name, broken.name) == ("right_in_B", "right_in_A")
    # The mistakes that A was surest of come first; image 9 both get wrong.
    assert [example.name.partition(";")[0] for example in fixed.examples] == ["image 7", "image 3"]
    assert [example.name.partition(";")[0] for example in broken.examples] == ["image 20"]
    assert (fixed.examples[0].actual, fixed.examples[0].predicted) == ("dog", "cat")
    # B is right in image 7 with the probability 0.6 + 0.3 * 7 / 40.
    assert fixed.examples[0].name.replace("\u00a0", " ") == "image 7; B: 65 %"


def test_a_side_that_is_never_right_alone_and_images_that_are_gone() -> None:
    document = pair_document(pair(side([3]), side([])))
    assert "There is no image that A alone gets right." in texts(document)
    document = pair_document(pair(side([3]), side([]), with_images=False))
    assert any("not on this machine" in text for text in texts(document))


def test_params_that_differ() -> None:
    first = side([], params={"seed": "0", "lr": "0.1", "old": "1"})
    second = side([], params={"seed": "0", "lr": "0.2"})
    document = pair_document(pair(first, second))
    table = next(each for each in blocks(document, Table) if each.columns[0] == "param")
    assert table.rows == (("lr", "0.1", "0.2"), ("old", "1", "–"))
    same = pair_document(pair(first, dataclasses.replace(first)))
    assert blocks(same, Paragraph)[0].text.replace("\u00a0", " ") == "None: all 3 params are the same."


def test_params_of_two_stages_stand_beside_each_other() -> None:
    first = side([], params={"train_baseline.optimizer": "sgd", "train_baseline.widths": "[8]"})
    second = side([], params={"train_transfer.optimizer": "adam"})
    table = next(
        each for each in blocks(pair_document(pair(first, second)), Table) if each.columns[0] == "param"
    )
    assert table.rows == (("training.optimizer", "sgd", "adam"), ("training.widths", "[8]", "–"))


def test_recall_of_each_class() -> None:
    # Of the 20 dogs, the odd rows, A gets 2 wrong, of the 20 cats none.
    document = pair_document(pair(side([1, 3]), side([])))
    table = next(each for each in blocks(document, Table) if each.columns[0] == "class")
    rows = [tuple(cell.replace("\u00a0", " ") for cell in row) for row in table.rows]
    assert rows[0] == ("cat", "20", "100.0 %", "100.0 %", "0.0 points")
    assert rows[1] == ("dog", "20", "90.0 %", "100.0 %", "+10.0 points")


@pytest.mark.parametrize("histories", [(HISTORY, None), (None, None)])
def test_a_curve_that_is_not_kept(histories: tuple[History | None, None]) -> None:
    first, second = (side([0], history=history) for history in histories)
    document = pair_document(pair(first, second))
    names = [chart.name for chart in blocks(document, Chart)]
    assert names == (["curves", "confusion_difference"] if histories[0] else ["confusion_difference"])


def test_the_page_has_all_of_it_in_one_file_and_the_same_bytes_again() -> None:
    def page() -> str:
        document = pair_document(pair(side([3, 7]), side([9])))
        return render_page(
            document, {chart.name: figure_png(chart.figure) for chart in document.charts()}, {}
        )

    text = page()
    assert text == page()
    assert "http" not in text.replace("http-equiv", "")
    assert "report.pdf" not in text  # a comparison has no other form
    for anchor in ("result", "scores", "params", "curves", "confusion", "pictures"):
        assert f'id="{anchor}"' in text
