import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_graph.downstream import augmentation
from ser_graph.downstream.augmentation import (
    AUGMENTATIONS,
    GAIN,
    MASKED,
    NOISE,
    SPEED,
    Augmentation,
    add_noise,
    change_gain,
    change_speed,
    shift_time,
)

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
    shift = (Augmentation("gain").distort(x) - x).flatten() * 10 / math.log(10)
    assert GAIN == 6
    assert shift.abs().max() <= 6 + 1e-3
    assert shift.min() < -5
    assert shift.max() > 5
    assert len(shift.unique()) == 200


def test_speed_stays_in_its_range_and_differs_from_clip_to_clip():
    x = torch.arange(31.0).expand(200, 31)[:, :, None]  # frame 9 shows how fast its clip is
    rate = Augmentation("speed").distort(x)[:, 9, 0] / 9
    assert SPEED == 0.1
    assert (rate - 1).abs().max() <= 0.1 + 1e-6
    assert rate.min() < 0.92
    assert rate.max() > 1.08
    assert len(rate.unique()) == 200


@pytest.mark.parametrize("decibel", [-10.0, 0.0, 5.0, 30.0])
@pytest.mark.parametrize("slope", [-1.0, 0.0, 0.7])
def test_noise_is_of_the_ratio_that_is_asked_for_in_power(decibel, slope):
    x = spectrograms(4)
    noisy = add_noise(x, torch.full((4,), decibel), torch.full((4,), slope))
    power, both = (one.double().exp().numpy() for one in (x, noisy))
    # Where the clip is loud, float32's logarithm holds too few digits to see quiet noise beside it.
    noise = np.where(power < 0.1 * both, both - power, np.nan)
    spectrum = np.nanmedian(noise, axis=1)
    expected = np.exp(2 * slope * np.linspace(-1, 1, 16))
    level = power.mean((1, 2)) / 10 ** (decibel / 10)
    expected = level[:, None] * expected / expected.mean()
    heard = ~np.isnan(spectrum)
    assert heard.mean() > 0.9
    np.testing.assert_allclose(spectrum[heard], expected[heard], rtol=1e-3)
    np.testing.assert_allclose(both, power + expected[:, None], rtol=1e-4)  # the same in every frame


def test_half_of_the_clips_have_noise_of_every_ratio():
    silent = torch.full((2000, 4, 3), -13.8)
    silent[:, 0] = 0.0  # a quarter of the frames has a power of 1: the mean is 1 / 4
    noisy = Augmentation("noise").distort(silent)
    touched = (noisy != silent).flatten(1).any(1)
    assert float(touched.double().mean()) == pytest.approx(0.5, abs=0.05)
    noise = noisy[touched][:, 1].double().exp() - math.exp(-13.8)
    ratio = 10 * (0.25 / noise.mean(1)).log10()
    assert NOISE == (5, 30)
    assert ratio.min() == pytest.approx(5, abs=0.1)
    assert ratio.max() == pytest.approx(30, abs=0.1)
    slope = (noise[:, 2] / noise[:, 0]).log() / 4
    assert slope.min() == pytest.approx(-1, abs=0.02)
    assert slope.max() == pytest.approx(1, abs=0.02)
    assert abs(np.corrcoef(ratio, slope)[0, 1]) < 0.1


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
    same_frames = torch.equal(distorted.sort(1).values, x.sort(1).values)
    assert same_frames is (part in ("shift", "masks"))
    assert distorted.dtype == augment.distort(x.half()).dtype == torch.float32


def test_parts_are_done_one_after_the_other():
    """Shifted, then faster or slower, then louder or softer, then noisy: each with draws of its own."""
    x = spectrograms()
    whole = Augmentation("noise+gain+shift+speed").distort(x)
    drawn = Augmentation("none")._uniform
    share, speed, gain = (drawn(8, device=x.device) for _ in range(3))
    chosen, ratio, slope = drawn(3, 8, device=x.device)
    step = change_speed(shift_time(x, share), 1 + SPEED * (2 * speed - 1))
    step = change_gain(step, GAIN * (2 * gain - 1), FLOOR)
    noisy = add_noise(step, 5 + 25 * ratio, 2 * slope - 1)
    torch.testing.assert_close(whole, torch.where((chosen < 0.5)[:, None, None], noisy, step))


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
