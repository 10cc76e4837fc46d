"""Standardisation of log-mel spectrograms, the first layer of every student: by corpus, clip or speaker."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from ser_graph.audio.mapped import read_rows
from ser_graph.common.distributed import ALONE, Processes
from ser_graph.errors import InputError, bad_value

Normalisation = Literal["corpus", "utterance", "speaker"]
NORMALISATIONS = get_args(Normalisation)
COUNT, MEAN, VARIANCE = range(3)  # rows of the statistics of a voice


class Standardise(nn.Module):
    """Per-bin standardisation ``(x - mean) / std`` over [..., n_mels].

    - ``"corpus"``: mean and deviation of the training clips.
    - ``"utterance"``: the mean spectrum of each clip is subtracted first, then as for ``"corpus"``. A microphone, a
      room and the average colour of a voice are nearly constant filters, and thus nearly constant terms of a
      log-mel spectrogram. Cepstral mean normalisation (Atal, JASA 1974) does the same to cepstra. The deviation of
      the clip stays, because the range of loudness within an utterance is a sign of emotion.
    - ``"speaker"``: mean and deviation of all frames of the speaker so far, with this clip. `voice` gives the
      statistics of the earlier frames, see `update_voice`; without `voice`, only this clip counts. The deviation is
      shrunk towards that of the training speakers, with the weight of one clip.

    Args:
        n_mels: number of mel bins.
        normalise: ``"corpus"``, ``"utterance"`` or ``"speaker"``.

    Attributes:
        mean: [n_mels] float32, of the training clips; 0 for ``"speaker"``.
        std: [n_mels] float32, their deviation; within a speaker for ``"speaker"``.

    Examples:
        >>> layer = Standardise.fit(torch.tensor([[[0.0, 1.0], [2.0, 1.0]]]), normalise="corpus")
        >>> layer(torch.tensor([[[3.0, 1.0]]]))
        tensor([[[2., 0.]]])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, n_mels: int, normalise: str) -> None:
        super().__init__()
        if normalise not in NORMALISATIONS:
            raise bad_value("normalise", normalise, NORMALISATIONS)
        self.normalise = normalise
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    def forward(self, x: Tensor, voice: Tensor | None = None) -> Tensor:
        """Standardise spectrograms of any float type; the result is float32.

        Args:
            x: [B, n_frames, n_mels].
            voice: [B, 3, n_mels] statistics of the earlier frames of each speaker; used by ``"speaker"`` only.
        """
        x = x.float()
        if self.normalise == "corpus":
            return (x - self.mean) / self.std
        if self.normalise == "utterance":
            return (x - x.mean(-2, keepdim=True) - self.mean) / self.std
        known = update_voice(x, voice)
        count, prior = known[..., COUNT, :], x.shape[-2]
        variance = (count * known[..., VARIANCE, :] + prior * self.std.square()) / (count + prior)
        return (x - known[..., MEAN : MEAN + 1, :]) / variance.sqrt().unsqueeze(-2)

    @classmethod
    def fit(
        cls,
        x: Tensor,
        rows: Tensor | None = None,
        *,
        normalise: str,
        speaker: Tensor | None = None,
        group: Processes = ALONE,
    ) -> "Standardise":
        """Mean and deviation per mel bin over all frames of some clips, read once, in blocks.

        Args:
            x: [N, n_frames, n_mels] spectrograms, possibly mapped from disk.
            rows: [M] int64 indices of the training clips, or their [N] bool mask; None takes all.
            normalise: ``"corpus"``, ``"utterance"`` or ``"speaker"``.
            speaker: [N] int64 codes of speakers, -1 = unknown; needed for ``"speaker"``.
            group: the processes that read a share each.
        """
        rows = torch.arange(len(x)) if rows is None else rows
        if rows.dtype == torch.bool:
            rows = rows.nonzero()[:, 0]
        if not len(rows):
            raise InputError("No training clip to fit the standardisation on; check the split")
        if normalise == "speaker":
            codes = torch.full((len(x),), -1) if speaker is None else speaker
            unknown = int(codes.max()) + 1  # clips of unknown speaker count as one more speaker
            codes = torch.where(codes < 0, unknown, codes)
        else:
            codes = torch.zeros(len(x), dtype=torch.int64)
        return cls.of_voices(
            speaker_voices(x, codes, rows, centred=normalise == "utterance", group=group), normalise
        )

    @classmethod
    def of_voices(cls, voices: Tensor, normalise: str) -> "Standardise":
        """From statistics [S, 3, n_mels] of training clips: of each speaker, or of all clips in the first row."""
        layer = cls(voices.shape[-1], normalise)
        # A bin that never changes becomes 0, not NaN. If each clip has its own mean, rounding errors remain in such
        # a bin; the larger limit keeps them small.
        least = 1e-5 if normalise == "corpus" else 1e-2
        if normalise == "speaker":
            variance = (voices[:, COUNT] * voices[:, VARIANCE]).sum(0) / voices[:, COUNT].sum(0)
        else:
            variance = voices[0, VARIANCE]
            layer.mean.copy_(voices[0, MEAN])
        layer.std.copy_(variance.sqrt().clamp_min(least))
        return layer


