"""Stands before dataset.py where one text is the whole program, with MODULES: [[name, source], …] in order of need."""

import sys
import types

for _name, _source in MODULES:  # noqa: F821 - the line above, written by who joins them
    sys.modules[_name] = types.ModuleType(_name)
    exec(compile(_source, _name + ".py", "exec"), sys.modules[_name].__dict__)  # noqa: S102 - it came the way we did
