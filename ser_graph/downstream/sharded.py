"""Train a student on a graph in shards: no process holds all clips, edges and remembered outputs.

`train` gives every process all edges, labels and remembered outputs. Here, a process owns some shards of the graph
(`ser_graph.graph.shards`). A batch has the same number of seeds from each shard. Each process forwards its own
seeds and computes their part of the loss. It gets the outputs of neighbours from the memory banks of their owners.
The processes exchange these outputs, the gradients and BatchNorm's sums. The result does not depend on the number
of processes, except for the draws of the augmentation.

A checkpoint is a folder:

    checkpoint.pt          what all processes share, and the number of finished epochs; written last
    bank-EPOCH-SHARD.pt    the remembered outputs of each shard
"""

import copy
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data

from ser_graph.audio.mapped import read_rows
from ser_graph.audio.standardise import Voices
from ser_graph.common.devices import autocast, pick_device
from ser_graph.common.distributed import Processes, processes
from ser_graph.common.files import atomic_file
from ser_graph.common.hashing import content_hash
from ser_graph.common.processes import is_first
from ser_graph.common.progress import progress_bar
from ser_graph.common.settings import with_settings
from ser_graph.common.stages import working
from ser_graph.downstream.augmentation import Augmentation
from ser_graph.downstream.backbones import FC1, Output, scaled
from ser_graph.downstream.batches import LabelledBatches, balance
from ser_graph.downstream.losses import distillation_loss, neighbour_loss, regression_loss
from ser_graph.downstream.methods import TEMPERATURE, joined_terms, regression_head
from ser_graph.downstream.optimisation import COUNTED, Average, counting, make_optimiser, rate_at
from ser_graph.downstream.prediction import predict_outputs
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.sharded_statistics import JointTeacher, count_speakers, fit_standardise, joint_voices
from ser_graph.downstream.spreading import add_gradients, join_batch_norms, part_batch_norms
from ser_graph.downstream.strategies import MemoryBank
from ser_graph.downstream.student import Student
from ser_graph.downstream.training import forget_some
from ser_graph.errors import InputError, one_line
from ser_graph.graph import TopNeighborSampler
from ser_graph.graph.shards import GraphShard, GraphShards, load_graph_shards

_BLOCK = 64  # clips of all shards in a batch of BatchNorm's statistics


