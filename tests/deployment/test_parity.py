"""The checks, with figures worked out by hand."""

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.deployment.parity import (
    Answers,
    Check,
    accuracy_checks,
    encoded_copies,
    exact_checks,
    spread,
)
from pipeline.params.export import ExportParams

ORIGINAL = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.50005, 0.49995]], dtype=np.float32)
LABELS = np.array([0, 0, 1, 1])  # the original gets three of four right


def answers(exported: list[list[float]]) -> Answers:
    return Answers(LABELS, ORIGINAL, np.array(exported, dtype=np.float32))


def params(max_accuracy_loss: float = 0.002, max_lost_images: int = 2) -> ExportParams:
    return ExportParams(
        max_accuracy_loss=max_accuracy_loss,
        max_lost_images=max_lost_images,
        calibration_images=1,
        sparsity=0.5,
        pruning_epochs=1,
        pruning_lr=0.1,
    )


def failed(checks: tuple[Check, ...]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_the_same_answers_pass() -> None:
    same = answers(ORIGINAL.tolist())
    assert failed(exact_checks(same, "x")) == []
    assert failed(accuracy_checks(same, "x", params(0.0, 0))) == []
    assert same.accuracy == 0.75


def test_probabilities_may_differ_by_a_ten_thousandth() -> None:
    assert failed(exact_checks(answers([[0.90009, 0.09991], *ORIGINAL[1:].tolist()]), "x")) == []
    assert failed(exact_checks(answers([[0.9002, 0.0998], *ORIGINAL[1:].tolist()]), "x")) == [
        "largest difference, x"
    ]


def test_another_class_is_no_change_where_the_original_is_undecided() -> None:
    undecided = answers([*ORIGINAL[:3].tolist(), [0.49999, 0.50001]])
    assert undecided.changed_classes == 0  # the original's two are 1e-4 apart


def test_another_class_is_a_change_everywhere_else() -> None:
    changed = answers([[0.4, 0.6], *ORIGINAL[1:].tolist()])
    assert changed.changed_classes == 1
    assert failed(exact_checks(changed, "x")) == ["largest difference, x", "changed classes, x"]


@pytest.mark.parametrize(("allowed", "passes"), [(1, False), (2, True)])
def test_lost_images_are_counted_against_the_number_allowed(allowed: int, passes: bool) -> None:
    two_lost = answers([[0.1, 0.9], [0.2, 0.8], *ORIGINAL[2:].tolist()])
    assert two_lost.lost_images == 2
    assert (failed(accuracy_checks(two_lost, "x", params(0.0, allowed))) == []) is passes


def test_a_large_subset_allows_a_share_of_its_images() -> None:
    labels = np.zeros(1500, dtype=np.int64)
    original = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (1500, 1))
    for lost, passes in ((3, True), (4, False)):  # 0.2 % of 1500
        exported = original.copy()
        exported[:lost] = [0.1, 0.9]
        checks = accuracy_checks(Answers(labels, original, exported), "x", params(0.002, 2))
        assert (failed(checks) == []) is passes


def test_an_image_gained_makes_up_for_one_lost() -> None:
    assert answers([[0.1, 0.9], *ORIGINAL[1:3].tolist(), [0.1, 0.9]]).lost_images == 0


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_answers_that_are_no_numbers_never_pass(broken: float) -> None:
    nonsense = answers([[broken, broken], *ORIGINAL[1:].tolist()])
    assert "largest difference, x" in failed(exact_checks(nonsense, "x"))
    assert "answers that are not numbers, x" in failed(accuracy_checks(nonsense, "x", params(1.0, 4)))


def test_encoded_copies_have_other_sizes_and_proportions_in_two_formats() -> None:
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    opened = [Image.open(io.BytesIO(data)) for data in encoded_copies(images)]
    assert len(opened) == 24
    sizes = {(image.format, image.size) for image in opened}
    assert len(sizes) == 12  # each of six sizes as PNG and as JPEG
    assert (16, 16) not in {size for _, size in sizes}
    assert any(width > height for _, (width, height) in sizes)
    assert any(width < height for _, (width, height) in sizes)
    assert {min(size) < 16 for _, size in sizes} == {True, False}


def test_gray_images_are_encoded_in_gray() -> None:
    (data,) = encoded_copies(np.zeros((1, 8, 8, 1), dtype=np.uint8))
    assert Image.open(io.BytesIO(data)).mode == "L"


def test_encoded_images_come_from_all_of_the_subset() -> None:
    np.testing.assert_array_equal(spread(3), [0, 1, 2])
    rows = spread(10_000)
    assert len(rows) == 60
    assert (rows[0], rows[-1]) == (0, 9999)
