"""What the tests of this floor share."""

from tests.images.conftest import encode

__all__ = ["encode"]
