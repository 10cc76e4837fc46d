"""Waveforms -> embeddings: the output of a layer (by default the projector), averaged over the frames of a clip."""

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ser_graph.audio.clips import clip_paths, clip_speeds
from ser_graph.audio.reading import fit_length, load_waveform
from ser_graph.audio.settings import SAMPLE_RATE
from ser_graph.common.devices import Precision, autocast, pick_device
from ser_graph.common.distributed import processes
from ser_graph.common.files import atomic_file
from ser_graph.common.hashing import content_hash
from ser_graph.common.processes import is_first
from ser_graph.common.progress import progress_bar
from ser_graph.common.warning import warn
from ser_graph.corpora.adapter import check_is_clip_table
from ser_graph.errors import InputError
from ser_graph.upstream.settings import EmbeddingSettings, Layer, OneLayer

if TYPE_CHECKING:
    from ser_graph.upstream.model import Upstream

_SHARD = 256  # number of clips between two writes to the cache


def embed(
    upstream: "Upstream",
    table: pd.DataFrame,
    settings: EmbeddingSettings,
    *,
    root: str | Path | None,
    cache: str | Path | None,
    device: str | None,
    progress: bool,
) -> Tensor:
    """See `Upstream.embed`."""
    check_is_clip_table(table)
    if not len(table):
        raise InputError("No clip to embed; give a table with clips")
    check_layer(upstream, settings.layer)
    warn_if_untrained(upstream, settings.layer)
    group = processes()
    group.check_enough(len(table), "clips to embed")
    share = group.share(len(table))
    paths, speeds = clip_paths(table, root)[share], clip_speeds(table)[share]
    n_samples = None if settings.seconds == "own" else length_in_samples(upstream, settings.seconds)
    store = _Cache(cache, upstream, settings)
    target = pick_device(device)
    upstream.model.to(target).eval()
    with progress_bar(
        total=len(paths), desc="embedding", unit="clip", disable=not (progress and is_first()), delay=1
    ) as bar:
        for start in range(0, len(paths), _SHARD):
            shard = paths[start : start + _SHARD]
            waveforms = _load(shard, speeds[start : start + _SHARD], n_samples)
            _check_long_enough(upstream, shard, waveforms)
            keys = [_key(waveform) for waveform in waveforms]
            new = {key: wave for key, wave in zip(keys, waveforms, strict=True) if key not in store}
            found = len(shard) - len(new)
            bar.update(found)
            for batch in _batches(upstream, new, settings.batch_size):
                emb = _forward(upstream, [new[key] for key in batch], settings.precision, settings.layer)
                store.add(batch, emb.float().cpu())
                bar.update(len(batch))
            store.keep(keys)
            store.write()
    embeddings = group.gather(store.rows(), len(table))
    if not torch.isfinite(embeddings).all():
        row = int((~torch.isfinite(embeddings).all(1)).nonzero()[0])
        raise InputError(
            f"The embedding of {table.index[row]} is not finite; listen to the clip, or try precision='float32'"
        )
    return embeddings


def embed_waveforms(upstream: "Upstream", waveforms: list[Tensor], settings: EmbeddingSettings) -> Tensor:
    """[N, D] float32 embeddings of N waveforms [n] at 16 kHz in memory, by a model in evaluation mode."""
    if settings.seconds != "own":
        n_samples = length_in_samples(upstream, settings.seconds)
        waveforms = [fit_length(waveform, n_samples) for waveform in waveforms]
    named = {str(number): waveform for number, waveform in enumerate(waveforms)}
    found: dict[str, Tensor] = {}
    for batch in _batches(upstream, named, settings.batch_size):
        emb = _forward(upstream, [named[name] for name in batch], settings.precision, settings.layer)
        found.update(zip(batch, emb.float().cpu(), strict=True))
    return torch.stack([found[name] for name in named])


def length_in_samples(upstream: "Upstream", seconds: float) -> int:
    """The length of clips for a model in samples, at most the longest input of the model."""
    wanted = round(seconds * SAMPLE_RATE)
    return min(wanted, upstream.max_samples or wanted)


