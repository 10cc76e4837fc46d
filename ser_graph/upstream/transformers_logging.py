"""Silence the progress bars and reports of transformers; ser_graph has its own."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def silence_transformers() -> Iterator[None]:
    """Silence the bars of transformers and its report of untrained heads, which `Upstream.info` contains."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
