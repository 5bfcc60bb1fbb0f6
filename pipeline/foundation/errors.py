"""The one kind of error that reaches people."""

from pipeline.foundation.texts import printable

EXIT_FAILURE = 1
EXIT_REFUSED = 3
"""A decision went against the request (a promotion that was refused, a reproduction that differs)."""


class PipelineError(Exception):
    """Something a person can fix: what happened, what was expected, what was found, how to fix it.

    The command line prints it without a traceback and exits with 1. Anything that is not a
    PipelineError is a defect of ours and keeps its traceback.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        remedy: str | None = None,
    ) -> None:
        lines = [what]
        if expected is not None:
            lines.append(f"  expected: {expected}")
        if found is not None:
            lines.append(f"  found:    {found}")
        if remedy is not None:
            lines.append(f"  to fix:   {remedy}")
        super().__init__(printable("\n".join(lines)))
        self.what = what
        self.expected = expected
        self.found = found
        self.remedy = remedy