def check_layer(upstream: "Upstream", layer: Layer) -> None:
    """Refuse a layer that the model lacks."""
    n_layers = upstream.n_layers
    for one in _listed(layer):
        if one != "projector" and not (isinstance(one, int) and -n_layers - 1 <= one <= n_layers):
            raise InputError(f"Bad layer {one!r}, expected 'projector', or a layer from 0 to {n_layers}")


def warn_if_untrained(upstream: "Upstream", layer: Layer) -> None:
    """Warn of a layer with random weights, whose embeddings say nothing."""
    untrained = set(upstream.info.get("untrained", ()))
    first = "fine-tune it first (upstream.finetune, or ser-graph finetune)"
    if untrained.issuperset(upstream.model.state_dict()):
        warn(f"No layer of this upstream is trained: its embeddings are random; {first}")
    elif any(key.startswith("projector.") for key in untrained) and "projector" in _listed(layer):
        warn(
            f"The projector of this upstream is untrained: its embeddings are random; {first}, or embed with the "
            "mean of a layer of its encoder (layer=-1, or --layer -1)"
        )


def _listed(layer: Layer) -> list[OneLayer]:
    return layer if isinstance(layer, list) else [layer]


def _load(paths: list[Path], speeds: list[float], n_samples: int | None) -> list[Tensor]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        waveforms = list(pool.map(load_waveform, paths, itertools.repeat(SAMPLE_RATE), speeds))
    return waveforms if n_samples is None else [fit_length(waveform, n_samples) for waveform in waveforms]


def _check_long_enough(upstream: "Upstream", paths: list[Path], waveforms: list[Tensor]) -> None:
    if upstream.max_samples:
        return
    lengths = torch.tensor([len(waveform) for waveform in waveforms])
    too_short = upstream.model._get_feat_extract_output_lengths(lengths) < 1
    if too_short.any():
        row = int(too_short.nonzero()[0])
        raise InputError(
            f"{paths[row]} is too short for the model ({lengths[row]} samples); set seconds= to repeat the clip"
        )


def _key(waveform: Tensor) -> str:
    return content_hash(waveform.numpy().data)


def _batches(upstream: "Upstream", waveforms: dict[str, Tensor], size: int) -> Iterator[list[str]]:
    """Batches of clips of similar lengths, or of equal lengths if padding would change the embedding of a clip.

    Padding changes the embedding if the model takes no attention mask. It also does, even with a mask, if the
    convolutions normalise over the time axis (group norm: wav2vec 2.0, HuBERT and WavLM base).
    """
    by_length = sorted(waveforms, key=lambda key: len(waveforms[key]))
    over_time = getattr(upstream.model.config, "feat_extract_norm", "group") == "group"
    takes_mask = bool(upstream.extractor.return_attention_mask)
    mixed = upstream.max_samples is not None or (takes_mask and not over_time)
    batch: list[str] = []
    for key in by_length:
        full = len(batch) == size
        if batch and (full or (not mixed and len(waveforms[batch[0]]) != len(waveforms[key]))):
            yield batch
            batch = []
        batch.append(key)
    if batch:
        yield batch


@torch.inference_mode()
def _forward(upstream: "Upstream", waveforms: list[Tensor], precision: Precision, layer: Layer) -> Tensor:
    """[B, D] mean output of a layer, or of the projector, over the frames of each clip without padding."""
    inputs = upstream.extractor(
        [waveform.numpy() for waveform in waveforms],
        sampling_rate=SAMPLE_RATE,
        padding="max_length" if upstream.max_samples else True,
        return_tensors="pt",
    ).to(upstream.model.device)
    with autocast(upstream.model.device, precision):  # without the extractor: Whisper's computes log-mels
        parts = _layer_outputs(upstream, inputs, _listed(layer))
    frames = torch.cat([part.float() for part in parts], -1)  # [B, n_frames, D]
    lengths = torch.tensor([len(waveform) for waveform in waveforms], device=frames.device)
    n_frames = _frame_counts(upstream, lengths, frames.shape[1])
    valid = torch.arange(frames.shape[1], device=frames.device) < n_frames[:, None]
    return (frames * valid[..., None]).sum(1) / n_frames[:, None]


