"""A graph neural network as the teacher of a student that has no graph: GLNN.

Zhang et al., "Graph-less Neural Networks: Teaching Old MLPs New Tricks via Distillation", ICLR 2022 (arXiv
2110.08727). The network sees the embeddings of a clip and of its neighbours. The student learns its class
probabilities, and needs neither embeddings nor neighbours.
"""

from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

HIDDEN = 64
LAYERS = 2
DROPOUT = 0.5
STEPS = 100
"""Number of steps, on all clips at once. It is fixed, because labels of dev must not teach the student."""
LEARNING_RATE = 0.01
WEIGHT_DECAY = 5e-4


def gnn_log_probs(emb: Tensor, edge_index: Tensor, y: Tensor, n_classes: int, seed: int) -> Tensor:
    """Log probabilities of classes by GraphSAGE, trained on the labelled clips of a graph.

    The labels `y` [N] are -1 where the training may not use them; `seed` is that of the initial weights and the
    dropout. The result is [N, K] float32 on the CPU, -inf for classes without a label.
    """
    from torch_geometric.nn import GraphSAGE  # which takes seconds to load

    known = y >= 0
    classes, target = y[known].unique(return_inverse=True)
    emb = (emb - emb.mean(0)) / emb.std(0).clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GraphSAGE(emb.shape[1], HIDDEN, LAYERS, out_channels=len(classes), dropout=DROPOUT)
        optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        for _ in range(STEPS):
            loss = functional.cross_entropy(model(emb, edge_index)[known], target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    model.eval()
    with torch.no_grad():
        found = cast(Tensor, model(emb, edge_index)).log_softmax(1)
    log_probs = torch.full((len(emb), n_classes), -torch.inf)
    log_probs[:, classes] = found
    return log_probs
