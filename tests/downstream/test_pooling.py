import copy
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional

from ser_graph.downstream import train
from ser_graph.downstream.backbones import make_backbone
from ser_graph.downstream.pooling import pool_first, relu_first


def kinds(model):
    return [type(layer).__name__ for layer in model.features]


@pytest.mark.parametrize("backbone", ["cnn6", "resnet9", "vgg15"])
def test_outputs_and_gradients_are_the_same_to_the_bit(backbone):
    torch.manual_seed(0)
    plain = make_backbone(backbone, 3)
    pooled = copy.deepcopy(plain)
    pool_first(pooled)
    x, y = torch.randn(4, 40, 32), torch.tensor([0, 1, 2, 0])
    found = []
    for model in (plain, pooled):
        logits = model(x).logits
        functional.cross_entropy(logits, y).backward()
        found.append((logits, {name: value.grad for name, value in model.named_parameters()}))
    (logits, gradients), (also, others) = found
    assert torch.equal(logits, also)
    assert gradients.keys() == others.keys()
    assert all(torch.equal(value, others[name]) for name, value in gradients.items())
    assert pooled.state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize("backbone", ["cnn6", "resnet9", "vgg15"])
def test_it_can_be_undone(backbone):
    model = make_backbone(backbone, 3)
    before = kinds(model)
    pool_first(model)
    swapped = kinds(model)
    relu_first(model)
    assert kinds(model) == before
    assert ("ReLU", "MaxPool2d") in pairwise(before)
    assert ("ReLU", "MaxPool2d") not in pairwise(swapped)


def test_layers_that_are_no_pair_stay():
    layers = nn.Sequential(
        nn.ReLU(), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2), nn.Sequential(nn.ReLU()), nn.AvgPool2d(2)
    )
    before = list(layers)
    pool_first(layers)
    assert list(layers) == before


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
def test_a_trained_student_is_as_the_paper_has_it(toy_graph, schedule):
    how = {"backbone": "cnn6", "alpha": 0, "epochs": 1, "epoch_steps": 1, "width": 0.25, "schedule": schedule}
    student = train(toy_graph, **how, progress=False, device="cpu")
    assert kinds(student.backbone) == kinds(make_backbone("cnn6", 3))
