"""Types of arrays with dtype and shape, such as `Float32[np.ndarray, "n k"]`; tests check them.

Names of dimensions:

    n        images; m, p and q are some of them
    h w c    height and width in pixels, channels
    k        classes
    _        any size
    *name    any number of dimensions
    {name}   as large as that argument says

In one signature, or in the fields of one dataclass, a name stands for one size. A single name is written
" n", so that linters do not take it for a forward reference.
"""

import sys
from typing import TYPE_CHECKING, Any

# The option of pytest that checks arrays imports jaxtyping first. Elsewhere they are arrays of any kind: its
# import takes longer than the rest of what predicting needs.
if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool as Bool
    from jaxtyping import Float16 as Float16
    from jaxtyping import Float32 as Float32
    from jaxtyping import Float64 as Float64
    from jaxtyping import Int64 as Int64
    from jaxtyping import Integer as Integer
    from jaxtyping import UInt8 as UInt8
else:

    class _AnyArray:
        def __class_getitem__(cls, array_and_shape: tuple[Any, str]) -> Any:
            return array_and_shape[0]

    Bool = Float16 = Float32 = Float64 = Int64 = Integer = UInt8 = _AnyArray
