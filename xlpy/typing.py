"""The names of ``typing`` that modules need while they load, without its import time.

Nothing here looks at an annotation at run time, but importing ``typing`` would be a tenth of a short command. Type
checkers see the standard module; at run time each word is the least that lets a module load.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import Concatenate as Concatenate
    from typing import Generic as Generic
    from typing import NewType as NewType
    from typing import NoReturn as NoReturn
    from typing import ParamSpec as ParamSpec
    from typing import Protocol as Protocol
    from typing import TypeVar as TypeVar
    from typing import cast as cast
else:
    Any = NoReturn = Concatenate = Protocol = object

    class Generic:
        def __class_getitem__(cls, _):
            return cls

    def NewType(_name, base):
        return base

    def TypeVar(name, *_, bound=None):
        return name

    ParamSpec = TypeVar

    def cast(_type, value):
        return value
