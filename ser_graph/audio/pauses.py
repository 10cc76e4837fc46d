"""Long recordings -> the parts with speech, found by energy."""

import torch
from torch import Tensor

FRAME = 0.02  # seconds; positions are multiples of it
_BELOW = 30.0  # dB below the loud frames of the recording: quieter frames are pauses
_LOUD = 0.95  # quantile of the frames that counts as loud
_SILENT = -70.0  # dB of full scale: a recording that is always quieter has no speech
_PAUSE = 0.3  # seconds: a shorter pause does not cut a part
_MARGIN = 0.1  # seconds kept before and after a part


def speech_parts(
    waveform: Tensor, sample_rate: int, *, shortest: float = 1.0, longest: float = 6.0
) -> list[tuple[int, int]]:
    """The parts of a recording with speech, cut at pauses; a long part is cut at its quietest frame.

    A frame has speech if it is at most 30 dB quieter than the loud frames of the recording. The rule finds pauses,
    not speech: music and noise remain.

    Args:
        waveform: [n] float32, mono.
        sample_rate: in Hz.
        shortest: seconds; shorter parts are left out.
        longest: seconds; at least 2 * `shortest`.

    Returns:
        Start and end of each part in samples, in order and without overlap.

    Examples:
        >>> tone = torch.sin(torch.arange(32_000) * 0.2)
        >>> sound = torch.cat([torch.zeros(16_000), tone, torch.zeros(16_000)])
        >>> speech_parts(sound, 16_000)
        [(14400, 49600)]
    """
    size = round(FRAME * sample_rate)
    n = len(waveform) // size
    if not n:
        return []
    power = waveform[: n * size].reshape(n, size).square().mean(1)
    level = 10 * torch.log10(power + 1e-12)
    loud = float(level.sort().values[min(int(_LOUD * n), n - 1)])
    if loud < _SILENT:
        return []
    parts = _joined(_runs(level > loud - _BELOW), n)
    pieces = [
        piece for part in parts for piece in _cut(level, *part, round(shortest / FRAME), round(longest / FRAME))
    ]
    return [(start * size, end * size) for start, end in pieces if (end - start) * FRAME >= shortest]


def _runs(speech: Tensor) -> list[tuple[int, int]]:
    """Start and end of each run of True."""
    steps = torch.cat([torch.zeros(1), speech.float(), torch.zeros(1)]).diff()
    return list(zip((steps > 0).nonzero()[:, 0].tolist(), (steps < 0).nonzero()[:, 0].tolist(), strict=True))


def _joined(runs: list[tuple[int, int]], n: int) -> list[tuple[int, int]]:
    """Runs with margins; runs with a short pause between them become one."""
    margin, joined = round(_MARGIN / FRAME), list[tuple[int, int]]()
    for start, end in runs:
        start, end = max(start - margin, 0), min(end + margin, n)
        if joined and start + margin - (joined[-1][1] - margin) < _PAUSE / FRAME:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def _cut(level: Tensor, start: int, end: int, shortest: int, longest: int) -> list[tuple[int, int]]:
    """A part in pieces of at most `longest` frames; no piece is shorter than `shortest`, if the part is not."""
    pieces = []
    while end - start > longest:
        first, last = start + max(longest // 2, shortest), min(start + longest, end - shortest)
        cut = first + int(level[first:last].argmin()) if last > first else start + longest
        pieces.append((start, cut))
        start = cut
    return [*pieces, (start, end)]
