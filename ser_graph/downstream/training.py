"""`ClipGraph` -> trained student: cross entropy plus what the graph and the teacher say of clips.

Under ``torchrun`` or ``accelerate`` the processes share each batch and give the result of one; see `spreading`.
"""

import math
import time
import warnings
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from sklearn.metrics import recall_score
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.utils import subgraph
from tqdm.auto import tqdm

from ser_graph.audio.features import Standardise
from ser_graph.audio.log_mel import LogMelSettings
from ser_graph.devices import autocast, pick_device
from ser_graph.downstream.augmentation import Augmentation
from ser_graph.downstream.backbones import FC1, Output, scaled
from ser_graph.downstream.batches import LabelledBatches, PartitionBatches
from ser_graph.downstream.labels import known_settings, labelled_nodes, training_nodes
from ser_graph.downstream.losses import distillation_loss, regression_loss, similarity_loss
from ser_graph.downstream.neighbour_loss import alpha_at, neighbour_loss
from ser_graph.downstream.pooling import pool_first, relu_first
from ser_graph.downstream.prediction import predict_logits
from ser_graph.downstream.settings import TrainingSettings
from ser_graph.downstream.spreading import Spread, join_batch_norms, part_batch_norms
from ser_graph.downstream.strategies import make_strategy
from ser_graph.downstream.student import Student
from ser_graph.downstream.teacher import training_view
from ser_graph.downstream.transfer import check_transfer
from ser_graph.errors import InputError
from ser_graph.files import atomic_file, content_hash
from ser_graph.graph import ClipGraph, NeighborLoader, TopNeighborSampler, partition
from ser_graph.memory import keep_freed_memory
from ser_graph.processes import is_first, processes

PARTS_PER_BATCH = 4  # of strategy "partition": keeps classes mixed
_COUNTED = ("covered", "n_seeds", "edges", "edges_used", "staleness")  # sums over an epoch, not means of steps


def train(
    data: ClipGraph,
    settings: TrainingSettings | None = None,
    *,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    progress: bool = True,
    **changes: Any,
) -> Student:
    """Train a student on a graph; with ``alpha=0`` its baseline, by the very same code.

    Args:
        data: the graph.
        settings: how to train.
        checkpoint: a file that is written after every epoch. A call that finds one of the same data and
            settings there continues it, and ends where the uninterrupted run would have. Several processes
            need one that all can read.
        device: e.g. ``"cpu"``; by default the GPU where there is one.
        progress: show a progress bar.
        **changes: single settings by name, e.g. ``backbone="cnn6", alpha=0``.

    Returns:
        The student, on the CPU and in evaluation mode. ``student.info["history"]`` has one row an epoch:
        `loss`, `supervised_loss`, `neighbour_loss`, and `similarity_loss`, `regression_loss`,
        `posteriors_loss` where they are used, each without its weight; `alpha` where it changes;
        `edge_coverage` (share of seeds with a neighbour to compare with), `edges_used` (share of their edges)
        and `staleness` (steps since the neighbours' outputs were remembered) where the strategy decides them,
        `dev_uar`.

    Raises:
        InputError: a bad setting, no labelled training clip, labels that `labelled_nodes` refuses, neighbours
            from outside the training clips, more processes than these, or one of them that ended.
    """
    settings = replace(settings or TrainingSettings(), **known_settings(changes))
    seeds = training_nodes(data, settings.protocol)
    labelled = labelled_nodes(data, settings)
    _check(data, seeds, labelled, settings)
    run = _Run(data, seeds, labelled, settings, pick_device(device))
    if checkpoint is not None:
        run.resume(Path(checkpoint))
    bar = tqdm(
        total=settings.epochs,
        initial=len(run.history),
        desc=_title(settings),
        unit="epoch",
        disable=not (progress and is_first()),
    )
    with bar:
        while len(run.history) < settings.epochs:
            row = run.epoch()
            bar.update()
            bar.set_postfix_str(_shown(row))
            if checkpoint is not None and is_first():
                run.save(Path(checkpoint))
    return run.finish()


