import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from ser_graph.downstream import BACKBONES, make_backbone
from ser_graph.downstream.backbones import FC1, count_macs, count_parameters, scaled
from ser_graph.errors import InputError

NAMES = sorted(BACKBONES)


def made(name, n_classes=7, seed=0, width=1.0):
    torch.manual_seed(seed)
    return make_backbone(name, n_classes, width)


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


BY_HAND = {  # (channels in, channels out, kernel) of every convolution at width 1
    "vgg15": [
        *((1, 64, 3), (64, 64, 3), (64, 128, 3), (128, 128, 3), (128, 256, 3), (256, 256, 3), (256, 256, 3)),
        *((256, 512, 3), (512, 512, 3), (512, 512, 3), (512, 512, 3), (512, 512, 3), (512, 512, 3)),
    ],
    "cnn6": [(1, 64, 5), (64, 128, 5), (128, 256, 5), (256, 512, 5)],
    "resnet9": [
        (1, 64, 7),
        *((64, 128, 3), (128, 128, 3), (64, 128, 1)),
        *((128, 256, 3), (256, 256, 3), (128, 256, 1)),
        *((256, 512, 3), (512, 512, 3), (256, 512, 1)),
    ],
    "mobilenet15": [
        (1, 64, 3),
        *((1, 64, 3), (64, 128, 1), (1, 128, 3), (128, 128, 1)),
        *((1, 128, 3), (128, 256, 1), (1, 256, 3), (256, 256, 1)),
        *((1, 256, 3), (256, 512, 1), (1, 512, 3), (512, 512, 1)),
    ],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [0.125, 0.25, 0.5, 1])  # of which 64 is a multiple of 8
def test_parameters_of_each_width_counted_by_hand(name, width):
    def times(channels):
        return channels if channels == 1 else int(channels * width)

    total = 0
    for inside, outside, kernel in BY_HAND[name]:
        total += times(inside) * times(outside) * kernel**2
        if not (name == "resnet9" and kernel == 1):
            total += 2 * times(outside)  # BatchNorm
    total += times(512) * times(256) + times(256) + times(256) * 7 + 7
    assert count_parameters(made(name, width=width)) == total


def test_mobilenet15_added_up():
    convolutions = 576 + 128 + 9_152 + 18_048 + 34_688 + 68_864 + 134_912 + 268_800
    assert count_parameters(made("mobilenet15")) == convolutions + 131_328 + 1_799 == 668_295


def test_macs_added_up():
    """187 x 32 places after the first convolution of stride 2; depth-wise 9, then 1 x channels, at each place."""
    places = [187 * 32, 94 * 16, 94 * 16, 47 * 8, 47 * 8, 24 * 4]
    channels = [(64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    separable = sum(n * inside * (9 + outside) for n, (inside, outside) in zip(places, channels, strict=True))
    expected = 187 * 32 * 64 * 9 + separable + 512 * 256 + 256 * 7
    backbone = made("mobilenet15")
    assert count_macs(backbone, 373, 64) == expected == 234_702_592
    convolutions = 25 * (256 * 32 + 64 * 32 * 64 + 16 * 64 * 128 + 4 * 128 * 256)
    assert count_macs(made("cnn6", width=0.5), 16, 16) == convolutions + 256 * 128 + 128 * 7


def test_channels_are_multiples_of_8():
    assert [scaled(64, width) for width in (1 / 16, 0.125, 0.18, 0.19, 0.3, 0.4, 1, 4)] == [
        *(8, 8, 8, 16, 16, 24, 64, 256)
    ]
    for name in NAMES:
        convolutions = [module for module in made(name, width=0.3).modules() if isinstance(module, nn.Conv2d)]
        # 64, 128, 256, 512 times 0.3 are 19.2, 38.4, 76.8, 153.6.
        assert {module.out_channels for module in convolutions} == {16, 40, 80, 152}


@given(st.sampled_from([64, 128, 256, 512]), st.floats(1e-6, 4))
def test_scaled_is_the_nearest_multiple(channels, width):
    found = scaled(channels, width)
    assert found % 8 == 0 and found >= 8
    assert abs(found - channels * width) <= 4 or found == 8


@pytest.mark.parametrize("name", NAMES)
def test_other_widths_compute_and_repeat(name):
    x = torch.randn(2, 64, 64)
    with torch.inference_mode():
        one, same, other = (made(name, 5, seed, width=0.25).eval()(x) for seed in (3, 3, 4))
    assert (one.fc1.shape, one.fc2.shape) == ((2, 64), (2, 5))
    assert torch.equal(one.logits, same.logits)
    assert not torch.equal(one.logits, other.logits)


def test_a_separable_convolution_is_one_of_each_channel_then_one_across_them():
    features = made("mobilenet15", width=0.125).features.eval()
    depthwise, pointwise = features[3], features[6]
    assert (depthwise.groups, pointwise.kernel_size) == (8, (1, 1))
    x = torch.randn(1, 8, 6, 6)
    with torch.inference_mode():
        apart = [
            nn.functional.conv2d(x[:, [channel]], depthwise.weight[[channel]], padding=1) for channel in range(8)
        ]
        torch.testing.assert_close(depthwise(x), torch.cat(apart, 1))
        across = torch.einsum("oc,bchw->bohw", pointwise.weight[:, :, 0, 0], x)
        torch.testing.assert_close(pointwise(x), across)


def test_strides_of_mobilenet15_leave_a_sixteenth():
    with torch.inference_mode():
        assert made("mobilenet15", width=0.125).features(torch.zeros(1, 1, 373, 64)).shape == (1, 64, 24, 4)


@pytest.mark.parametrize("width", [0, -0.5, 4.01, float("nan"), float("inf"), "wide", None, True])
def test_bad_widths(width):
    with pytest.raises(InputError) as caught:
        make_backbone("resnet9", 7, width)
    assert str(caught.value) == f"Bad width {width!r}, expected a multiplier of more than 0 and at most 4"


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
        assert bool((fc1 >= 0).all()) == (name in ("resnet9", "mobilenet15"))
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
    assert kernels["mobilenet15"] == [3] + [3, 1] * 6


def test_an_unknown_name():
    with pytest.raises(InputError) as caught:
        make_backbone("cnn7", 7)
    expected = "one of ['cnn6', 'mobilenet15', 'resnet9', 'vgg15']; did you mean 'cnn6'?"
    assert str(caught.value) == f"Bad backbone 'cnn7', expected {expected}"
