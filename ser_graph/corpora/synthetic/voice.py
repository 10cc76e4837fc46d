"""A source-filter voice: phones, pitch and manner of speaking -> waveform.

Air pulses of the glottis and noise go through the resonances of the vocal tract, as in the cascade branch
of a formant synthesiser (Klatt & Klatt 1990, JASA 87: 820-857):

- **glottis**: the trigonometric flow pulse of Rosenberg (1971, JASA 49: 583-590), differentiated for the
  radiation at the lips. The open quotient is the part of a cycle in which the glottis is open. Each cycle
  differs a little in length (jitter) and in strength (shimmer).
- **tilt**: a first-order low-pass, given by its attenuation at 3 kHz (Klatt's TL), which is higher in a soft voice.
- **breath**: noise, modulated by the open glottis (Klatt's AH).
- **tract**: six resonators in cascade. A longer tract lowers all their frequencies by the same factor.
- **frication**: noise of the narrow passage of a consonant; it does not go through the tract.

The voice replaces real speech in tests: it has the cues of emotions, but does not sound like a person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dtbsv
from scipy.signal import lfilter

RATE = 16_000
"""Samples per second."""

HOP = 128
"""Samples per control frame (8 ms): pitch and formants have one value per frame."""

Floats = NDArray[np.float64]

_UPPER_FORMANTS = (3500.0, 4500.0, 5500.0)
"""Hz: a uniform tube of 17.5 cm (the tract of an adult man) has a resonance every 1000 Hz."""

_BANDWIDTHS = np.array([70.0, 90.0, 150.0, 250.0, 300.0, 400.0])
"""Hz, of F1 to F6, usual values of adults."""

_SCHWA = np.array([500.0, 1500.0, 2500.0])
"""Hz: F1 to F3 of the uniform tube; slurred vowels move towards them."""

_HIGHEST = 0.47 * RATE
"""Hz: the upper formants of a short tract are kept below half the sampling rate."""

_OPENING_SHARE = 2 / 3
"""The flow rises for two thirds of the open phase and falls for one third (Rosenberg 1971)."""


@dataclass(frozen=True)
class Phone:
    """A speech sound.

    Attributes:
        formants: F1, F2, F3 in Hz for a tract of length 1 (an adult man's).
        seconds: its duration at rate 1.
        voicing: strength of the glottal pulses, 1 in a vowel.
        friction: strength of the frication noise, relative to the level of a vowel.
        friction_band: centre and width of the frication noise in Hz.
        burst: whether the noise is a short release at the end of a closure, not a long hiss.
    """

    formants: tuple[float, float, float]
    seconds: float
    voicing: float = 1.0
    friction: float = 0.0
    friction_band: tuple[float, float] = (3000.0, 2000.0)
    burst: bool = False


@dataclass(frozen=True)
class Voice:
    """The glottis and the tract of a speaker during one utterance.

    Attributes:
        tract: length of the vocal tract; 1 is 17.5 cm as of an adult man, women have about 0.86.
        open_quotient: share of a glottal cycle with air flow; small is pressed, large is lax.
        tilt: attenuation of the pulses at 3 kHz in dB.
        breath: level of the breath noise in dB relative to the pulses.
        jitter: standard deviation of a cycle's length, as a share of it.
        shimmer: standard deviation of a cycle's strength, as a share of it.
        slur: shift of the vowels towards the neutral vowel, from 0 (none) to 1 (complete).
        opening: factor on F1, above 1 when the jaw opens wide.
    """

    tract: float = 1.0
    open_quotient: float = 0.6
    tilt: float = 6.0
    breath: float = -30.0
    jitter: float = 0.01
    shimmer: float = 0.05
    slur: float = 0.0
    opening: float = 1.0


def speak(
    phones: Sequence[Phone],
    frames: Sequence[int],
    pitch: Floats,
    voice: Voice,
    rng: np.random.Generator,
    loudness: Sequence[float] | None = None,
) -> Floats:
    """Say phones one after the other, each for some control frames of `HOP` samples.

    The pitch is [sum(frames)] in Hz. `rng` is the source of jitter, shimmer and noise; `loudness` is a factor on
    the level of each phone.

    Returns:
        [sum(frames) * HOP] waveform; its voiced sounds have a level (root mean square) of 1.

    Examples:
        >>> vowel = Phone((700, 1200, 2500), seconds=0.2)
        >>> speak([vowel], [25], np.full(25, 120.0), Voice(), np.random.default_rng(0)).shape
        (3200,)
    """
    levels = np.ones(len(phones)) if loudness is None else np.asarray(loudness, float)
    voicing = np.repeat([phone.voicing for phone in phones] * levels, frames)
    formants = np.repeat(_formants(phones, voice), frames, axis=0)

    source = glottal_source(pitch, voice, rng) * to_samples(smooth(voicing, 3))
    voiced = resonate(source, smooth(formants, 7), _BANDWIDTHS)
    voiced /= _level(voiced)
    return _faded(voiced + _frication(phones, frames, levels, rng))


def glottal_source(pitch: Floats, voice: Voice, rng: np.random.Generator) -> Floats:
    """[F * HOP] derivative of the air flow through the glottis, with breath noise, of a level near 1.

    The pitch is [F] in Hz. Of the voice, open quotient, tilt, breath, jitter and shimmer are used.
    """
    phase = _phase(to_samples(pitch), voice.jitter, rng)
    cycle = phase.astype(int)
    flow = _rosenberg_flow(phase - cycle, voice.open_quotient)
    strength = 1 + voice.shimmer * rng.standard_normal(cycle[-1] + 1)
    # The flow is zero between two cycles, so that its strength can change there without a click.
    pulses = np.diff(flow * strength[cycle], prepend=0.0)
    pulses = _tilted(pulses, voice.tilt)
    pulses /= _level(pulses)
    noise = rng.standard_normal(len(flow)) * (0.3 + flow)
    return pulses + 10 ** (voice.breath / 20) * noise / _level(noise)


def resonate(source: Floats, formants: Floats, bandwidths: Floats) -> Floats:
    """Filter a source with resonators in cascade; their frequencies change over time.

    Each resonator is `y[n] = a x[n] + b y[n-1] + c y[n-2]` with unit gain at 0 Hz. Coefficients that change
    with `n` make this a triangular band system, which BLAS solves in one call. The coefficients are
    interpolated between frames. Stable coefficients form a triangle, so that interpolated ones are stable too.

    Args:
        source: [F * HOP] waveform.
        formants: [F, K] resonance frequencies in Hz.
        bandwidths: [K] bandwidths in Hz.

    Returns:
        [F * HOP] waveform.
    """
    wave = source
    band = np.empty((3, len(source)), order="F")  # the diagonal is all ones and is not read
    for formant, bandwidth in zip(formants.T, bandwidths, strict=True):
        radius = np.exp(-np.pi * bandwidth / RATE)
        c = -(radius**2)
        b = to_samples(2 * radius * np.cos(2 * np.pi * np.minimum(formant, _HIGHEST) / RATE))
        band[1, :-1] = -b[1:]
        band[2] = -c
        wave = dtbsv(2, band, (1 - b - c) * wave, lower=1, diag=1)
    return wave


def to_samples(frames: Floats) -> Floats:
    """Interpolate control frames [F] linearly to samples [F * HOP].

    Examples:
        >>> to_samples(np.array([0.0, 128.0]))[[0, 1, 127, 128, 255]]
        array([  0.,   1., 127., 128., 128.])
    """
    following = np.concatenate([frames[1:], frames[-1:]])
    return (frames[:, None] + np.arange(HOP) / HOP * (following - frames)[:, None]).ravel()


def smooth(frames: Floats, width: int) -> Floats:
    """A moving average over `width` (odd) control frames; the first and last frame are repeated at the ends.

    Examples:
        >>> smooth(np.array([0.0, 0.0, 3.0, 3.0]), 3)
        array([0., 1., 2., 3.])
    """
    half = width // 2
    held = np.pad(frames, [(half, half)] + [(0, 0)] * (frames.ndim - 1), mode="edge")
    return np.mean([held[k : k + len(frames)] for k in range(width)], axis=0)


def _formants(phones: Sequence[Phone], voice: Voice) -> Floats:
    """[P, 6] formants of each phone in this voice, in Hz."""
    lower = np.array([phone.formants for phone in phones], float)
    lower += voice.slur * (_SCHWA - lower)
    lower[:, 0] *= voice.opening
    upper = np.broadcast_to(_UPPER_FORMANTS, (len(phones), len(_UPPER_FORMANTS)))
    return np.hstack([lower, upper]) / voice.tract


def _phase(pitch: Floats, jitter: float, rng: np.random.Generator) -> Floats:
    """[T] glottal cycles since the start: the integer part counts cycles, the rest is the position in the cycle."""
    even = np.cumsum(pitch) / RATE
    deviation = jitter * rng.standard_normal(int(even[-1]) + 1)
    return np.cumsum(pitch * (1 + deviation[even.astype(int)])) / RATE


def _rosenberg_flow(place: Floats, open_quotient: float) -> Floats:
    """Air flow at a position 0..1 of the cycle: it rises, falls faster, and is then zero."""
    opening = open_quotient * _OPENING_SHARE
    # Both parts are cosines: from -pi to 0 while the flow rises, from 0 to pi / 2 while it falls.
    angle = np.interp(place, [0, opening, open_quotient], [-np.pi, 0, np.pi / 2])
    cosine = np.cos(angle)
    return np.where(angle < 0, 0.5 + 0.5 * cosine, cosine)


def _tilted(wave: Floats, decibels: float) -> Floats:
    """First-order low-pass with the given attenuation at 3 kHz."""
    if decibels <= 0:
        return wave
    power = 10 ** (-decibels / 10)
    middle = 1 - power * np.cos(2 * np.pi * 3000 / RATE)
    pole = (middle - np.sqrt(middle**2 - (1 - power) ** 2)) / (1 - power)
    return lfilter([1 - pole], [1, -pole], wave)


def _frication(phones: Sequence[Phone], frames: Sequence[int], levels: Floats, rng: np.random.Generator) -> Floats:
    """[sum(frames) * HOP] noise of the consonants."""
    wave = np.zeros(sum(frames) * HOP)
    start = 0
    for phone, count, level in zip(phones, frames, levels, strict=True):
        length = count * HOP
        if phone.friction > 0:
            noise = _band_noise(length, phone.friction_band, rng)
            wave[start : start + length] = level * phone.friction * noise * _noise_shape(length, phone.burst)
        start += length
    return wave


def _band_noise(length: int, band: tuple[float, float], rng: np.random.Generator) -> Floats:
    """Noise of level 1 with a centre frequency and a bandwidth in Hz."""
    centre, width = band
    radius = np.exp(-np.pi * width / RATE)
    poles = [1.0, -2 * radius * np.cos(2 * np.pi * centre / RATE), radius**2]
    noise = lfilter([1.0, 0.0, -1.0], poles, rng.standard_normal(length))
    return noise / _level(noise)


def _noise_shape(length: int, burst: bool) -> Floats:
    """Strength of the noise during a consonant: half a sine, or a release after a closure."""
    if not burst:
        return np.sin(np.pi * np.arange(length) / length)
    seconds_left = (length - np.arange(length)) / RATE
    since_release = np.clip(0.03 - seconds_left, 0.0, None)
    # A rise of 1 ms, then a decay of 8 ms, which ends before the next phone.
    return np.minimum(since_release / 0.001, 1.0) * np.exp(-since_release / 0.008)


def _faded(wave: Floats) -> Floats:
    """Fade in over 10 ms and fade out over 40 ms, to avoid clicks."""
    time = np.arange(len(wave)) / RATE
    return wave * np.minimum(time / 0.01, 1.0) * np.minimum((time[-1] - time) / 0.04, 1.0)


def _level(wave: Floats) -> float:
    """Root mean square, never zero."""
    return float(np.sqrt(np.mean(np.square(wave)))) + 1e-12
