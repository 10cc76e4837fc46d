"""A graph neural network on the graph of a corpus: GraphSAGE of PyG on the teacher's embeddings.

    ser-graph build emovo data/emovo/raw --upstream models/ravdess --set scope=all --out graphs/emovo_all
    python examples/gnn.py graphs/emovo_all

This is TRANSDUCTIVE: with scope=all, the test clips are nodes of the training graph, without their labels, and pass
messages. Do not compare its result with students, which see test clips only at the end. A GNN needs the teacher and
the graph for every prediction, so it cannot run on a device.
"""

import sys

import torch
from torch.nn.functional import cross_entropy
from torch_geometric.nn import GraphSAGE

import ser_graph as sg

torch.manual_seed(0)
data = sg.load_graph(sys.argv[1])
emb = (data.emb - data.emb.mean(0)) / data.emb.std()
learnt, tested = data.train_mask & (data.y >= 0), data.test_mask & (data.y >= 0)
model = GraphSAGE(data.num_node_features, 64, num_layers=2, out_channels=data.num_classes, dropout=0.5)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
for _ in range(100):
    loss = cross_entropy(model(emb, data.edge_index)[learnt], data.y[learnt])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
predicted = model.eval()(emb, data.edge_index).argmax(1)
uar = sg.evaluation.uar(data.y[tested].tolist(), predicted[tested].tolist())
reached = (data.degrees()[tested] > 0).float().mean()
print(f"Transductive test UAR {uar:.4f}; {reached:.0%} of the test clips have neighbours")
