import copy
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn
from torch.nn import functional

from ser_graph.downstream.backbones import make_backbone
from ser_graph.downstream.convolutions import MAX_COLUMNS, MatmulConv2d, PointwiseConv2d, conv2d_by_matmul


@given(
    size=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)
def test_the_product_is_the_convolution_and_so_are_its_gradients(size, kernel, stride, padding, channels):
    torch.manual_seed(0)
    x = torch.randn(2, channels[0], *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(channels[1], channels[0], kernel, kernel, dtype=torch.float64, requires_grad=True)
    mine = conv2d_by_matmul(x, weight, stride, padding)
    theirs = functional.conv2d(x, weight, stride=stride, padding=padding)
    torch.testing.assert_close(mine, theirs)
    weights = torch.randn_like(theirs)
    for ours, other in zip(
        torch.autograd.grad((mine * weights).sum(), (x, weight)),
        torch.autograd.grad((theirs * weights).sum(), (x, weight)),
        strict=True,
    ):
        torch.testing.assert_close(ours, other)


def layer_and_input(width, dtype=torch.bfloat16, **options):
    torch.manual_seed(0)
    layer = MatmulConv2d(8, 8, 3, padding=1, bias=False, **options).to(dtype)
    return layer, torch.randn(2, 8, 5, width, dtype=dtype)


@pytest.fixture
def products(monkeypatch):
    """How often a convolution was made as a product."""
    made = []

    def counted(*arguments):
        made.append(arguments)
        return conv2d_by_matmul(*arguments)

    monkeypatch.setattr("ser_graph.downstream.convolutions.conv2d_by_matmul", counted)
    return made


def test_only_narrow_outputs_in_bfloat16_while_training(products):
    layer, x = layer_and_input(MAX_COLUMNS)
    assert layer(x).shape == x.shape and len(products) == 1
    for other, wave in (
        layer_and_input(MAX_COLUMNS + 1),
        layer_and_input(MAX_COLUMNS, torch.float32),
        layer_and_input(MAX_COLUMNS, groups=8),
        (layer.eval(), x),
    ):
        other(wave)
    assert len(products) == 1


def test_of_a_students_layers_the_last_two_of_resnet9(products):
    model = make_backbone("resnet9", 3, width=0.25)
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(2, 373, 64))
    assert [tuple(x.shape[1:]) for x, *_ in products] == [(64, 24, 4), (128, 12, 2)]


def test_training_in_bfloat16_has_the_gradients_of_plain_convolutions():
    """As near to them as those in bfloat16 are to float32's."""
    torch.manual_seed(0)
    model = make_backbone("resnet9", 3, width=0.25)
    plain = copy.deepcopy(model)
    for module in plain.modules():
        if isinstance(module, MatmulConv2d):
            module.__class__ = nn.Conv2d
    x, y = torch.randn(8, 128, 64), torch.arange(8) % 3

    def gradients(network, precise):
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=not precise):
            logits = network(x).logits
        functional.cross_entropy(logits.float(), y).backward()
        return torch.cat([parameter.grad.flatten() for parameter in network.parameters()])

    exact, theirs, mine = gradients(plain, True), gradients(plain, False), gradients(model, False)
    assert not torch.equal(mine, theirs)
    assert (mine - exact).norm() < 1.2 * (theirs - exact).norm()
    assert model.state_dict().keys() == plain.state_dict().keys()


TRAINS = """
import torch
from ser_graph.downstream.backbones import make_backbone

torch.set_num_threads(2)
model = make_backbone("resnet9", 7, {width}).to(memory_format=torch.channels_last)
for _ in range(10):
    model(torch.randn(37, 61, 64)).fc2.square().mean().backward()
"""


@pytest.mark.parametrize("width", [0.0625, 0.125, 0.1875, 0.25])
def test_narrow_networks_train_with_two_threads_that_share_a_clip(width):
    """A fault of oneDNN ends the process: hence a process of its own, whose memory glibc checks."""
    checks = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"} if sys.platform == "linux" else {}
    done = subprocess.run(
        [sys.executable, "-c", TRAINS.format(width=width)],
        capture_output=True,
        text=True,
        env={**os.environ, **checks},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_pointwise_convolution_gives_what_torch_gives():
    torch.manual_seed(0)
    layer, x = PointwiseConv2d(8, 16, 1, stride=2, bias=False), torch.randn(3, 8, 7, 6)
    torch.testing.assert_close(layer(x), layer.eval()(x))
