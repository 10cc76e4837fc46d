import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_graph.downstream.augmentation import Augmentation, change_gain, change_speed
from ser_graph.errors import InputError

FLOOR = 1e-6


def spectrograms(n=8, n_frames=31, n_mels=16, seed=0):
    """Of powers between silence and loud, as they are measured."""
    power = 10 ** torch.empty(n, n_frames, n_mels).uniform_(-9, 2, generator=torch.Generator().manual_seed(seed))
    return (power + FLOOR).log()


@given(rate=st.floats(0.3, 1.9), n_frames=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_speed_is_numpy_interpolation_of_the_repeated_clip(rate, n_frames):
    x = spectrograms(2, n_frames, 3)
    found = change_speed(x, torch.tensor([rate, 1.0]))
    assert torch.equal(found[1], x[1])
    place = np.arange(n_frames, dtype=np.float32) * np.float32(rate)
    for bin_ in range(3):
        expected = np.interp(place, np.arange(n_frames), x[0, :, bin_].double(), period=n_frames)
        np.testing.assert_allclose(found[0, :, bin_], expected, atol=1e-3)


def test_twice_as_fast_is_every_second_frame():
    x = spectrograms(1, 10)
    assert torch.equal(change_speed(x, torch.tensor([2.0])), x[:, [0, 2, 4, 6, 8, 0, 2, 4, 6, 8]])


@pytest.mark.parametrize("decibel", [-40.0, -6.0, 0.0, 6.0, 40.0])
def test_gain_is_that_of_the_power(decibel):
    power = torch.tensor([0.0, 1e-7, 1e-6, 1e-3, 100.0], dtype=torch.float64)
    x = (power + FLOOR).log().float()[None, None]
    found = change_gain(x, torch.tensor([decibel]), FLOOR)[0, 0]
    np.testing.assert_allclose(found, (power * 10 ** (decibel / 10) + FLOOR).log(), atol=2e-3)
    if decibel == 0:
        assert torch.equal(found, x[0, 0])


def test_gain_of_rounded_silence_stays_finite():
    """Stored as float16, silence lies a little above or below the floor."""
    x = torch.tensor([math.log(FLOOR) - 0.01, math.log(FLOOR) + 0.01])[None, None]
    for decibel in (-50.0, 50.0):
        assert change_gain(x, torch.tensor([decibel]), FLOOR).isfinite().all()


def test_gain_stays_in_its_range_and_differs_from_clip_to_clip():
    x = torch.full((200, 1, 1), 3.0)
    shift = (Augmentation(gain=6).distort(x) - x).flatten() * 10 / math.log(10)
    assert shift.abs().max() <= 6 + 1e-3
    assert shift.min() < -5
    assert shift.max() > 5
    assert len(shift.unique()) == 200


@given(
    share=st.floats(0.01, 0.99), n_frames=st.integers(1, 60), n_mels=st.integers(1, 40), epoch=st.integers(0, 99)
)
@settings(max_examples=50, deadline=None)
def test_masks_are_rectangles_of_at_most_the_asked_share(share, n_frames, n_mels, epoch):
    augment = Augmentation(spec_augment=share)
    augment.start_epoch(0, epoch)
    hidden = augment.mask(torch.ones(9, n_frames, n_mels)) == 0
    frames, bins = hidden.all(2), hidden.all(1)
    # Every hidden value lies in a frame or in a bin that is hidden as a whole.
    assert torch.equal(hidden, frames[:, :, None] | bins[:, None, :])
    whole = frames.all(1)  # where bins hide everything, all frames count as hidden, and the other way round
    assert not whole.any()
    assert frames.sum(1).max() <= share * n_frames
    assert bins.sum(1).max() <= share * n_mels
    for axis in (frames, bins):
        runs = (axis.int().diff(dim=1, prepend=torch.zeros(9, 1, dtype=torch.int)) == 1).sum(1)
        assert runs.max() <= 2


def test_masks_hide_as_much_as_their_distribution_says():
    """A width from 0 to W hides W / 2 on average; two of them, seldom overlapping, twice that."""
    hidden = Augmentation(spec_augment=0.1).mask(torch.ones(4000, 400, 10)) == 0
    frames = hidden[:, :, 0].double().mean()  # 10 bins: no width of a mask on that axis but 0
    expected = 2 * 10 / 400
    assert float(frames) == pytest.approx(expected, rel=0.05)
    place = hidden[:, :, 0].double().mean(0)
    assert place[150:250].std() < 0.2 * expected  # everywhere alike, off the ends
    assert place[0] > 0
    assert place[-1] > 0


def test_nothing_is_asked_nothing_is_done():
    x = spectrograms()
    augment = Augmentation()
    assert torch.equal(augment.distort(x), x)
    assert torch.equal(augment.mask(x), x)


def test_draws_follow_from_seed_and_epoch():
    x = spectrograms()
    augment = Augmentation(0.3, 6, 0.1)

    def drawn(seed, epoch):
        augment.start_epoch(seed, epoch)
        return [augment.mask(augment.distort(x)) for _ in range(2)]

    first, second = drawn(1, 2)
    assert not torch.equal(first, second)
    assert all(torch.equal(one, other) for one, other in zip(drawn(1, 2), (first, second), strict=True))
    assert not torch.equal(drawn(1, 3)[0], first)
    assert not torch.equal(drawn(2, 2)[0], first)
    state = torch.random.get_rng_state()
    drawn(0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(copy.deepcopy(augment).distort(x), augment.distort(x))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec_augment": 1.0}, "^Bad spec_augment 1.0, expected a share from 0 to below 1; 0 leaves it out$"),
        ({"gain": -1}, "Bad gain -1, expected dB from 0 to below 60"),
        ({"speed": float("nan")}, "Bad speed nan"),
    ],
)
def test_bad_amounts(changes, message):
    with pytest.raises(InputError, match=message):
        Augmentation(**changes)
