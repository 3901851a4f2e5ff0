"""zerosum: train, measure and use generative adversarial networks and their relatives.

`zerosum.load(run)` gives a trained generator; everything else is imported from the module it lives in.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zerosum.trained import load

__all__ = ["load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "load":  # imported when used, so that `import zerosum` stays light
        from zerosum.trained import load

        return load
    raise AttributeError(f"module 'zerosum' has no attribute {name!r}")
