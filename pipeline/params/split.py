"""split: which images train, validate and test."""

from pipeline.params.base import PositiveInt, ProperShare, Section, Seed


class SplitParams(Section):
    seed: Seed
    test_share: ProperShare
    validation_share: ProperShare
    train_limit: PositiveInt | None
