"""Waveforms -> embeddings: the large speech model that teaches."""

from ser_graph.upstream.model import Upstream

__all__ = ["Upstream"]
