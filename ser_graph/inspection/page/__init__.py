"""The page: a graph to look at, to walk along and to listen to, as one HTML file that loads nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
