from collections.abc import Callable

import pytest
import torch

from ser_graph.downstream import Student


@pytest.fixture(scope="session")
def weights_equal() -> Callable[[Student, Student], bool]:
    """Whether two students have the same weights and statistics, to the bit."""

    def compare(one: Student, other: Student) -> bool:
        state, expected = one.state_dict(), other.state_dict()
        return state.keys() == expected.keys() and all(
            torch.equal(value, expected[name]) for name, value in state.items()
        )

    return compare
