"""From a folder of clips to a clip table: one row per clip, with emotion, speaker and split."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
