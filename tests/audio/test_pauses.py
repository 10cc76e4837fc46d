import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.audio.pauses import speech_parts

RATE = 16_000


def sound(*pieces):
    """Pieces of (seconds, amplitude) of noise, one after the other."""
    generator = torch.Generator().manual_seed(0)
    return torch.cat([level * torch.randn(round(s * RATE), generator=generator) for s, level in pieces])


def test_parts_are_cut_at_pauses_with_a_margin():
    parts = speech_parts(sound((1, 1e-4), (2, 0.1), (1, 1e-4), (3, 0.05), (1, 1e-4)), RATE)
    assert [(start / RATE, end / RATE) for start, end in parts] == [(0.9, 3.1), (3.9, 7.1)]


def test_a_short_pause_does_not_cut_and_a_short_part_is_left_out():
    assert len(speech_parts(sound((2, 0.1), (0.2, 1e-4), (2, 0.1)), RATE)) == 1
    assert speech_parts(sound((2, 1e-4), (0.5, 0.1), (2, 1e-4)), RATE) == []


def test_a_long_part_is_cut_where_it_is_quietest():
    parts = speech_parts(sound((4, 0.1), (0.2, 0.02), (4, 0.1)), RATE)
    assert len(parts) == 2
    assert 4.0 <= parts[0][1] / RATE <= 4.2
    assert parts[0][1] == parts[1][0]


@pytest.mark.parametrize(
    "silent", [torch.zeros(0), torch.zeros(100), torch.zeros(50_000), 1e-5 * torch.ones(50_000)]
)
def test_silence_has_no_parts(silent):
    assert speech_parts(silent, RATE) == []


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.floats(0.05, 9), st.sampled_from([0.1, 0.01, 1e-4, 0.0])), min_size=1, max_size=6))
def test_parts_are_in_order_apart_and_of_the_right_length(pieces):
    waveform = sound(*pieces)
    parts = speech_parts(waveform, RATE)
    flat = [position for part in parts for position in part]
    assert flat == sorted(flat)
    assert all(start >= 0 and end <= len(waveform) for start, end in parts)
    assert all(RATE <= end - start <= 6 * RATE for start, end in parts)
