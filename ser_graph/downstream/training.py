"""`ClipGraph` -> trained student: cross entropy plus the loss of the method.

Under ``torchrun`` or ``accelerate``, the processes share each batch. The result equals that of one process; see
`spreading`.
"""

import copy
import math
import time
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import Field
from sklearn.metrics import recall_score
from torch import Tensor
from torch.nn import functional

from ser_graph.audio.standardise import Standardise, Voices
from ser_graph.common.devices import autocast, pick_device
from ser_graph.common.distributed import processes
from ser_graph.common.files import atomic_file
from ser_graph.common.hashing import content_hash
from ser_graph.common.processes import is_first
from ser_graph.common.progress import progress_bar
from ser_graph.common.settings import Record, with_settings
from ser_graph.common.stages import working
from ser_graph.common.warning import warn
from ser_graph.corpora import originals
from ser_graph.corpora.copies import corpus_originals
from ser_graph.downstream.augmentation import Augmentation
from ser_graph.downstream.batches import LabelledBatches, balance
from ser_graph.downstream.labels import labelled_nodes, training_nodes
from ser_graph.downstream.methods import make_method
from ser_graph.downstream.optimisation import Average, make_optimiser, rate_at
from ser_graph.downstream.prediction import known_voices, predict_outputs
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.spreading import Spread, join_batch_norms, part_batch_norms
from ser_graph.downstream.student import Student, check_finite, load_student, start_from, weights_hash
from ser_graph.downstream.teacher import training_view
from ser_graph.downstream.transfer import check_transfer
from ser_graph.errors import InputError, one_line
from ser_graph.graph import ClipGraph, NeighborLoader, TopNeighborSampler
from ser_graph.graph.building import data_hash
from ser_graph.graph.clip_graph import check_is_graph

_COUNTED = ("covered", "n_seeds", "edges", "edges_used", "staleness")  # sums over an epoch, not means of steps
UNKNOWN_VOICES = 0.5  # share of clips whose speaker counts as unknown, if students normalise by speaker
_LOOKS = 10  # evaluations on dev in a training that keeps the last epoch


