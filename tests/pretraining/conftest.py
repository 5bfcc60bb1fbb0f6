"""What the tests of this floor share."""

from tests.training.tiny import eager

__all__ = ["eager"]