@with_settings(TrainingSettings)
def train_shards(
    folder: str | Path,
    settings: TrainingSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> Student:
    """Train a student on a graph in shards, in one process or in several of ``torchrun``.

    Args:
        folder: a folder of `split_graph`. The number of its shards is a multiple of the number of processes.
        settings: how to train: labels alone, or by ``"distil"``, ``"regress"``, ``"nsl"`` (with
            ``strategy="memory_bank"``), or several of them.
        checkpoint: a folder that all processes see. The training writes its state to ``training`` in it after every
            epoch, and continues from the state of the same shards and settings, also with another number of
            processes.
        device: e.g. ``"cpu"``; by default the GPU if there is one.
        progress: show a progress bar.
        **changes: single settings by name.

    Returns:
        The student, as `train` returns it.

    Raises:
        InputError: a setting that needs the whole graph; shards or a batch that cannot be divided; or another
            process has ended.
    """
    settings = (settings or TrainingSettings()).replace(**changes)
    shards, group = load_graph_shards(folder), processes()
    _check(settings, shards, group)
    run = _Run(shards, settings, group, pick_device(device))
    if checkpoint is None:
        _run_epochs(run, None, progress=progress)
    else:
        with working(Path(checkpoint).expanduser() / "training", asked_of_shards(settings, shards)) as place:
            group.wait()  # until the first process has removed the state of another training
            run.resume(place)
            _run_epochs(run, place, progress=progress)
    return run.finish()


def _run_epochs(run: "_Run", place: Path | None, *, progress: bool) -> None:
    total, shown = run.settings.epochs, progress and is_first()
    what: dict[str, Any] = {"desc": "training on shards", "unit": "epoch", "initial": len(run.history)}
    with progress_bar(total=total, disable=not shown, **what) as bar:
        while len(run.history) < total:
            run.epoch()
            bar.update()
            if place is not None:
                run.save(place)


def asked_of_shards(settings: TrainingSettings, shards: GraphShards) -> dict[str, Any]:
    """All inputs that decide the result of `train_shards`, as JSON values."""
    return {
        "settings": settings.asked(),
        "starts": shards.starts,
        "graph": shards.meta.model_dump(mode="json"),
    }


class _Bank:
    """The remembered outputs of the own clips, and those of other clips from their owners.

    Args:
        ends: for each process, the number after that of its last clip.
        size: C, of the layer that is compared.
        group: the processes.

    Attributes:
        outputs: [n, C] float32, of the own clips.
        written: [n] int64, the step of each remembered output, -1 = none.
    """

    def __init__(self, ends: list[int], size: int, group: Processes) -> None:
        self.ends, self.group = torch.tensor(ends), group
        self.start = ends[group.rank - 1] if group.rank else 0
        n = ends[group.rank] - self.start
        # `full` writes every page, `zeros` would not: a process without the memory fails now, not hours later.
        self.outputs, self.written = torch.full((n, size), 0.0), torch.full((n,), -1)

    def remember(self, rows: Tensor, outputs: Tensor, step: int) -> None:
        """Store the outputs [B, C] of own clips."""
        self.outputs[rows], self.written[rows] = outputs.detach().float().cpu(), step

    def fetch(self, clips: Tensor) -> tuple[Tensor, Tensor]:
        """The remembered outputs [M, C] and steps [M] of clips, by their numbers in the whole graph."""
        unique, place = clips.unique(return_inverse=True)  # sorted, and so by owner
        owner = torch.bucketize(unique, self.ends, right=True)
        asked, counts = self.group.exchange(unique, owner.bincount(minlength=self.group.size))
        rows = asked - self.start
        outputs, _ = self.group.exchange(self.outputs[rows], counts)
        written, _ = self.group.exchange(self.written[rows], counts)
        return outputs[place], written[place]


class _Batch(NamedTuple):
    """The own seeds of a step.

    Attributes:
        rows: [B] their numbers among all own clips.
        x: [B, n_frames, n_mels] spectrograms.
        voice: [B, 3, n_mels] statistics of their speakers, if the student normalises by speaker.
        emb: [B, D] centred embeddings, if there is a teacher.
    """

    rows: Tensor
    x: Tensor
    voice: Tensor | None
    emb: Tensor | None


class _Run:
    """One training."""

    def __init__(
        self, shards: GraphShards, settings: TrainingSettings, group: Processes, device: torch.device
    ) -> None:
        self.settings, self.group, self.device, self.meta = settings, group, device, shards.meta
        self.n_shards, self.starts = len(shards), shards.starts
        numbers = range(*group.share(len(shards)).indices(len(shards)))
        self.own = {number: shards.load(number) for number in numbers}
        self.start = shards.starts[numbers[0]]
        self.y = torch.cat([shard.y for shard in self.own.values()])
        self.sampler, self.neighbour, self.edge_weight = self._edges()
        self.n_labelled = self._count(lambda shard: self._labelled(shard) & shard.original)
        self.steps = max(math.ceil(self.n_labelled / settings.batch_size), settings.epoch_steps)
        self.n_speakers = count_speakers(list(self.own.values()), group)
        self.voices, self.voice_draws = self._known_voices(), dict[int, torch.Generator]()
        self.teacher = self._new_teacher()
        student, head = self._new_networks()
        self.student, self.head = student.to(device), head.to(device)
        self.average = Average(self.student) if settings.schedule == "cosine" else None
        join_batch_norms(self.student, group)
        self.bank = self._new_bank() if settings.uses_graph else None
        learning = [*self.student.parameters(), *self.head.parameters()]
        self.optimiser = make_optimiser(learning, settings.schedule, settings.learning_rate)
        total = self.steps * settings.epochs
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate_at(settings.schedule, step, total, settings.epochs)
        )
        self.history: list[dict[str, float]] = []
        self.step_number = 0

    def _edges(self) -> tuple[TopNeighborSampler, Tensor, Tensor]:
        """The edges of all own seeds; of each edge the neighbour, a number of the whole graph, and the weight."""
        shards = self.own.values()
        neighbour = torch.cat([shard.edge_index[0] for shard in shards])
        seed = torch.cat([shard.edge_index[1] + shard.start - self.start for shard in shards])
        weight = torch.cat([shard.edge_weight for shard in shards])
        # The sampler only ranks the edges of each seed; most neighbours are no rows of this process.
        data = Data(edge_index=torch.stack([seed, seed]), edge_weight=weight, num_nodes=len(self.y))
        return TopNeighborSampler(data, [self.settings.n_neighbors or -1]), neighbour, weight

    def _training(self, shard: GraphShard) -> Tensor:
        return shard.train_mask | shard.val_mask if self.settings.protocol == "paper" else shard.train_mask

    def _labelled(self, shard: GraphShard) -> Tensor:
        return self._training(shard) & (shard.y >= 0)

    def _total(self, number: float) -> int:
        return round(float(self.group.add(torch.tensor([number], dtype=torch.float64))))

    def _count(self, mask: Callable[[GraphShard], Tensor]) -> int:
        """The number of clips of all processes for which a mask [n] of a shard is true."""
        return self._total(sum(int(mask(shard).sum()) for shard in self.own.values()))

    def _known_voices(self) -> Tensor | None:
        """[S + 1, 3, n_mels] statistics of all clips of each speaker, if the student normalises by speaker."""
        if self.settings.normalise != "speaker":
            return None
        own = list(self.own.values())
        codes, rows = [shard.speaker for shard in own], [torch.arange(len(shard)) for shard in own]
        return joint_voices(own, codes, rows, self.group, n_voices=self.n_speakers)

    def _new_teacher(self) -> JointTeacher | None:
        settings, own = self.settings, list(self.own.values())
        methods = set(settings.methods) if settings.learns_from else set()
        if not methods & {"distil", "regress"}:
            return None
        used = [
            torch.ones_like(one.y, dtype=torch.bool) if settings.transductive else self._training(one)
            for one in own
        ]
        teacher = JointTeacher(own, used, settings.center, self.n_speakers, self.group)
        if "distil" in methods:
            known = [shard.y.where(self._labelled(shard) & shard.original, -1) for shard in own]
            rows = [
                shard.original & one & bool(settings.other_labels) for shard, one in zip(own, used, strict=True)
            ]
            other = [shard.other_y.where(one, -1) for shard, one in zip(own, rows, strict=True)]
            teacher.fit(own, known, other, settings.other_labels)
        return teacher

    def _new_bank(self) -> _Bank:
        settings, group = self.settings, self.group
        size = {"fc1": scaled(FC1, settings.width), "fc2": len(self.student.emotions)}[settings.layer]
        shares = [Processes(rank, group.size).share(self.n_shards) for rank in range(group.size)]
        return _Bank([self.starts[share.stop] for share in shares], size, group)

    def _new_networks(self) -> tuple[Student, nn.Module]:
        """The student, and the head that predicts the teacher's embedding, if there is one."""
        settings, meta = self.settings, self.meta
        info: dict[str, Any] = {
            "settings": settings.model_dump(),
            "data_hash": meta.data_hash,
            "corpus": meta.corpus,
            "graph": {
                "settings": meta.settings.model_dump(mode="json"),
                "epsilon": meta.measured.epsilon,
                "n_edges": meta.measured.n_edges,
            },
            "n_train": self._count(lambda shard: self._training(shard) & shard.original),
            "n_labelled": self.n_labelled,
        }
        info["n_unlabelled"] = info["n_train"] - self.n_labelled
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            student = Student(settings.backbone, meta.names["emotion"], meta.features, info, width=settings.width)
            torch.manual_seed(settings.seed)
            head: nn.Module = nn.Identity()
            if self.teacher is not None and "regress" in settings.methods:
                head = regression_head(settings.width, self.teacher.size)
        own = list(self.own.values())
        student.standardise = fit_standardise(
            own, [self._standard(shard) for shard in own], settings.normalise, self.n_speakers, self.group
        )
        if settings.augment != "none":
            student.augment = Augmentation(settings.augment)
        return student, head

    def _standard(self, shard: GraphShard) -> Tensor:
        """[M] int64 the clips that give the statistics of the student's layers: as in `train`."""
        return (self._training(shard) & shard.of_corpus).nonzero()[:, 0]

    def epoch(self) -> None:
        """Train one epoch, and measure on dev in the last."""
        number, start = len(self.history), time.perf_counter()
        if self.student.augment is not None:
            self.student.augment.start_epoch(self.settings.seed, number, self.group.rank)
        for which in self.own:
            drawn = int(content_hash(self.settings.seed, number, which, "voices")[:15], 16)
            self.voice_draws[which] = torch.Generator().manual_seed(drawn)
        self.student.train()
        batches = zip(*(self._batches(shard, which, number) for which, shard in self.own.items()), strict=True)
        sums: dict[str, float] = {}
        for seeds in batches:
            for name, value in self._step(self._read(seeds)).items():
                sums[name] = sums.get(name, 0.0) + value
        edges, used = (sums.pop(name, 0.0) for name in ("edges", "edges_used"))
        row = {"epoch": number + 1, **{name: value / self.steps for name, value in sums.items()}}
        if self.bank is not None:
            row["edges_used"] = used / max(edges, 1)
        if not math.isfinite(row["loss"]):
            raise InputError(f"The loss is not finite in epoch {number + 1}; lower learning_rate or alpha")
        if number + 1 == self.settings.epochs:
            row |= self._measure_on_dev(self._kept())
        self.history.append({**row, "seconds": time.perf_counter() - start})

    def _batches(self, shard: GraphShard, which: int, epoch: int) -> LabelledBatches:
        """The seeds of a shard for each step of an epoch; they do not depend on the process."""
        labelled, training = self._labelled(shard), self._training(shard)
        others = training & ~labelled if self.settings.uses_unlabelled else torch.zeros_like(training)
        generator = torch.Generator().manual_seed(int(content_hash(self.settings.seed, epoch, which)[:15], 16))
        return LabelledBatches(
            labelled.nonzero()[:, 0],
            others.nonzero()[:, 0],
            balance(shard.speaker[others]),
            self.steps,
            self.settings.batch_size // self.n_shards,
            self.settings.unlabelled_ratio,
            generator,
        )

    def _read(self, seeds: tuple[list[int], ...]) -> _Batch:
        mine = list(zip(self.own.items(), map(torch.tensor, seeds), strict=True))
        rows = torch.cat([one + shard.start - self.start for (_, shard), one in mine])
        x = torch.cat([read_rows(shard.x, one) for (_, shard), one in mine])
        voice = emb = None
        if self.voices is not None:
            known = [(self.voices[shard.speaker[one]], self.voice_draws[which]) for (which, shard), one in mine]
            voice = torch.cat([forget_some(*one) for one in known])
        if self.teacher is not None:
            emb = torch.cat([self.teacher.embeddings(shard, one) for (_, shard), one in mine])
        return _Batch(rows, x, voice, emb)

    def _step(self, batch: _Batch) -> dict[str, float]:
        """One step; the returned numbers are those of all processes."""
        settings, labels = self.settings, self.y[batch.rows]
        voice = None if batch.voice is None else batch.voice.to(self.device)
        with autocast(self.device, settings.precision):
            outputs = self.student(batch.x.to(self.device), None, voice)
        supervised = functional.cross_entropy(
            outputs.logits.float(), labels.to(self.device), ignore_index=-1, reduction="sum"
        )
        if settings.reduction == "mean":
            supervised = supervised / max(self._total(int((labels >= 0).sum())), 1)
        loss, numbers = supervised, {"supervised_loss": supervised.item()}
        if settings.learns_from is not None:
            found, more = self._terms(outputs, batch)
            term = joined_terms(found) if len(found) > 1 else found[settings.method]
            loss = loss + settings.weight * term
            numbers |= {f"{settings.method}_loss": term.item(), **more}
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        add_gradients(nn.ModuleList([self.student, self.head]), self.group)
        self.optimiser.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.student)
        self.step_number += 1
        numbers = {"loss": loss.item(), **numbers}
        summed = self.group.add(torch.tensor(list(numbers.values()), dtype=torch.float64))
        return dict(zip(numbers, summed.tolist(), strict=True))

    def _terms(self, outputs: Output, batch: _Batch) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The own part of the term of each method, and numbers of edges."""
        found: dict[str, Tensor] = {}
        numbers: dict[str, float] = {}
        if self.bank is not None:
            term, numbers = self._neighbour_term(outputs, batch.rows, self.bank)
            found["nsl"] = MemoryBank.factor * term
        if self.teacher is not None and batch.emb is not None:
            n_clips = self._total(len(batch.rows)) if self.settings.reduction == "mean" else 1
            emb = batch.emb.to(self.device)
            if "regress" in self.settings.methods:
                found["regress"] = regression_loss(self.head(outputs.fc1.float()), emb, reduction="sum") / n_clips
            if "distil" in self.settings.methods:
                log_probs = self.teacher.log_probs(batch.emb, len(self.student.emotions)).to(self.device)
                found["distil"] = (
                    distillation_loss(outputs.logits, log_probs, TEMPERATURE, reduction="sum") / n_clips
                )
        return found, numbers

    def _neighbour_term(self, outputs: Output, rows: Tensor, bank: _Bank) -> tuple[Tensor, dict[str, float]]:
        """The own part of the neighbour loss: own seeds against the remembered outputs of their neighbours."""
        compared = getattr(outputs, self.settings.layer)
        bank.remember(rows, compared, self.step_number)
        (_, seed), edge = self.sampler.neighbors_of(rows)
        others, written = bank.fetch(self.neighbour[edge])
        known = written >= 0
        weight = self.edge_weight[edge][known] if self.settings.edge_weights else torch.ones(int(known.sum()))
        edge_index = torch.stack([torch.arange(int(known.sum())), seed[known]]).to(self.device)
        term = neighbour_loss(
            compared,
            edge_index,
            weight.to(self.device),
            neighbours=others[known].to(self.device),
            distance=self.settings.distance,
            reduction="sum",
        )
        if self.settings.reduction == "mean":
            term = term / max(self._total(int(weight.count_nonzero())), 1)
        return term, {"edges": float(len(edge)), "edges_used": float(known.sum())}

    def _kept(self) -> Student:
        """The student to keep: averaged weights with BatchNorm's statistics of some clips of each shard."""
        if self.average is None:
            return self.student
        student = cast(Student, copy.deepcopy(self.average.module))
        student.augment = None
        join_batch_norms(student, self.group)
        mine, most = [], COUNTED // self.n_shards
        for which, shard in self.own.items():
            rows = self._standard(shard)
            drawn = torch.Generator().manual_seed(int(content_hash(self.settings.seed, which)[:15], 16))
            mine.append((shard, rows[torch.randperm(len(rows), generator=drawn)][:most]))
        n_blocks = max(self._total(sum(len(rows) for _, rows in mine)) // _BLOCK, 1)
        with counting(student), torch.no_grad():
            for block in range(n_blocks):
                now = [(shard, rows.tensor_split(n_blocks)[block]) for shard, rows in mine]
                x, voice = torch.cat([read_rows(shard.x, rows) for shard, rows in now]).to(self.device), None
                if self.voices is not None:
                    voice = self.voices[torch.cat([shard.speaker[rows] for shard, rows in now])].to(self.device)
                with autocast(self.device, self.settings.precision):
                    student.backbone(student.standardise(x, voice))
        return student

    def _measure_on_dev(self, student: Student) -> dict[str, float]:
        n = len(student.emotions)
        counts = torch.zeros(n, n, dtype=torch.float64)  # true, predicted
        if self.settings.protocol == "clean":
            for shard in self.own.values():
                rows = (shard.val_mask & (shard.y >= 0)).nonzero()[:, 0]
                voices = None if self.voices is None else Voices(self.voices, shard.speaker)
                how: dict[str, Any] = {"voices": voices, "precision": self.settings.precision}
                said = predict_outputs(student, shard.x, rows, **how).logits.argmax(1)
                counts += (shard.y[rows] * n + said).bincount(minlength=n * n).reshape(n, n)
        counts = self.group.add(counts)
        if not counts.sum():
            return {}
        true = counts.sum(1)
        recall = (counts.diagonal() / true.clamp_min(1))[true > 0].mean()
        return {"dev_uar": float(recall), "dev_accuracy": float(counts.diagonal().sum() / counts.sum())}

    def save(self, place: Path) -> None:
        """Write the state after an epoch; each process writes the remembered outputs of its shards."""
        epoch = len(self.history)
        for which, rows in self._rows_of_shards().items():
            with atomic_file(_bank_file(place, epoch, which)) as part:
                torch.save([one[rows].clone() for one in self._remembered()], part)
        self.group.wait()
        if is_first():
            state = {name: one.state_dict() for name, one in self._parts().items()}
            with atomic_file(place / "checkpoint.pt") as part:
                torch.save({"history": self.history, "step": self.step_number, **state}, part)
            for old in set(place.glob("bank-*")) - set(place.glob(f"bank-{epoch}-*")):
                old.unlink()
        self.group.wait()

    def resume(self, place: Path) -> None:
        """Continue from a state, if there is one."""
        path = place / "checkpoint.pt"
        if not self.group.of_first(path.exists()):
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            for name, one in self._parts().items():
                one.load_state_dict(state[name])
            for which, rows in self._rows_of_shards().items():
                kept = torch.load(_bank_file(place, len(state["history"]), which), weights_only=True)
                for mine, stored in zip(self._remembered(), kept, strict=True):
                    mine[rows] = stored
            self.history, self.step_number = list(state["history"]), int(state["step"])
        except Exception as error:  # torch raises many kinds for a damaged file and for a wrong structure
            reason = f"{type(error).__name__}: {one_line(error)[:200]}"
            raise InputError(f"The checkpoint {place} is damaged ({reason}); delete it to start anew") from None
        self.group.check_same(len(self.history), f"the epochs stored in {place}")

    def _rows_of_shards(self) -> dict[int, slice]:
        """The rows of each own shard among all own clips."""
        first = {which: shard.start - self.start for which, shard in self.own.items()}
        return {which: slice(first[which], first[which] + len(shard)) for which, shard in self.own.items()}

    def _remembered(self) -> list[Tensor]:
        """The remembered outputs of all own clips, and their steps; empty without a bank."""
        return [] if self.bank is None else [self.bank.outputs, self.bank.written]

    def _parts(self) -> dict[str, Any]:
        parts: dict[str, Any] = {"student": self.student, "head": self.head}
        parts |= {"optimiser": self.optimiser, "scheduler": self.scheduler}
        return parts if self.average is None else {**parts, "average": self.average}

    def finish(self) -> Student:
        """The student, on the CPU and in evaluation mode."""
        student = copy.deepcopy(self._kept()).to("cpu")
        part_batch_norms(student)
        student.augment = None
        student.info.update(history=self.history, epoch=len(self.history))
        return student.eval()


def _bank_file(place: Path, epoch: int, which: int) -> Path:
    return place / f"bank-{epoch}-{which:03d}.pt"


def _check(settings: TrainingSettings, shards: GraphShards, group: Processes) -> None:
    """Refuse what needs the whole graph, and shards and batches that cannot be divided."""
    methods = set(settings.methods) if settings.learns_from else set()
    of_edges = settings.strategy == "memory_bank" and settings.layer != "projection" and not settings.same_label
    for holds, what in (
        (methods <= {"distil", "regress", "nsl"}, "labels alone, or methods distil, regress or nsl"),
        (
            "nsl" not in methods or of_edges,
            "method nsl with strategy='memory_bank', layer fc1 or fc2 and all edges",
        ),
        ("distil" not in methods or settings.teacher == "probe", "teacher='probe'"),
        (settings.align is None, "align=None"),
        (settings.transfer == "none", "transfer='none'"),
        (settings.keep == "last", "keep='last'"),
        (settings.label_fraction == 1 and settings.labelled_speakers is None, "all labels"),
    ):
        if not holds:
            raise InputError(f"Bad settings for a graph in shards, expected {what}; use train for others")
    if len(shards) % group.size:
        raise InputError(f"{len(shards)} shards cannot be divided by {group.size} processes; split the graph anew")
    if settings.batch_size % len(shards):
        raise InputError(f"Bad batch_size {settings.batch_size}, expected a multiple of the {len(shards)} shards")
    group.check_same(int(content_hash(asked_of_shards(settings, shards))[:12], 16), "data and settings")
