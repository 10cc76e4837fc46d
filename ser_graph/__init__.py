"""On-device speech emotion recognition by knowledge transfer through a graph.

A large speech model embeds the clips of a corpus; clips whose embeddings are close become neighbours; a small CNN
learns emotions from log-mel spectrograms with a loss that keeps neighbours close. The CNN alone is used on the
device.

    import ser_graph as sg

    source = sg.load_corpus("ravdess", "data/ravdess/raw")
    target = sg.load_corpus("emovo", "data/emovo/raw")
    upstream = sg.Upstream.from_pretrained("facebook/wav2vec2-base").finetune(source)
    data = sg.build_graph(target, upstream, epsilon=0.99, n_neighbors=6)
    student = sg.train(data, backbone="cnn6", alpha=0.1, layer="fc2")
    sg.evaluate(sg.predict(student, data, "test"))
"""

import importlib
from typing import Any

# Where each public name lives. Loaded on first use: torch, PyG and transformers take seconds to import.
_HOMES = {
    "EmotionGraph": "graph",
    "GraphSettings": "graph",
    "InputError": "errors",
    "LogMel": "audio",
    "LogMelSettings": "audio",
    "NeighborLoader": "graph",
    "Standardise": "audio",
    "Student": "downstream",
    "TrainingSettings": "downstream",
    "Upstream": "upstream",
    "add_clips": "graph",
    "bench": "edge.bench",
    "bootstrap_difference": "evaluation",
    "bridge_clips": "graph",
    "bridge_pairs": "graph",
    "build_graph": "graph",
    "check_clips": "audio.checking",
    "check_corpus": "audio.checking",
    "communities": "graph",
    "community_statistics": "graph",
    "confusion_matrix": "evaluation",
    "cross_validate": "cross_validation",
    "degree_distribution": "graph",
    "evaluate": "evaluation",
    "export": "edge.export",
    "gap_closed": "evaluation",
    "graph_card": "graph",
    "graph_layout": "inspection",
    "graph_report": "graph",
    "graph_statistics": "graph",
    "heard_curve": "evaluation",
    "holm": "evaluation",
    "homophily": "graph",
    "inspect": "inspection.view",
    "join_corpora": "corpora",
    "label_propagation": "evaluation",
    "labelled_nodes": "downstream",
    "leakage": "graph",
    "leave_speakers_out": "corpora",
    "listen": "edge.streaming",
    "load_corpus": "corpora",
    "load_graph": "graph",
    "load_recipe": "recipe",
    "load_student": "downstream",
    "log_mels": "audio",
    "make_backbone": "downstream",
    "make_corpus": "corpora.synthesis",
    "mcnemar": "evaluation",
    "mixing_matrix": "graph",
    "mixing_table": "graph",
    "near_duplicates": "graph",
    "nearest_neighbours_vote": "evaluation",
    "neighbour_loss": "downstream",
    "plot_confusion_matrix": "evaluation",
    "plot_confusions_beside_mixing": "inspection",
    "plot_degrees": "inspection",
    "plot_ego": "inspection",
    "plot_history": "evaluation",
    "plot_map": "inspection",
    "plot_mixing": "inspection",
    "plot_neighbours": "inspection",
    "plot_similarities": "inspection",
    "plot_spectrogram": "inspection",
    "predict": "edge.prediction",
    "run": "experiment",
    "save_graph": "graph",
    "score_clips": "graph",
    "speaker_split": "corpora",
    "subgraph_statistics": "graph",
    "teacher_probe": "evaluation",
    "to_networkx": "graph",
    "train": "downstream",
    "two_proportion_z": "evaluation",
    "with_copies": "corpora",
    "write_page": "inspection.page",
    "write_report": "evaluation",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ser_graph' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"ser_graph.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