@with_settings(TrainingSettings)
def train(
    data: ClipGraph,
    settings: TrainingSettings | None = None,
    *,
    init: Student | str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> Student:
    """Train a student on a graph. With ``alpha=0``, the same code trains the baseline.

    Args:
        data: the graph.
        settings: how to train.
        init: a student whose weights are the initial weights, e.g. one trained on more clips: a student, its
            folder, or the name of a student that comes with the package, e.g. ``"ready:small"``. Settings that are
            not given for backbone, width and normalise are its own. Its last layer is used too if it has the same
            emotions.
        checkpoint: a folder. The training writes its state to ``training`` in it after every epoch. If a state of
            the same data and settings is there, the training continues from it. The result is that of an
            uninterrupted training. A state of another training is removed. With several processes, all of them must
            be able to read the folder.
        device: e.g. ``"cpu"``; by default the GPU if there is one.
        progress: show a progress bar.
        **changes: single settings by name, e.g. ``backbone="cnn6", alpha=0``.

    Returns:
        The student, on the CPU and in evaluation mode. ``student.info["history"]`` has one row per epoch:

        - `loss`, `supervised_loss`, and the unweighted loss of the method, e.g. `nsl_loss`;
        - `edge_coverage`, the share of seeds with a neighbour to compare with;
        - `edges_used`, the share of the seeds' edges that the loss uses, and `staleness`, the mean age of the
          neighbours' outputs in steps: only with ``strategy="memory_bank"``;
        - `dev_uar` and `dev_accuracy`: ten times in a training and after the last epoch; after every epoch with
          ``keep="best"``.

    Raises:
        InputError: a bad setting; no labelled training clip; labels that `labelled_nodes` refuses; neighbours from
            outside the training clips; tensors that do not agree (see `ClipGraph.check`); more processes than
            training clips; a process that has ended; or a checkpoint that is damaged or held by another process.
    """
    settings = (settings or TrainingSettings()).replace(**changes)
    if init is not None:
        init = init if isinstance(init, Student) else load_student(init)
        settings = settings_from(init, settings)
    check_is_graph(data)
    data.check()
    seeds = training_nodes(data, settings.protocol)
    labelled = labelled_nodes(data, settings)
    _check(data, seeds, labelled, settings)
    run = _Run(data, seeds, labelled, settings, pick_device(device), init)
    if checkpoint is None:
        _run_epochs(run, None, progress=progress)
    else:
        with working(Path(checkpoint).expanduser() / "training", run.asked) as folder:
            run.resume(folder / "checkpoint.pt")
            _run_epochs(run, folder / "checkpoint.pt", progress=progress)
    return run.finish()


def settings_from(init: Student, settings: TrainingSettings) -> TrainingSettings:
    """Settings with backbone, width and normalisation of an initial student, where they are not given."""
    own = {"backbone": init.info["backbone"], "width": init.width, "normalise": init.standardise.normalise}
    return settings.replace(**{name: value for name, value in own.items() if name not in settings.given})


def asked_of_training(data: ClipGraph, settings: TrainingSettings, init: Student | None = None) -> dict[str, Any]:
    """All inputs that decide the result of a training, as JSON values."""
    return {
        "settings": settings.asked(),
        "init": None if init is None else weights_hash(init),
        **asked_of_data(data),
    }


def asked_of_data(data: ClipGraph) -> dict[str, Any]:
    """The part of `asked_of_training` that several trainings on one graph share; it hashes the whole graph."""
    return {
        "data": data_hash(data.table, data.emb),
        "edges": content_hash(data.edge_index.numpy().tobytes(), data.edge_weight.numpy().tobytes()),
        "features": data.meta.features.asked(),
    }


def _run_epochs(run: "_Run", checkpoint: Path | None, *, progress: bool) -> None:
    """Train the epochs that are missing."""
    bar = progress_bar(
        total=run.settings.epochs,
        initial=len(run.history),
        desc=f"training {_title(run.settings)}",
        unit="epoch",
        disable=not (progress and is_first()),
    )
    with bar:
        while len(run.history) < run.settings.epochs:
            row = run.epoch()
            bar.set_postfix_str(_shown(row), refresh=False)
            bar.update()
            if checkpoint is not None and is_first():
                run.save(checkpoint)


class _Run:
    """One training: everything that changes from epoch to epoch, and how it is stored."""

    def __init__(
        self,
        data: ClipGraph,
        seeds: Tensor,
        labelled: Tensor,
        settings: TrainingSettings,
        device: torch.device,
        init: Student | None = None,
    ) -> None:
        self.data, self.settings, self.device, self.group = data, settings, device, processes()
        self.asked = asked_of_training(data, settings, init)
        self._check_group(int(seeds.sum()))
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.student = self._new_student(seeds, labelled, init).to(device)
        # 1.3 to 1.5 times faster on CPUs and GPUs; torch's stubs do not know this form of `to`.
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.student) if settings.schedule == "cosine" else None
        view = training_view(data, seeds, labelled, settings)
        self.voices = known_voices(data, settings.normalise, group=self.group)
        self.method = make_method(view, settings).to(device)
        self.model: Student | Spread = self.student
        if not self.group.alone:
            join_batch_norms(self.student, self.group)
            self.model = Spread(self.student, data.x, self.group)
            view.x = torch.arange(len(data.y))  # each process reads only its share
        self.generator = torch.Generator()
        self.loader = self._new_loader(view, seeds, labelled)
        self.optimiser = make_optimiser(
            [*self.student.parameters(), *self.method.parameters()], settings.schedule, settings.learning_rate
        )
        steps = len(self.loader) * settings.epochs
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimiser, lambda step: rate_at(settings.schedule, step, steps, settings.epochs)
        )
        self.counted = self._drawn(seeds & _corpus_originals(data, labelled))
        self.dev = data.val_mask.nonzero()[:, 0] if settings.protocol == "clean" else torch.empty(0)

    def _check_group(self, n_seeds: int) -> None:
        self.group.check_enough(n_seeds, "training clips")
        self.group.check_same(int(content_hash(self.asked)[:12], 16), "data and settings")

    def _new_student(self, seeds: Tensor, labelled: Tensor, init: Student | None) -> Student:
        data, settings = self.data, self.settings
        original = torch.from_numpy(originals(data.table))
        info = {
            "settings": settings.model_dump(),
            "data_hash": data.meta.data_hash,
            "corpus": data.meta.corpus,
            "graph": {
                "settings": data.meta.settings.model_dump(mode="json"),
                "epsilon": data.meta.measured.epsilon,
                "n_edges": data.meta.measured.n_edges,
            },
            "n_train": int((seeds & original).sum()),
            "n_labelled": int((labelled & original).sum()),
            "n_unlabelled": int((seeds & ~labelled & original).sum()),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            student = Student(
                settings.backbone,
                data.emotions,
                data.meta.features,
                info,
                transfer=settings.transfer,
                width=settings.width,
            )
        rows = (seeds & _corpus_originals(data, labelled)).nonzero()[:, 0]
        student.standardise = Standardise.fit(
            data.x, rows, normalise=settings.normalise, speaker=data.speaker, group=self.group
        )
        if init is not None:
            start_from(student, init)
        if student.needs_teacher:
            student.info["teacher"] = data.meta.upstream and data.meta.upstream.fingerprint
        if settings.augment != "none":
            student.augment = Augmentation(settings.augment)
        return student

    def _new_loader(self, view: ClipGraph, seeds: Tensor, labelled: Tensor) -> NeighborLoader:
        settings = self.settings
        # If the method does not forward neighbours, the loader reads seeds only.
        n = (settings.n_neighbors or -1) if self.method.samples_neighbours else 0
        order: dict[str, Any] = {"batch_size": settings.batch_size, "shuffle": True}
        known = seeds & (self.data.y >= 0) & torch.from_numpy(originals(self.data.table))
        steps = max(math.ceil(int(known.sum()) / settings.batch_size), settings.epoch_steps)
        as_they_are = bool(labelled[seeds].all()) and steps == math.ceil(int(seeds.sum()) / settings.batch_size)
        if not as_they_are:
            unlabelled = ~labelled[seeds] if settings.uses_unlabelled else torch.zeros_like(labelled[seeds])
            speakers = self.data.speaker[seeds][unlabelled]
            order = {
                "batch_sampler": LabelledBatches(
                    labelled[seeds].nonzero()[:, 0],
                    unlabelled.nonzero()[:, 0],
                    balance(speakers),
                    steps,
                    settings.batch_size,
                    settings.unlabelled_ratio,
                    self.generator,
                )
            }
        return NeighborLoader(
            view,
            [n],
            neighbor_sampler=TopNeighborSampler(view, [n]),
            input_nodes=seeds,
            generator=self.generator,
            **order,
        )

    def _drawn(self, rows: Tensor) -> Tensor:
        """[M] int64 numbers of some clips [N] bool in a random order that follows from the seed."""
        generator = torch.Generator().manual_seed(self.settings.seed)
        numbers = rows.nonzero()[:, 0]
        return numbers[torch.randperm(len(numbers), generator=generator)]

    def epoch(self) -> dict[str, float]:
        """Train one epoch, measure on dev, append to the history and return its row."""
        number, start = len(self.history), time.perf_counter()
        # Seeded by epoch, so that a resumed run shuffles like an uninterrupted run.
        self.generator.manual_seed(int(content_hash(self.settings.seed, number)[:15], 16))
        if self.student.augment is not None:
            self.student.augment.start_epoch(self.settings.seed, number, self.group.rank)
        self.student.train()
        rate = self.optimiser.param_groups[0]["lr"]
        steps = [self._step(batch) for batch in self.loader]
        total = torch.zeros(len(steps[0]))
        for step in steps:
            total += torch.tensor(list(step.values()))
        sums = dict(zip(steps[0], total.tolist(), strict=True))
        counted = {name: sums.pop(name) for name in _COUNTED if name in sums}
        row = {
            "epoch": number + 1,
            "learning_rate": rate,
            **{name: value / len(steps) for name, value in sums.items()},
            "edge_coverage": counted["covered"] / counted["n_seeds"],
        }
        if "edges" in counted:
            row["edges_used"] = counted["edges_used"] / max(counted["edges"], 1)
        if "staleness" in counted:
            row["staleness"] = counted["staleness"] / max(counted["edges_used"], 1)
        if not math.isfinite(row["loss"]):
            raise InputError(f"The loss is not finite in epoch {number + 1}; lower learning_rate or alpha")
        if self.settings.learns_from == "nsl" and counted["covered"] == 0 and number == 0:
            warn("No training clip has a neighbour: alpha has no effect; lower epsilon")
        row.update(self._measure_on_dev())
        row["seconds"] = time.perf_counter() - start
        self.history.append(row)
        self._keep_best(row)
        return row

    def _step(self, batch: Any) -> dict[str, float]:
        """One optimiser step; returns each term of the loss, seeds with an edge, and seeds."""
        settings, n = self.settings, batch.batch_size
        labels = batch.y[:n]
        batch = batch.to(self.device)
        if self.voices is not None:
            batch.voice = self._known_voices(batch.n_id.cpu()).to(self.device)
        with autocast(self.device, settings.precision):
            step = self.method(self.model, batch)
        supervised = functional.cross_entropy(
            step.outputs.logits[:n].float(), labels.to(self.device), ignore_index=-1, reduction="sum"
        )
        if settings.reduction == "mean":
            supervised = supervised / max(int((labels >= 0).sum()), 1)
        loss, terms = supervised, {"supervised_loss": supervised.item()}
        term = self.method.loss(step, batch)
        if term is not None:
            loss = loss + settings.weight * term
            terms[f"{settings.method}_loss"] = term.item()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if isinstance(self.model, Spread):
            self.model.add_gradients()
        self.optimiser.step()
        self.scheduler.step()
        if self.average is not None:
            self.average.update_parameters(self.student)
        return {
            "loss": loss.item(),
            **terms,
            "covered": len(step.edge_index[1].unique()),
            "n_seeds": n,
            **step.numbers,
        }

    def _known_voices(self, nodes: Tensor) -> Tensor:
        """[R, 3, n_mels] statistics of the clips' speakers, some of them forgotten."""
        return forget_some(cast(Voices, self.voices).of(nodes), self.generator)

    def kept(self) -> Student:
        """The student to evaluate or keep: with averaged weights and their statistics, if weights are averaged."""
        if self.average is None:
            return self.student
        return self.average.with_statistics(self.data.x, self.counted, self.voices, self.settings.precision)

    def _measure_on_dev(self) -> dict[str, float]:
        """Accuracy and UAR on dev if due: always to keep the best epoch, else `_LOOKS` times and after the last."""
        epoch = len(self.history) + 1
        is_last = epoch == self.settings.epochs
        is_due = self.settings.keep == "best" or epoch % max(self.settings.epochs // _LOOKS, 1) == 0
        rows = self.dev[self.data.y[self.dev] >= 0] if len(self.dev) else self.dev
        if not len(rows) or not (is_last or is_due):
            return {}
        self.measured = self.kept()
        share = rows[self.group.share(len(rows))]
        mine = predict_outputs(
            self.measured,
            self.data.x,
            share,
            emb=self.data.emb,
            voices=self.voices,
            precision=self.settings.precision,
        ).logits
        logits = self.group.gather(mine, len(rows))
        true, predicted = self.data.y[rows], logits.argmax(1)
        recall = recall_score(true, predicted, labels=true.unique(), average="macro", zero_division=0)
        return {"dev_uar": float(recall), "dev_accuracy": float((true == predicted).double().mean())}

    def _keep_best(self, row: dict[str, float]) -> None:
        """Remember the weights of the best epoch on dev; the earliest if several are equal."""
        if self.settings.keep != "best" or "dev_uar" not in row:
            return
        earlier = [past["dev_uar"] for past in self.history[:-1]]
        if row["dev_uar"] > max(earlier, default=-1.0):
            state = self.measured.state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in state.items()}

    def finish(self) -> Student:
        """The student with the weights to keep."""
        student = copy.deepcopy(self.kept()).to("cpu")
        part_batch_norms(student)
        student.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        epoch = len(self.history)
        if self.best is not None:
            student.load_state_dict(self.best)
            scores = [row["dev_uar"] for row in self.history]
            epoch = scores.index(max(scores)) + 1
        student.info.update(history=self.history, epoch=epoch)
        student.augment = None
        return student.eval()

    def save(self, path: Path) -> None:
        """Write the state after an epoch."""
        state = {
            "history": self.history,
            "best": self.best,
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        with atomic_file(path) as part:
            torch.save(state, part)

    def _parts(self) -> dict[str, Any]:
        """All parts with a state to store."""
        parts = {
            "student": self.student,
            "method": self.method,
            "optimiser": self.optimiser,
            "scheduler": self.scheduler,
        }
        return parts if self.average is None else {**parts, "average": self.average}

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint, if there is one."""
        self.group.wait()  # until the first process has removed the state of another training
        self._resume(path)
        self.group.check_same(len(self.history), f"the epochs stored in {path}")

    def _resume(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            history, best = _History(rows=state["history"]).rows, state["best"]
            if best is not None:
                self.student.load_state_dict(best)
                check_finite(self.student)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            check_finite(self.student)
        except Exception as error:  # torch raises many kinds for a damaged file and for a wrong structure
            reason = f"{type(error).__name__}: {one_line(error)[:200]}"
            raise InputError(
                f"The checkpoint {path} is damaged ({reason}); delete it to start the training anew"
            ) from None
        self.history, self.best = history, best


def forget_some(voices: Tensor, generator: torch.Generator) -> Tensor:
    """Voices [R, 3, n_mels], some of them zeros: a new voice, as first on a device."""
    unknown = torch.rand(len(voices), generator=generator) < UNKNOWN_VOICES
    return torch.where(unknown[:, None, None], 0.0, voices)


def _corpus_originals(data: ClipGraph, labelled: Tensor) -> Tensor:
    return torch.from_numpy(corpus_originals(data.table, labelled.numpy()))


class _History(Record):
    """The history in a checkpoint, a row per finished epoch."""

    rows: list[dict[str, int | float]] = Field(description="numbers by name, for each epoch", min_length=1)


def _check(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> None:
    check_transfer(settings.transfer, data.emb, settings.width)
    if not settings.uses_graph:
        return
    graph = data.meta.settings
    if (settings.n_neighbors or 0) > graph.n_neighbors:
        raise InputError(
            f"Bad n_neighbors {settings.n_neighbors}, expected at most {graph.n_neighbors}, as many as the graph "
            "has; build a graph with more neighbours"
        )
    if settings.protocol == "paper" and graph.scope == "train":
        warn(
            "protocol='paper' also trains on dev, but dev clips have no edges in this graph; build the graph with "
            "scope='train+dev'"
        )
    if settings.transductive:
        return
    source, target = data.edge_index
    outside = source[seeds[target] & ~seeds[source]]
    if len(outside):
        file = data.table.index[int(outside[0])]
        raise InputError(
            f"{len(outside)} edges join training clips to other clips, e.g. {file}; build the graph with "
            "scope='train' (protocol clean) or 'train+dev' (protocol paper), or pass transductive=True"
        )


def _title(settings: TrainingSettings) -> str:
    backbone = settings.backbone if settings.width == 1 else f"{settings.backbone} x {settings.width:g}"
    if settings.transfer != "none":
        return f"{backbone} transfer by {settings.transfer}"
    return f"{backbone} {settings.learns_from or 'baseline'}" + (
        f", alpha {settings.weight:g}" if settings.weight else ""
    )


def _shown(row: dict[str, float]) -> str:
    shown = {"loss": "loss", "edge_coverage": "coverage", "dev_uar": "dev UAR"}
    return ", ".join(f"{name} {row[key]:.3f}" for key, name in shown.items() if row.get(key))
