"""Keeps credentials out of what is recorded and printed."""

import re

_USER_INFORMATION = re.compile(r"(?<=://)[^/@\s'\"]+@")


def without_credentials(text: str) -> str:
    """`text` without the user and password of any address in it."""
    return _USER_INFORMATION.sub("", text)
