"""A trained student -> the device."""

from ser_graph.edge.measuring import latency_ms, size_mb

__all__ = ["latency_ms", "size_mb"]
