"""Train a student on a graph of clips with a plain training loop. Copy this file to start your own.

    python examples/train_nsl.py                                          built-in, synthetic speech
    python examples/train_nsl.py --root data/emovo --name emovo --epsilon 0.99 --upstream models/ravdess

The script reads the clips from ROOT/raw and stores the graph in ROOT/processed. --alpha 0 trains the baseline. For
built-in speech, the script makes the clips. It also fine-tunes a small wav2vec 2.0 as the upstream, on speech of
another made-up language. Numbers on built-in speech are synthetic.
"""

import argparse
from pathlib import Path

import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from torch.nn.functional import cross_entropy

import ser_graph as sg

parser = argparse.ArgumentParser(description="Train a student on a graph of clips.")
parser.add_argument("--root", type=Path, default=Path("data/synthetic"))
parser.add_argument("--name", default="synthetic", help="a corpus of data/README.md")
parser.add_argument("--upstream", help="name or folder of a fine-tuned upstream; needed to build the graph")
parser.add_argument("--source-clips", type=int, default=384, help="synthetic: clips for fine-tuning the upstream")
parser.add_argument("--upstream-epochs", type=int, default=8, help="synthetic: epochs of the fine-tuning")
parser.add_argument("--epsilon", type=float, default=0.9, help="least similarity; 0.99 fits wav2vec 2.0 base")
parser.add_argument("--n-neighbors", type=int, default=3)
parser.add_argument("--backbone", default="resnet9", help="cnn6, mobilenet15, resnet9 or vgg15")
parser.add_argument("--alpha", type=float, default=0.1, help="weight of the neighbour loss")
parser.add_argument("--epochs", type=int, default=10)
args = parser.parse_args()
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
torch.manual_seed(0)

graph, upstream = {"epsilon": args.epsilon, "n_neighbors": args.n_neighbors}, args.upstream
if args.name == "synthetic":  # shorter clips and a small upstream
    graph |= {"features": sg.LogMelSettings(n_samples=32_000), "seconds": 2.0}
    upstream = upstream or args.root / "upstream"
    if not Path(upstream).exists():
        source = sg.make_corpus(args.root / "source", "source", n_clips=args.source_clips)
        how = {"learning_rate": 1e-3, "seconds": 2.0, "freeze_feature_encoder": False}
        sg.Upstream.small().finetune(source, epochs=args.upstream_epochs, **how).save(upstream)
data = sg.EmotionGraph(args.root, args.name, upstream, **graph)[0]
student = sg.Student(args.backbone, data.emotions, data.meta.features)
student.standardise = sg.audio.Standardise.fit(data.x, data.train_mask, normalise="corpus")
optimizer = torch.optim.Adam(student.to(device).parameters(), lr=1e-3)
loader = sg.NeighborLoader(data, [args.n_neighbors], input_nodes=data.train_mask, batch_size=16, shuffle=True)


def train() -> list[float]:
    """Train for one epoch; return the mean loss and the mean neighbour loss."""
    losses = []
    for batch in loader:  # the first batch_size clips are the seeds, the others are their neighbours
        batch, n = batch.to(device), batch.batch_size
        output = student.train()(batch.x)
        neighbour = sg.downstream.neighbour_loss(output.fc2, batch.edge_index, batch.edge_weight)
        loss = cross_entropy(output.logits[:n], batch.y[:n]) + args.alpha * neighbour
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append([loss.item(), neighbour.item()])
    return torch.tensor(losses).mean(0).tolist()


@torch.inference_mode()
def test(mask: torch.Tensor) -> tuple[float, float]:
    """Return accuracy and UAR (scikit-learn calls UAR balanced accuracy)."""
    parts = mask.nonzero()[:, 0].split(64)
    predicted = torch.cat([student.eval()(data.x[part].to(device)).logits.argmax(1).cpu() for part in parts])
    return accuracy_score(data.y[mask], predicted), balanced_accuracy_score(data.y[mask], predicted)


for epoch in range(1, args.epochs + 1):
    loss, neighbour = train()
    print(f"Epoch {epoch}, loss {loss:.4f}, neighbour loss {neighbour:.4f}, dev UAR {test(data.val_mask)[1]:.4f}")
print("Test accuracy {:.4f}, UAR {:.4f}".format(*test(data.test_mask)))
