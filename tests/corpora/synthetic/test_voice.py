from dataclasses import replace

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import lfilter

from ser_graph.corpora.synthetic.voice import (
    HOP,
    RATE,
    Phone,
    Voice,
    glottal_source,
    resonate,
    smooth,
    speak,
    to_samples,
)

VOWEL = Phone((700, 1200, 2500), seconds=0.5)
EVEN = Voice(jitter=0.0, shimmer=0.0, breath=-60.0)


def steady(voice=EVEN, pitch=120.0, vowel=VOWEL, seed=0):
    frames = 75
    return speak([vowel], [frames], np.full(frames, pitch), voice, np.random.default_rng(seed))


def measured_pitch(wave):
    """Hz, from the highest peak of the autocorrelation between 60 and 500 Hz, refined by a parabola."""
    middle = wave[len(wave) // 4 : -len(wave) // 4]
    power = np.abs(np.fft.rfft(middle, 4 * len(middle))) ** 2
    correlation = np.fft.irfft(power)
    shortest, longest = RATE // 500, RATE // 60
    lag = shortest + int(correlation[shortest:longest].argmax())
    before, here, after = correlation[lag - 1 : lag + 2]
    return RATE / (lag + 0.5 * (before - after) / (before - 2 * here + after))


def measured_formants(wave):
    """Hz, from the poles of linear prediction, sharp ones only, lowest first."""
    wave = lfilter([1.0, -0.95], [1.0], wave) * np.hanning(len(wave))
    correlation = np.fft.irfft(np.abs(np.fft.rfft(wave, 2 * len(wave))) ** 2)[:19]
    poles = np.roots(np.r_[1.0, -solve_toeplitz(correlation[:-1], correlation[1:])])
    sharp = poles[(np.abs(poles) > 0.93) & (poles.imag > 0)]
    frequencies = np.sort(np.angle(sharp)) * RATE / (2 * np.pi)
    return frequencies[frequencies > 200]


def cycle_peaks(wave):
    """Places and heights of the strongest excitation of each cycle: the closing of the glottis."""
    period = RATE / 120
    peaks = []
    start = int(2 * period)
    while start + int(1.4 * period) < len(wave):
        place = start + int(np.argmin(wave[start : start + int(period)]))
        peaks.append((place, -wave[place]))
        start = place + int(0.6 * period)
    return np.array(peaks)


@pytest.mark.parametrize("pitch", [90.0, 120.0, 233.0, 350.0])
def test_a_steady_vowel_has_the_pitch_asked_for(pitch):
    assert measured_pitch(steady(pitch=pitch)) == pytest.approx(pitch, rel=0.005)


@pytest.mark.parametrize("formants", [(300, 2200, 2900), (700, 1200, 2500), (450, 900, 2400)])
def test_a_vowel_has_the_formants_asked_for(formants):
    found = measured_formants(steady(pitch=100.0, vowel=Phone(formants, seconds=0.5)))
    for formant in formants:
        assert np.abs(found - formant).min() < 0.07 * formant


def test_a_shorter_tract_raises_all_formants_by_its_factor():
    source = np.random.default_rng(0).standard_normal(200 * HOP)
    formants = np.tile([700.0, 1200.0, 2500.0], (200, 1))
    bandwidths = np.array([50.0, 50.0, 50.0])
    for factor in (1.0, 1 / 0.86):
        found = measured_formants(resonate(source, formants * factor, bandwidths))
        np.testing.assert_allclose(found[:3], np.array([700, 1200, 2500]) * factor, rtol=0.03)
    long, short = (measured_formants(steady(replace(EVEN, tract=tract)))[1] for tract in (1.0, 0.86))
    assert short / long == pytest.approx(1 / 0.86, rel=0.06)


def test_resonators_that_stand_still_are_ordinary_filters():
    source = np.random.default_rng(0).standard_normal(50 * HOP)
    wave = resonate(source, np.full((50, 1), 1000.0), np.array([100.0]))
    radius = np.exp(-np.pi * 100 / RATE)
    b, c = 2 * radius * np.cos(2 * np.pi * 1000 / RATE), -(radius**2)
    np.testing.assert_allclose(wave, lfilter([1 - b - c], [1, -b, -c], source), atol=1e-10)


def test_resonators_that_jump_ring_out():
    source = np.random.default_rng(0).standard_normal(200 * HOP)
    source[100 * HOP :] = 0.0
    lowest, highest = [200, 600, 1700], [900, 2400, 3200]
    jumps = np.random.default_rng(1).uniform(lowest, highest, size=(200, 3))
    wave = resonate(source, jumps, np.full(3, 80.0))
    assert np.isfinite(wave).all()
    assert np.abs(wave[-HOP:]).max() < 1e-6 * np.abs(wave).max()


def test_jitter_makes_cycles_uneven_in_length_and_shimmer_in_strength():
    pitch = np.full(250, 120.0)
    lengths, heights = {}, {}
    for name, change in {"even": {}, "jitter": {"jitter": 0.03}, "shimmer": {"shimmer": 0.15}}.items():
        peaks = cycle_peaks(glottal_source(pitch, replace(EVEN, **change), np.random.default_rng(0)))
        periods = np.diff(peaks[:, 0])
        lengths[name] = periods.std() / periods.mean()
        heights[name] = peaks[:, 1].std() / peaks[:, 1].mean()
    assert lengths["even"] < 0.006  # rounding to samples
    assert lengths["jitter"] == pytest.approx(0.03, rel=0.3)
    assert heights["even"] < 0.06
    assert heights["shimmer"] == pytest.approx(0.15, rel=0.35)
    assert lengths["shimmer"] < 0.01


def test_tilt_is_the_attenuation_at_3_khz():
    pitch = np.full(250, 100.0)

    def level_at_3_khz(tilt):
        wave = glottal_source(pitch, replace(EVEN, tilt=tilt), np.random.default_rng(0))
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
        hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
        high, low = (spectrum[np.abs(hertz - place) < 60].max() for place in (3000, 100))
        return 20 * np.log10(high / low)

    assert level_at_3_khz(0) - level_at_3_khz(12) == pytest.approx(12, abs=0.5)


def test_breath_fills_the_gaps_between_harmonics():
    def gap(breath):
        wave = steady(replace(EVEN, breath=breath), pitch=200.0)
        wave = wave[2000:-2000]
        spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
        hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
        between = (np.abs(hertz % 200 - 100) < 20) & (hertz < 4000)
        return np.square(spectrum[between]).sum() / np.square(spectrum).sum()

    assert gap(-10.0) > 10 * gap(-40.0)


def test_consonants_hiss_or_burst():
    vowel, hiss = VOWEL, Phone((350, 1600, 2500), 0.1, voicing=0.0, friction=0.4, friction_band=(6000, 1000))
    stop = replace(hiss, burst=True)
    frames, pitch = [20, 15, 20], np.full(55, 120.0)
    middle = slice(24 * HOP, 31 * HOP)

    def high_level(consonant):
        wave = speak([vowel, consonant, vowel], frames, pitch, EVEN, np.random.default_rng(0))[middle]
        return np.diff(wave).std()

    assert high_level(hiss) > 5 * high_level(stop)  # the middle of a stop is its closure


def test_speech_begins_and_ends_without_a_click():
    wave = steady()
    assert abs(wave[0]) < 1e-3
    assert abs(wave[-1]) < 1e-3


def test_smooth_and_to_samples_keep_a_constant():
    constant = np.full(10, 3.0)
    np.testing.assert_allclose(smooth(constant, 7), constant)
    np.testing.assert_allclose(to_samples(constant), np.full(10 * HOP, 3.0))
