"""What the processes of a sharded training know together: the voices of all speakers, and the teacher.

Each process reads its own clips once; the sums over all processes then give every process the same numbers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ser_graph.audio.mapped import read_rows
from ser_graph.audio.standardise import COUNT, MEAN, VARIANCE, Standardise, speaker_voices
from ser_graph.common.distributed import Processes
from ser_graph.downstream.teacher import check_classes, log_probs_of
from ser_graph.errors import InputError
from ser_graph.graph.estimators import TeacherProbe, fit_probe
from ser_graph.graph.settings import Center
from ser_graph.graph.shards import GraphShard

_BLOCK = 4096  # embeddings in memory at a time


def count_speakers(shards: Sequence[GraphShard], group: Processes) -> int:
    """The number of speakers in the shards of all processes."""
    most = max(int(shard.speaker.max()) for shard in shards) + 1
    return int(group.gather(torch.tensor([most]), group.size).max())


def joint_voices(
    shards: Sequence[GraphShard],
    codes: Sequence[Tensor],
    rows: Sequence[Tensor],
    group: Processes,
    *,
    n_voices: int,
    centred: bool = False,
) -> Tensor:
    """As `speaker_voices`, over the shards of all processes.

    Args:
        shards: those of this process.
        codes: for each shard, [n] int64 the voice of each clip, -1 = none.
        rows: for each shard, [M] int64 the clips to read.
        group: the processes.
        n_voices: S, of all processes.
        centred: as in `speaker_voices`.

    Returns:
        [S + 1, 3, n_mels] float32 count, mean and variance of frames.
    """
    sums = torch.zeros(n_voices + 1, 3, shards[0].x.shape[-1], dtype=torch.float64)
    for shard, voices, mine in zip(shards, codes, rows, strict=True):
        found = speaker_voices(shard.x, voices, mine, centred=centred).double()
        count, mean = found[:, COUNT], found[:, MEAN]
        sums[: len(found)] += torch.stack([count, count * mean, count * (found[:, VARIANCE] + mean.square())], 1)
    count, total, squares = group.add(sums).unbind(1)
    mean = total / count.clamp_min(1)
    return torch.stack([count, mean, (squares / count.clamp_min(1) - mean.square()).clamp_min(0)], 1).float()


def fit_standardise(
    shards: Sequence[GraphShard], rows: Sequence[Tensor], normalise: str, n_speakers: int, group: Processes
) -> Standardise:
    """As `Standardise.fit`, from some clips [M] of each shard."""
    by_speaker = normalise == "speaker"
    how: dict[str, Any] = {"centred": normalise == "utterance", "n_voices": n_speakers + 1 if by_speaker else 1}
    # Clips of unknown speaker count as one more speaker.
    codes = [one.speaker.where(one.speaker >= 0, n_speakers) * by_speaker for one in shards]
    return Standardise.of_voices(joint_voices(shards, codes, rows, group, **how), normalise)


class JointTeacher:
    """The teacher's embeddings of the own clips, centred with the clips of all processes, and a probe of them.

    Args:
        shards: those of this process.
        used: for each shard, [n] bool the clips whose embeddings give the means.
        center: as in `TrainingSettings`. The probe standardises its input and the loss compares directions, so that
            ``"none"`` and ``"corpus"`` are the same here.
        n_speakers: of all processes.
        group: the processes.

    Raises:
        InputError: ``"speaker"``, and a clip of unknown speaker or a speaker with one clip.
    """

    def __init__(
        self,
        shards: Sequence[GraphShard],
        used: Sequence[Tensor],
        center: Center,
        n_speakers: int,
        group: Processes,
    ) -> None:
        self.group, self.probe = group, TeacherProbe()
        self.size = shards[0].emb.shape[1]
        self._n_means = n_speakers + 1 if center == "speaker" else 1
        sums = torch.zeros(self._n_means, self.size + 1, dtype=torch.float64)
        for shard, mask in zip(shards, used, strict=True):
            for rows in mask.nonzero()[:, 0].split(_BLOCK):
                emb = read_rows(shard.emb, rows).double()
                sums.index_add_(0, self._codes(shard, rows), torch.cat([emb, torch.ones(len(emb), 1)], 1))
        sums = group.add(sums)
        if center == "speaker" and (sums[-1, -1] or (sums[:, -1] == 1).any()):
            raise InputError(
                "Bad center 'speaker': it needs the speaker of every training clip, and two clips of each; give "
                "center='corpus'"
            )
        self._means = sums[:, :-1] / sums[:, -1:].clamp_min(1)

    def _codes(self, shard: GraphShard, rows: Tensor) -> Tensor:
        """[B] int64 rows of the means; an unknown speaker (-1) has the last row."""
        return shard.speaker[rows] % self._n_means if self._n_means > 1 else torch.zeros_like(rows)

    def embeddings(self, shard: GraphShard, rows: Tensor) -> Tensor:
        """[B, D] float32, of some clips of a shard."""
        return (read_rows(shard.emb, rows).double() - self._means[self._codes(shard, rows)]).float()

    def fit(
        self, shards: Sequence[GraphShard], y: Sequence[Tensor], other: Sequence[Tensor], other_labels: float
    ) -> None:
        """Fit the probe on the labels of all processes.

        Args:
            shards: those of this process.
            y: for each shard, [n] int64 labels of the target, -1 elsewhere.
            other: for each shard, [n] int64 labels of other corpora, -1 elsewhere.
            other_labels: as in `fit_probe`.

        Raises:
            InputError: labels of fewer than two emotions.
        """
        rows = [((mine >= 0) | (others >= 0)).nonzero()[:, 0] for mine, others in zip(y, other, strict=True)]
        emb = self._of_all(torch.cat([self.embeddings(*one) for one in zip(shards, rows, strict=True)]))
        own = self._of_all(torch.cat([one[mine] for one, mine in zip(y, rows, strict=True)]))
        theirs = self._of_all(torch.cat([one[mine] for one, mine in zip(other, rows, strict=True)]))
        check_classes(own)
        self.probe = fit_probe(emb.numpy(), own.numpy(), theirs.numpy(), other_labels)

    def _of_all(self, mine: Tensor) -> Tensor:
        """The rows of all processes, whose numbers may differ."""
        size = self.group.size
        return self.group.exchange(torch.cat([mine] * size), torch.full((size,), len(mine)))[0]

    def log_probs(self, emb: Tensor, n_classes: int) -> Tensor:
        """[B, K] float32 log probabilities by the probe, for centred embeddings [B, D]."""
        return log_probs_of(self.probe, emb, n_classes)
