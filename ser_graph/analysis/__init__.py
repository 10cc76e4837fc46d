"""The graph -> tables: what it reaches, whom it joins, which clips are suspicious, what leaks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
