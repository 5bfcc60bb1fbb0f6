"""What the tests of the stages share."""

from tests.training.tiny import eager

__all__ = ["eager"]
