import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from ser_graph.downstream import augmentation
from ser_graph.downstream.augmentation import AUGMENTATIONS, DEFAULT_AUGMENTATION, MASKED, Augmentation, shift_time

FLOOR = 1e-6


def spectrograms(n=8, n_frames=31, n_mels=16, seed=0):
    """Of powers between silence and loud, as they are measured."""
    power = 10 ** torch.empty(n, n_frames, n_mels).uniform_(-9, 2, generator=torch.Generator().manual_seed(seed))
    return (power + FLOOR).log()


@given(share=st.floats(0, 1, exclude_max=True, width=32), n_frames=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_shift_is_numpys_roll(share, n_frames):
    x = spectrograms(2, n_frames, 3)
    found = shift_time(x, torch.tensor([share, 0.0]))
    expected = np.roll(x[0].numpy(), -int(np.float32(share) * np.float32(n_frames)), axis=0)
    np.testing.assert_array_equal(found[0], expected)
    assert torch.equal(found[1], x[1])


def test_shifts_are_every_rotation_about_as_often():
    x = torch.arange(10.0).expand(4000, 10)[:, :, None]
    first = Augmentation("shift").distort(x)[:, 0, 0].long()
    often = first.bincount(minlength=10)
    assert often.min() > 300  # 400 expected, deviation 19
    assert often.max() < 500


@given(
    share=st.floats(0.01, 0.99), n_frames=st.integers(1, 60), n_mels=st.integers(1, 40), epoch=st.integers(0, 99)
)
@settings(max_examples=50, deadline=None)
def test_masks_are_rectangles_of_at_most_the_asked_share(share, n_frames, n_mels, epoch):
    augment = Augmentation("masks")
    augment.start_epoch(0, epoch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "MASKED", share)
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
    assert MASKED == 0.25
    hidden = Augmentation("masks").mask(torch.ones(4000, 400, 7)) == 0
    frames = hidden[:, :, 0].double().mean()  # 7 bins: no width of a mask on that axis but 0
    widths = np.arange(51) / 400
    expected = 2 * widths.mean() - widths.mean() ** 2  # those that overlap are counted once
    assert float(frames) == pytest.approx(expected, rel=0.05)
    place = hidden[:, :, 0].double().mean(0)
    assert place[150:250].std() < 0.2 * expected  # everywhere alike, off the ends
    assert place[0] > 0
    assert place[-1] > 0


@pytest.mark.parametrize("part", AUGMENTATIONS)
def test_each_part_does_its_own_and_no_more(part):
    x = spectrograms(40)
    augment = Augmentation(part)
    distorted, masked = augment.distort(x), augment.mask(x)
    assert torch.equal(distorted, x) is (part == "masks")
    assert torch.equal(masked, x) is (part != "masks")
    assert distorted.shape == masked.shape == x.shape
    assert distorted.isfinite().all()
    assert torch.equal(distorted.sort(1).values, x.sort(1).values)  # the same frames, in another order
    assert distorted.dtype == augment.distort(x.half()).dtype == torch.float32


def test_parts_are_done_one_after_the_other():
    """Moved first, then masked; the masks hide whole bands and leave the rest as it was."""
    x = spectrograms(200)
    both, shift = Augmentation("masks+shift"), Augmentation("shift")
    moved = both.distort(x)
    assert torch.equal(moved, shift.distort(x))
    drawn = torch.rand(200, generator=shift_generator())
    assert torch.equal(moved, shift_time(x, drawn))
    masked = both.mask(moved)
    hidden = masked == 0
    assert torch.equal(masked, moved.masked_fill(hidden, 0))
    assert 0.05 < float(hidden.double().mean()) < 0.3
    assert not torch.equal(hidden, Augmentation("masks").mask(x) == 0)  # each with draws of its own


def shift_generator():
    """As it is at the start of epoch 0 with seed 0."""
    generator = Augmentation("none")._generator
    return torch.Generator().set_state(generator.get_state())


def test_what_there_is():
    assert AUGMENTATIONS == ("shift", "masks")
    assert DEFAULT_AUGMENTATION == "shift+masks"


def test_nothing_is_asked_nothing_is_done():
    x = spectrograms()
    augment = Augmentation("none")
    assert torch.equal(augment.distort(x), x)
    assert torch.equal(augment.mask(x), x)


def test_shift_and_masks_where_nothing_else_is_asked():
    x = spectrograms()
    one, other = Augmentation(), Augmentation("masks+shift")
    assert one.parts == {"shift", "masks"}
    assert torch.equal(one.mask(one.distort(x)), other.mask(other.distort(x)))


def test_draws_follow_from_seed_and_epoch():
    x = spectrograms()
    augment = Augmentation("+".join(AUGMENTATIONS))

    def drawn(seed, epoch, rank=0):
        augment.start_epoch(seed, epoch, rank)
        return [augment.mask(augment.distort(x)) for _ in range(2)]

    first, second = drawn(1, 2)
    assert not torch.equal(first, second)
    assert all(torch.equal(one, other) for one, other in zip(drawn(1, 2), (first, second), strict=True))
    assert not torch.equal(drawn(1, 3)[0], first)
    assert not torch.equal(drawn(2, 2)[0], first)
    assert not torch.equal(drawn(1, 2, rank=1)[0], first)
    state = torch.random.get_rng_state()
    drawn(0, 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(copy.deepcopy(augment).distort(x), augment.distort(x))
