"""How much may come in, whatever it comes in: fetch.limits."""

from pipeline.foundation.errors import PipelineError
from pipeline.params.fetch import FetchLimits

USUAL = FetchLimits(pixels=100_000_000, file_mb=128, total_gb=500, files=1_000_000, depth=32)
"""Those of params.yaml as it comes, for commands that do without it."""


_NAME_BYTES = 160
"""Of memory; a name of a hundred letters has that."""
_USUAL_NAMES_BYTES = 100_000_000


def why_too_large(size: int, name: str, limits: FetchLimits) -> str:
    """Why a file of this size, at this path, is refused unread; else empty."""
    if size > limits.file_bytes:
        return f"larger than {limits.file_mb:,} MB (fetch.limits.file_mb)"
    if name.count("/") > limits.depth:
        return f"deeper than {limits.depth} folders (fetch.limits.depth)"
    return ""


def require_files(count: int, limits: FetchLimits) -> None:
    """Raises PipelineError."""
    if count > limits.files:
        raise PipelineError(
            f"There are more than {limits.files:,} files at fetch.location.",
            expected="at most fetch.limits.files",
            remedy="name a folder or archive with the images alone",
        )


def require_names(size: int, limits: FetchLimits) -> None:
    """Raises PipelineError where `size`, the bytes of memory that all names take, is too much."""
    limit = max(_USUAL_NAMES_BYTES, _NAME_BYTES * limits.files)
    if size > limit:
        raise PipelineError(
            f"The names of the files at fetch.location take more than {limit / 1e6:,.0f} MB.",
            expected=f"{_NAME_BYTES} bytes a name on average (fetch.limits.files)",
            remedy="name a folder or archive with the images alone, or give them shorter names",
        )


def require_total(size: int, limits: FetchLimits) -> None:
    """Raises PipelineError."""
    if size > limits.total_bytes:
        raise PipelineError(
            f"The files at fetch.location have {size / 1e9:,.1f} GB without compression.",
            expected=f"at most {limits.total_gb:,} GB (fetch.limits.total_gb)",
            remedy="name a folder or archive with the images alone",
        )
