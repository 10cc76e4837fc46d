"""The page: one HTML file to look at a graph, to walk along its edges and to play its clips; it loads nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
