"""Classes by the name `module:Class`: the package's own, and those of a user."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

from masd.errors import MasdError, lacking


def named_class(stated: str, who: str, own: bool) -> Any:
    """Import what `module:Class` names.

    Importing runs code: `stated` comes from the package, a command line or the user's own configuration,
    never from what is below data, dump, exp or a model folder. A user's `own` may lie in the working
    directory; what is installed goes first. `who` begins the line of an error.

    Raises:
        MasdError: there is no such module or class.
    """
    if own and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, attribute = stated.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        if isinstance(error, ModuleNotFoundError) and lacking(error):
            raise
        raise MasdError(f"{who} {stated}: {error}") from None