class _Run:
    """One training: everything that changes from epoch to epoch, and how it is stored."""

    def __init__(
        self,
        data: ClipGraph,
        seeds: Tensor,
        labelled: Tensor,
        settings: TrainingSettings,
        device: torch.device,
    ) -> None:
        self.data, self.settings, self.device, self.group = data, settings, device, processes()
        self._check_group(int(seeds.sum()))
        if device.type == "cpu":
            keep_freed_memory()
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Tensor] | None = None
        self.student = self._new_student(seeds, labelled).to(device)
        self.head = self._new_head().to(device)
        # 1.3 to 1.5 times faster on CPUs and GPUs; torch's stubs do not know this form of `to`.
        self.student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pool_first(self.student)
        self.optimiser = torch.optim.Adam(
            [*self.student.parameters(), *self.head.parameters()], settings.learning_rate
        )
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimiser, settings.decay_every, settings.decay)
        self.generator = torch.Generator()
        view = training_view(data, seeds, labelled, settings)
        self.model: Student | Spread = self.student
        if not self.group.alone:
            join_batch_norms(self.student, self.group)
            self.model = Spread(self.student, data.x, self.group)
            view.x = torch.arange(len(data.y))  # each process reads no more than its share
        self.strategy = make_strategy(view, settings).to(device)
        self.loader = self._new_loader(view, seeds, labelled)
        self.dev = data.val_mask.nonzero()[:, 0] if settings.protocol == "clean" else torch.empty(0)

    def _check_group(self, n_seeds: int) -> None:
        self.group.check_enough(n_seeds, "training clips")
        self.group.check_same(int(self._identity()[:12], 16), "data and settings")

    def _new_student(self, seeds: Tensor, labelled: Tensor) -> Student:
        data, settings = self.data, self.settings
        info = {
            "settings": asdict(settings),
            "data_hash": data.meta["data_hash"],
            "corpus": data.meta["corpus"],
            "graph": {key: data.meta["graph"][key] for key in ("epsilon", "n_neighbors", "scope", "n_edges")},
            "n_train": int(seeds.sum()),
            "n_labelled": int(labelled.sum()),
            "n_unlabelled": int((seeds & ~labelled).sum()),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            features = LogMelSettings(**data.meta["features"])
            student = Student(
                settings.backbone,
                data.emotions,
                features,
                info,
                transfer=settings.transfer,
                width=settings.width,
            )
        student.standardise = Standardise.fit(data.x, seeds.nonzero()[:, 0], settings.normalise, group=self.group)
        if student.needs_teacher:
            student.info["teacher"] = (data.meta.get("upstream") or {}).get("fingerprint")
        if settings.spec_augment or settings.gain or settings.speed:
            student.augment = Augmentation(
                settings.spec_augment, settings.gain, settings.speed, floor=features.floor
            )
        return student

    def _new_head(self) -> nn.Module:
        """From `fc1` to the teacher's embedding; it is not needed after the training."""
        if not self.settings.regression:
            return nn.Identity()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            return nn.Linear(scaled(FC1, self.settings.width), self.data.emb.shape[1])

    def _new_loader(self, view: ClipGraph, seeds: Tensor, labelled: Tensor) -> NeighborLoader:
        settings = self.settings
        # Where nobody forwards neighbours, seeds are all that has to be read.
        n = (settings.n_neighbors or -1) if settings.alpha > 0 and self.strategy.samples_neighbours else 0
        order: dict[str, Any] = {"batch_size": settings.batch_size, "shuffle": True}
        if settings.alpha > 0 and settings.strategy == "partition":
            order = {"batch_sampler": self._new_partition(view, seeds)}
        elif not labelled[seeds].all():
            unlabelled = ~labelled[seeds] if settings.uses_unlabelled else torch.zeros_like(labelled[seeds])
            order = {
                "batch_sampler": LabelledBatches(
                    labelled[seeds].nonzero()[:, 0],
                    unlabelled.nonzero()[:, 0],
                    int((seeds & (self.data.y >= 0)).sum()),
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

    def _new_partition(self, view: ClipGraph, seeds: Tensor) -> PartitionBatches:
        settings = self.settings
        edge_index, edge_weight = subgraph(seeds, view.edge_index, view.edge_weight, True, num_nodes=len(seeds))
        size = max(settings.batch_size // PARTS_PER_BATCH, 1)
        part = partition(edge_index, int(seeds.sum()), size, edge_weight, seed=settings.seed)
        return PartitionBatches(part, settings.batch_size // size, self.generator)

    def epoch(self) -> dict[str, float]:
        """Train one epoch, measure on dev, append to the history and return its row."""
        number, start = len(self.history), time.perf_counter()
        # Seeded by epoch, so that a resumed run shuffles as the uninterrupted one.
        self.generator.manual_seed(int(content_hash(self.settings.seed, number)[:15], 16))
        if self.student.augment is not None:
            self.student.augment.start_epoch(self.settings.seed, number, self.group.rank)
        self.student.train()
        settings = self.settings
        alpha = alpha_at(settings.alpha, settings.alpha_schedule, number, settings.epochs)
        steps = [self._step(batch, alpha) for batch in self.loader]
        total = torch.zeros(len(steps[0]))
        for step in steps:
            total += torch.tensor(list(step.values()))
        sums = dict(zip(steps[0], total.tolist(), strict=True))
        counted = {name: sums.pop(name) for name in _COUNTED if name in sums}
        loss, covered, n_seeds = sums["loss"], counted["covered"], counted["n_seeds"]
        row = {
            "epoch": number + 1,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            **({} if settings.alpha_schedule == "constant" else {"alpha": alpha}),
            **{name: value / len(steps) for name, value in sums.items()},
            "edge_coverage": covered / n_seeds,
        }
        if "edges" in counted:
            row["edges_used"] = counted["edges_used"] / max(counted["edges"], 1)
        if "staleness" in counted:
            row["staleness"] = counted["staleness"] / max(counted["edges_used"], 1)
        if not math.isfinite(loss):
            raise InputError(f"The loss is not finite in epoch {number + 1}; lower learning_rate or alpha")
        if self.settings.alpha > 0 and covered == 0 and number == 0:
            warnings.warn("No training clip has a neighbour: alpha has no effect; lower epsilon", stacklevel=3)
        self.scheduler.step()
        row.update(self._measure_on_dev())
        row["seconds"] = time.perf_counter() - start
        self.history.append(row)
        self._keep_best(row)
        return row

    def _step(self, batch: Any, alpha: float) -> dict[str, float]:
        """One optimiser step; returns each term of the loss, seeds with an edge, and seeds."""
        settings, n = self.settings, batch.batch_size
        labels = batch.y[:n]
        batch = batch.to(self.device)
        with autocast(self.device, settings.precision):
            step = self.strategy(self.model, batch, settings.layer)
        outputs = step.outputs
        supervised = functional.cross_entropy(
            outputs.logits[:n].float(), labels.to(self.device), ignore_index=-1, reduction="sum"
        )
        if settings.reduction == "mean":
            supervised = supervised / max(int((labels >= 0).sum()), 1)
        neighbour = neighbour_loss(
            getattr(outputs, settings.layer),
            step.edge_index,
            step.edge_weight if settings.edge_weights else None,
            neighbours=step.neighbours,
            distance=settings.distance,
            reduction=settings.reduction,
        )
        loss = supervised + alpha * self.strategy.factor * neighbour
        taught = self._taught(outputs, batch, step.rows)
        for name, term in taught.items():
            loss = loss + getattr(settings, name) * term
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if isinstance(self.model, Spread):
            self.model.add_gradients()
        self.optimiser.step()
        return {
            "loss": loss.item(),
            "supervised_loss": supervised.item(),
            "neighbour_loss": neighbour.item(),
            **{f"{name}_loss": term.item() for name, term in taught.items()},
            "covered": len(step.edge_index[1].unique()),
            "n_seeds": n,
            **step.numbers,
        }

    def _taught(self, outputs: Output, batch: Any, rows: Tensor) -> dict[str, Tensor]:
        """The terms that compare with the teacher, by the setting that is their weight."""
        settings, n = self.settings, batch.batch_size
        terms = {}
        if settings.similarity:
            student, teacher = getattr(outputs, settings.layer), batch.teacher[rows].to(self.device)
            terms["similarity"] = similarity_loss(student, teacher, reduction=settings.reduction)
        if settings.regression:
            predicted, target = self.head(outputs.fc1[:n].float()), batch.target[:n].to(self.device)
            terms["regression"] = regression_loss(predicted, target, reduction=settings.reduction)
        if settings.posteriors:
            log_posteriors = batch.log_posteriors[:n].to(self.device)
            terms["posteriors"] = distillation_loss(
                outputs.logits[:n], log_posteriors, settings.temperature, reduction=settings.reduction
            )
        return terms

    def _measure_on_dev(self) -> dict[str, float]:
        rows = self.dev[self.data.y[self.dev] >= 0] if len(self.dev) else self.dev
        if not len(rows):
            return {}
        share = rows[self.group.share(len(rows))]
        mine = predict_logits(
            self.student, self.data.x, share, emb=self.data.emb, precision=self.settings.precision
        )
        logits = self.group.gather(mine, len(rows))
        true, predicted = self.data.y[rows], logits.argmax(1)
        recall = recall_score(true, predicted, labels=true.unique(), average="macro", zero_division=0)
        return {"dev_uar": float(recall), "dev_accuracy": float((true == predicted).double().mean())}

    def _keep_best(self, row: dict[str, float]) -> None:
        """Remember the weights of the best epoch on dev; the earliest of equal ones."""
        earlier = [past["dev_uar"] for past in self.history[:-1] if "dev_uar" in past]
        if "dev_uar" in row and row["dev_uar"] > max(earlier, default=-1.0):
            self.best = {name: value.detach().cpu().clone() for name, value in self.student.state_dict().items()}

    def finish(self) -> Student:
        """The student with the weights to keep."""
        student = self.student.to("cpu")
        part_batch_norms(student)
        relu_first(student)
        student.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        chosen = len(self.history)
        if self.best is not None:
            student.load_state_dict(self.best)
            scores = [row["dev_uar"] for row in self.history]
            chosen = scores.index(max(scores)) + 1
        student.info.update(history=self.history, epoch=chosen)
        student.augment = None
        return student.eval()

    def _identity(self) -> str:
        return content_hash(self.settings.changes, self.data.meta["data_hash"], self.data.meta["graph"])

    def save(self, path: Path) -> None:
        """Write the state after an epoch."""
        state = {
            "identity": self._identity(),
            "features": self.data.meta["features"],
            "student": self.student.state_dict(),
            "head": self.head.state_dict(),
            "strategy": self.strategy.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "history": self.history,
            "best": self.best,
        }
        with atomic_file(path) as part:
            torch.save(state, part)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of this very run; another one is left alone until overwritten."""
        self._resume(path)
        self.group.check_same(len(self.history), f"the epochs stored in {path}")

    def _resume(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file
            raise InputError(
                f"The checkpoint {path} is damaged, delete it ({str(error).splitlines()[0]})"
            ) from None
        if not isinstance(state, dict) or "identity" not in state:
            raise InputError(f"{path} is not a checkpoint of a training; give another name")
        features = self.data.meta["features"]
        if state["identity"] != self._identity() or state.get("features", features) != features:
            return
        self.student.load_state_dict(state["student"])
        self.head.load_state_dict(state["head"])
        self.strategy.load_state_dict(state.get("strategy", {}))
        self.optimiser.load_state_dict(state["optimiser"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.history, self.best = state["history"], state["best"]


def _check(data: ClipGraph, seeds: Tensor, labelled: Tensor, settings: TrainingSettings) -> None:
    check_transfer(settings.transfer, data.emb, settings.width)
    if settings.strategy == "partition" and settings.alpha and not labelled[seeds].all():
        raise InputError(
            f"strategy='partition' needs every training clip labelled, {int((seeds & ~labelled).sum())} are not; "
            "take 'bank'"
        )
    if settings.alpha == 0:
        return
    graph = data.meta["graph"]
    if (settings.n_neighbors or 0) > graph.get("n_neighbors", math.inf):
        raise InputError(
            f"Bad n_neighbors {settings.n_neighbors}, expected at most {graph['n_neighbors']}, which the graph "
            "holds; build one with more"
        )
    if settings.protocol == "paper" and graph.get("scope") == "train":
        warnings.warn(
            "protocol='paper' trains on dev too, whose clips have no edge in this graph; build it with "
            "scope='train+dev'",
            stacklevel=3,
        )
    if settings.transductive:
        return
    source, target = data.edge_index
    outside = source[seeds[target] & ~seeds[source]]
    if len(outside):
        file = data.table.index[int(outside[0])]
        raise InputError(
            f"{len(outside)} edges lead from training clips to others, e.g. {file}; build the graph with "
            "scope='train' (protocol clean) or 'train+dev' (protocol paper), or pass transductive=True"
        )


def _title(settings: TrainingSettings) -> str:
    weights = {"NSL, alpha": settings.alpha}
    weights |= {name: getattr(settings, name) for name in ("similarity", "regression", "posteriors")}
    kinds = [f"{name} {weight:g}" for name, weight in weights.items() if weight]
    if settings.transfer != "none":
        kinds.append(f"transfer by {settings.transfer}")
    backbone = settings.backbone if settings.width == 1 else f"{settings.backbone} x {settings.width:g}"
    return f"{backbone} {', '.join(kinds) or 'baseline'}"


def _shown(row: dict[str, float]) -> str:
    shown = {"loss": "loss", "neighbour_loss": "neighbour", "edge_coverage": "coverage", "dev_uar": "dev UAR"}
    return ", ".join(f"{name} {row[key]:.3f}" for key, name in shown.items() if key in row)