class Voices(NamedTuple):
    """The statistics of the speaker of each clip.

    Attributes:
        table: [S + 1, 3, n_mels], the result of `speaker_voices`.
        speaker: [N] int64 codes, -1 = unknown.
    """

    table: Tensor
    speaker: Tensor

    def of(self, rows: Tensor) -> Tensor:
        """[B, 3, n_mels] the statistics of the speakers of clips [B]."""
        return self.table[self.speaker[rows]]


def update_voice(x: Tensor, voice: Tensor | None = None) -> Tensor:
    """The statistics of a voice after a clip: number, mean and variance of all frames so far.

    Args:
        x: [..., n_frames, n_mels] float32 spectrograms.
        voice: [..., 3, n_mels] the statistics before the clip; None or 0: no frames yet.

    Returns:
        [..., 3, n_mels] float32. The formula of Chan, Golub and LeVeque (1983) joins the two parts.

    Examples:
        >>> first = update_voice(torch.tensor([[0.0], [2.0]]))
        >>> update_voice(torch.tensor([[4.0], [6.0]]), first).flatten()  # of 0, 2, 4, 6
        tensor([4., 3., 5.])
    """
    mean = x.mean(-2)
    variance = (x - mean.unsqueeze(-2)).square().mean(-2)
    clip = torch.stack([torch.full_like(mean, x.shape[-2]), mean, variance], -2)
    return clip if voice is None else joined(voice, clip)


def joined(one: Tensor, other: Tensor) -> Tensor:
    """Count, mean and variance [..., 3, n_mels] of two parts together."""
    (n, mean, variance), (m, mean_other, variance_other) = one.unbind(-2), other.unbind(-2)
    total = (n + m).clamp_min(1)
    apart = mean_other - mean
    both = (n * variance + m * variance_other) / total + apart.square() * (n / total) * (m / total)
    return torch.stack([n + m, mean + apart * (m / total), both], -2)


def speaker_voices(
    x: Tensor,
    speaker: Tensor,
    rows: Tensor | None = None,
    *,
    centred: bool = False,
    group: Processes = ALONE,
) -> Tensor:
    """The statistics of each speaker over some clips, which are read once, in blocks; each process reads a share.

    Args:
        x: [N, n_frames, n_mels] spectrograms, possibly mapped from disk.
        speaker: [N] int64 codes from 0, -1 = unknown.
        rows: [M] int64 indices of the clips; None takes all.
        centred: first subtract the mean spectrum of each clip.
        group: the processes.

    Returns:
        [S + 1, 3, n_mels] float32 count, mean and variance of frames, 0 for a speaker without a clip. The last row
        is 0; the code -1 of an unknown speaker selects it.
    """
    rows = torch.arange(len(x)) if rows is None else rows
    n_speakers = int(speaker.max()) + 1 if len(speaker) else 0
    shape = (n_speakers + 1, x.shape[-1])
    # Subtract the mean of one clip, which is near the mean of all: squares of raw values would lose digits.
    first = x[rows[:1]].double()
    near = torch.zeros(shape[1], dtype=torch.float64) if centred else first.mean((0, 1))
    sums = torch.zeros(3, *shape, dtype=torch.float64)
    for block, codes in _blocks(x, speaker, rows[group.share(len(rows))]):
        deviation = (block - block.mean(1, keepdim=True) if centred else block) - near
        deviation, codes = deviation[codes >= 0], codes[codes >= 0]
        sums[0].index_add_(0, codes, torch.full_like(deviation[:, 0], x.shape[1]))
        sums[1].index_add_(0, codes, deviation.sum(1))
        sums[2].index_add_(0, codes, deviation.square().sum(1))
    count, total, squares = group.add(sums)
    mean = total / count.clamp_min(1)
    variance = (squares / count.clamp_min(1) - mean.square()).clamp_min(0)
    voices = torch.stack([count, torch.where(count > 0, mean + near, 0), variance], 1)
    return voices.float()


def _blocks(x: Tensor, speaker: Tensor, rows: Tensor, size: int = 256) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        yield read_rows(x, block).double(), speaker[block]