class _Reached(Exception):  # noqa: N818  (it is no error)
    """The forward pass has reached the last wanted layer."""


def _layer_outputs(upstream: "Upstream", inputs: Any, layers: list[OneLayer]) -> list[Tensor]:
    """[B, n_frames, D] outputs of layers, in the given order.

    If only inner layers are wanted, the forward pass ends after the last of them. The output of such a layer is the
    input of the next layer. (The last layer is different: a normalisation follows it.)
    """
    model, n_layers = upstream.model, upstream.n_layers
    depths = [one if isinstance(one, str) or one >= 0 else one + n_layers + 1 for one in layers]
    inner = [depth for depth in depths if isinstance(depth, int) and depth < n_layers]
    seen: dict[int | str, Tensor] = {}
    hooks = [model.projector.register_forward_hook(lambda _module, _inputs, output: seen.update(projector=output))]

    def note(depth: int, hidden: Tensor) -> None:
        seen[depth] = hidden
        if len(inner) == len(depths) and depth == max(inner):
            raise _Reached

    blocks = next(module for name, module in model.named_modules() if name.endswith("encoder.layers"))
    for depth in set(inner):

        def before(_block: Any, given: tuple[Any, ...], named: dict[str, Any], depth: int = depth) -> None:
            note(depth, given[0] if given else named["hidden_states"])

        hooks.append(blocks[depth].register_forward_pre_hook(before, with_kwargs=True))
    try:
        output = model(**inputs, output_hidden_states=n_layers in depths)
        if n_layers in depths:
            seen[n_layers] = output.hidden_states[-1]
    except _Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return [seen[depth] for depth in depths]


def _frame_counts(upstream: "Upstream", lengths: Tensor, n_frames: int) -> Tensor:
    """The number of output frames, at most `n_frames`, of clips of these lengths in samples."""
    if upstream.max_samples:  # Whisper: a fixed window, divided evenly
        counts = (lengths * n_frames + upstream.max_samples - 1) // upstream.max_samples
    else:
        counts = upstream.model._get_feat_extract_output_lengths(lengths)
    return counts.clamp(1, n_frames)


class _Cache:
    """Embeddings by content: in memory for this call, and as shards in a folder for the next call."""

    def __init__(self, folder: str | Path | None, upstream: "Upstream", settings: EmbeddingSettings) -> None:
        self._folder: Path | None = None
        self._known: dict[str, Tensor] = {}
        self._unwritten: list[str] = []
        self._order: list[str] = []
        if folder is not None:
            self._folder = Path(folder).expanduser() / content_hash(upstream.fingerprint(), settings.asked())
            for shard in sorted(self._folder.glob("*.safetensors")):
                self._read(shard)

    def _read(self, shard: Path) -> None:
        try:
            tensors = load_file(shard)
        except Exception as error:  # safetensors has its own exceptions for a damaged file
            raise InputError(f"The embedding cache file {shard} is damaged ({error}); delete it") from None
        keys = [bytes(row).hex() for row in tensors["key"].numpy()]
        self._known.update(zip(keys, tensors["emb"], strict=True))

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def add(self, keys: list[str], embeddings: Tensor) -> None:
        self._known.update(zip(keys, embeddings, strict=True))
        self._unwritten += keys

    def keep(self, keys: list[str]) -> None:
        """Remember the order of the table."""
        self._order += keys

    def write(self) -> None:
        if self._folder is None or not self._unwritten:
            return
        keys = torch.tensor([list(bytes.fromhex(key)) for key in self._unwritten], dtype=torch.uint8)
        emb = torch.stack([self._known[key] for key in self._unwritten])
        with atomic_file(self._folder / f"{self._unwritten[0]}.safetensors") as part:
            save_file({"key": keys, "emb": emb}, part)
        self._unwritten = []

    def rows(self) -> Tensor:
        return torch.stack([self._known[key] for key in self._order])
