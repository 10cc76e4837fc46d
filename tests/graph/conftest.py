import pytest

from ser_graph.graph import epsilon


@pytest.fixture
def few_random_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The histogram's 200,000 random pairs are most of the time of building a small graph."""
    whole = epsilon._random_pairs
    monkeypatch.setattr(epsilon, "_random_pairs", lambda unit, n, seed: whole(unit, min(n, 2000), seed))
