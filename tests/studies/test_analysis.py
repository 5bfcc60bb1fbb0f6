"""What settings differ by, and every branch of the rule that recommends one."""

import pytest

from pipeline.studies.analysis import Analysis, SettingResult, Verdict, analyse
from pipeline.studies.cells import FAILED, OPEN
from tests.studies.made_studies import made_cells, made_study

# Differences of about a point that scatter by a hundredth: far beyond chance.
USUAL = (0.800, 0.810, 0.820)
BETTER = (0.8101, 0.8200, 0.8299)
BEST = (0.8201, 0.8300, 0.8399)
WORSE = (0.7901, 0.8000, 0.8099)
ALIKE = (0.803, 0.808, 0.823)


def analysed(seconds: dict[str, float] | None = None, /, **scores: tuple[float | str, ...]) -> Analysis:
    """The first setting is the reference; `seconds` are those of a training, by setting."""
    return analyse(made_study(list(scores), range(3)), made_cells(scores, seconds))


def setting(analysis: Analysis, name: str) -> SettingResult:
    return next(each for each in analysis.settings if each.name == name)


def test_a_setting_over_its_seeds() -> None:
    found = setting(analysed(usual=USUAL, other=ALIKE), "usual")
    assert found.mean == pytest.approx(0.81)
    assert found.estimate is not None
    assert found.estimate.deviation == pytest.approx(0.01)
    # Trainings of 10, 11 and 12 seconds on two threads each.
    assert (found.seconds, found.core_seconds, found.parameters) == (11.0, 22.0, 295_968)
    assert found.difference is None
    assert found.corrected_p is None


def test_p_values_are_corrected_for_all_settings_but_the_reference() -> None:
    analysis = analysed(usual=USUAL, better=BETTER, worse=WORSE, alike=ALIKE)
    p_values = {each.name: each.difference.p_value for each in analysis.others if each.difference is not None}
    better, worse, alike = (p_values[name] for name in ("better", "worse", "alike"))
    assert better is not None
    assert worse is not None
    assert alike is not None
    assert max(better, worse) < alike
    corrected = {each.name: each.corrected_p for each in analysis.others}
    assert corrected["alike"] == pytest.approx(alike)
    assert min(corrected["better"] or 1, corrected["worse"] or 1) == pytest.approx(3 * min(better, worse))


def test_the_reference_may_stand_anywhere() -> None:
    study = made_study(["better", "usual"], range(3), reference="usual")
    analysis = analyse(study, made_cells({"better": BETTER, "usual": USUAL}))
    assert [each.name for each in analysis.settings] == ["better", "usual"]
    assert analysis.recommended is setting(analysis, "better")


def test_seeds_are_compared_with_the_same_seeds() -> None:
    """Though the seeds scatter far more than the settings differ."""
    analysis = analysed(usual=(0.70, 0.80, 0.90), better=(0.711, 0.810, 0.909))
    assert analysis.verdict is Verdict.BETTER
    difference = setting(analysis, "better").difference
    assert difference is not None
    assert difference.estimate.mean == pytest.approx(0.01)


# --- the rule ----------------------------------------------------------------------------------------


def test_the_best_mean_of_those_that_are_better() -> None:
    analysis = analysed(usual=USUAL, better=BETTER, best=BEST, worse=WORSE)
    assert (analysis.verdict, analysis.recommended) == (Verdict.BETTER, setting(analysis, "best"))


def test_a_higher_mean_that_may_be_luck_is_passed_over() -> None:
    lucky = (0.80, 0.83, 0.90)
    analysis = analysed(usual=USUAL, better=BETTER, lucky=lucky)
    assert (setting(analysis, "lucky").mean or 0) > (setting(analysis, "better").mean or 0)
    assert analysis.recommended is setting(analysis, "better")


def test_none_is_better() -> None:
    analysis = analysed(usual=USUAL, alike=ALIKE, worse=WORSE)
    assert (analysis.verdict, analysis.recommended) == (Verdict.REFERENCE, analysis.reference)
    assert setting(analysis, "worse").is_worse
    assert not setting(analysis, "alike").is_worse


def test_what_is_significant_alone_may_not_be_among_many() -> None:
    # p is about 0.03 for one comparison.
    close = (0.8100, 0.8260, 0.8340)
    assert analysed(usual=USUAL, close=close).verdict is Verdict.BETTER
    many = {f"alike{number}": ALIKE for number in range(4)}
    assert analysed(usual=USUAL, close=close, **many).verdict is Verdict.REFERENCE


def test_equal_differences_prove_nothing() -> None:
    analysis = analysed(usual=USUAL, ahead=tuple(score + 0.01 for score in USUAL))
    assert analysis.verdict is Verdict.REFERENCE
    assert setting(analysis, "ahead").corrected_p is None


@pytest.mark.parametrize("status", [FAILED, OPEN])
def test_a_setting_without_a_result_under_some_seed_is_not_recommended(status: str) -> None:
    analysis = analysed(usual=USUAL, best=(BEST[0], BEST[1], status), better=BETTER)
    best = setting(analysis, "best")
    assert best.difference is not None
    assert best.difference.estimate.count == 2  # it is compared where it can be
    assert not best.complete
    assert analysis.recommended is setting(analysis, "better")


def test_a_setting_without_any_result() -> None:
    analysis = analysed(usual=USUAL, broken=(FAILED, FAILED, FAILED), better=BETTER)
    broken = setting(analysis, "broken")
    assert (broken.mean, broken.estimate, broken.difference, broken.corrected_p) == (None, None, None, None)
    assert (broken.seconds, broken.parameters) == (None, None)
    # It counts among the comparisons, as it was one of those that might have won.
    better = setting(analysis, "better")
    assert better.difference is not None
    assert better.corrected_p == pytest.approx(2 * (better.difference.p_value or 0))


def test_a_reference_that_has_failed() -> None:
    analysis = analysed(usual=(0.80, FAILED, OPEN), better=BETTER)
    assert (analysis.verdict, analysis.recommended) == (Verdict.REFERENCE_FAILED, None)


def test_a_reference_that_was_not_run_under_all_seeds() -> None:
    analysis = analysed(usual=(0.80, 0.81, OPEN), better=BETTER)
    assert (analysis.verdict, analysis.recommended) == (Verdict.REFERENCE_OPEN, None)
    assert [cell.seed for cell in analysis.open] == [2]
    nothing = analysed(usual=(OPEN, OPEN, OPEN), better=(OPEN, OPEN, OPEN))
    assert nothing.verdict is Verdict.REFERENCE_OPEN
    assert nothing.hardest_step is None
