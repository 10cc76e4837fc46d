import pytest
import torch
from torch import nn

from ser_graph.downstream import BACKBONES, make_backbone
from ser_graph.downstream.backbones import FC1, count_parameters
from ser_graph.errors import InputError

NAMES = sorted(BACKBONES)


def made(name, n_classes=7, seed=0):
    torch.manual_seed(seed)
    return make_backbone(name, n_classes)


@pytest.mark.parametrize(
    ("name", "trainable", "keras"),
    [("vgg15", 14_850_887, 14_859_335), ("resnet9", 4_956_871, 4_960_583), ("cnn6", 4_437_447, 4_439_367)],
)
def test_as_many_parameters_as_in_the_paper(name, trainable, keras):
    backbone = made(name)
    assert count_parameters(backbone) == trainable
    # Keras counts the moving mean and variance of BatchNorm too.
    moving = [value for key, value in backbone.named_buffers() if "running" in key]
    assert trainable + sum(value.numel() for value in moving) == keras


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_frames", [373, 61])
def test_shapes(name, n_frames):
    with torch.inference_mode():
        out = made(name, 5).eval()(torch.randn(2, n_frames, 64))
    assert (out.fc1.shape, out.fc2.shape) == ((2, FC1), (2, 5))
    assert out.logits is out.fc2


@pytest.mark.parametrize("name", NAMES)
def test_which_side_of_its_relu_fc1_shows(name):
    backbone = made(name).eval()
    with torch.inference_mode():
        fc1, fc2 = backbone(torch.randn(2, 64, 64))
        assert bool((fc1 >= 0).all()) == (name == "resnet9")
        assert (fc1 != 0).any()
        torch.testing.assert_close(fc2, backbone.fc2(fc1.relu()))  # the logits are made of the far side


@pytest.mark.parametrize("name", NAMES)
def test_keras_initial_values_and_constants(name):
    for module in made(name).modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(module.weight)
            bound = (6 / (fan_in + fan_out)) ** 0.5
            largest = float(module.weight.detach().abs().max())
            assert 0.95 * bound < largest <= bound * (1 + 1e-6)
            assert float(module.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)
            assert module.bias is None or not module.bias.any()
            assert (module.bias is None) == isinstance(module, nn.Conv2d)
        if isinstance(module, nn.BatchNorm2d):
            assert (module.eps, module.momentum) == (1e-3, 0.01)
        assert not isinstance(module, nn.Dropout)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_learns(name):
    backbone = made(name)
    backbone(torch.randn(2, 64, 64)).logits.square().sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_layers_are_those_of_the_paper():
    kernels = {
        name: [module.kernel_size[0] for module in made(name).modules() if isinstance(module, nn.Conv2d)]
        for name in NAMES
    }
    assert kernels["vgg15"] == [3] * 13
    assert kernels["cnn6"] == [5] * 4
    assert kernels["resnet9"] == [7] + [3, 3, 1] * 3


def test_an_unknown_name():
    with pytest.raises(InputError) as caught:
        make_backbone("cnn7", 7)
    assert str(caught.value) == "Bad backbone 'cnn7', expected one of ['cnn6', 'resnet9', 'vgg15']"
