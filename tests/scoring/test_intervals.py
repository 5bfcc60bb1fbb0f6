"""Bootstrap intervals: do they cover the truth as often as they say?"""

import numpy as np
import pytest

from pipeline.scoring.intervals import Bootstrap, Interval, percentile_interval, resample
from pipeline.scoring.scores import accuracy_interval
from tests.scoring.made_predictions import certain


def test_resamples_keep_the_total_and_the_shares() -> None:
    counts = np.array([50, 30, 20, 0])
    resamples = resample(counts, Bootstrap(samples=5000, confidence=0.95, seed=3))
    assert resamples.shape == (5000, 4)
    assert (resamples.sum(axis=1) == 100).all()
    # The variance of a multinomial cell is N p (1 - p).
    np.testing.assert_allclose(resamples.mean(axis=0), counts, atol=0.3)
    np.testing.assert_allclose(resamples.var(axis=0), [25, 21, 16, 0], rtol=0.1)


def test_percentiles_by_hand() -> None:
    interval = percentile_interval(np.arange(101) / 100, confidence=0.9)
    assert (interval.low, interval.high) == pytest.approx((0.05, 0.95))


def test_covers_the_truth_as_often_as_it_says() -> None:
    truth, images, rounds = 0.8, 300, 400
    generator = np.random.default_rng(11)
    covered = 0
    for seed in range(rounds):
        wrong = (generator.random(images) > truth).astype(int)
        interval = accuracy_interval(certain(wrong, np.zeros(images), 2), Bootstrap(400, 0.95, seed))
        covered += interval.low <= truth <= interval.high
    # The standard deviation of this share is 1.1 points.
    assert 0.915 <= covered / rounds <= 0.985


def test_shrinks_with_the_square_root_of_the_number_of_images() -> None:
    widths = []
    for images in (200, 800, 3200):
        wrong = np.arange(images) % 4 == 0
        interval = accuracy_interval(
            certain(wrong.astype(int), np.zeros(images), 2), Bootstrap(4000, 0.95, 0)
        )
        assert interval.low < 0.75 < interval.high
        widths.append(interval.high - interval.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.1)
    assert widths[1] / widths[2] == pytest.approx(2, rel=0.1)


def test_no_error_no_width() -> None:
    assert accuracy_interval(certain([0] * 9, [0] * 9, 2), Bootstrap(100, 0.95, 0)) == Interval(1.0, 1.0)
