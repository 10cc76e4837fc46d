"""The students' networks: VGG-15, ResNet-9, CNN-6 and MobileNet-15, layer by layer as in the paper's code.

All take log-mel spectrograms [B, n_frames, n_mels] and end with global average pooling, `fc1` (256) and `fc2` (the
classes). Convolutions have no biases, and there is no dropout. (MobileNet-15 is in the paper's code only; the paper
has no results for it. Its dropout before `fc1` is left out here.) Initial weights and BatchNorm constants are those
of Keras: Glorot-uniform kernels, zero biases, eps 1e-3, momentum 0.99 (0.01 in PyTorch's convention).

A width multiplier makes a network thinner or wider. It multiplies the channels of every convolution and of `fc1`,
but not of `fc2`; see `scaled`. Parameters and multiplications change about with its square.
"""

import math
from collections.abc import Callable
from numbers import Real
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ser_graph.downstream.convolutions import MatmulConv2d, PointwiseConv2d
from ser_graph.errors import InputError, bad_value

FC1 = 256
MAX_WIDTH = 4

BackboneName = Literal["cnn6", "mobilenet15", "resnet9", "vgg15"]


def scaled(channels: int, width: float) -> int:
    """`channels` times the width multiplier, rounded to a multiple of 8 (fast for kernels), at least 8.

    Examples:
        >>> scaled(64, 1), scaled(64, 0.5), scaled(64, 0.3), scaled(64, 0.01)
        (64, 32, 16, 8)
    """
    return max(8, int(channels * width / 8 + 0.5) * 8)


def check_width(width: float) -> None:
    """Refuse a width multiplier that is not more than 0 and at most 4."""
    if isinstance(width, bool) or not (isinstance(width, Real) and math.isfinite(width) and 0 < width <= MAX_WIDTH):
        raise InputError(f"Bad width {width!r}, expected a multiplier of more than 0 and at most {MAX_WIDTH}")


class Output(NamedTuple):
    """The output of a backbone.

    Attributes:
        fc1: [B, F], F = 256 at width 1; before its ReLU in VGG-15 and CNN-6, after it in ResNet-9 and
            MobileNet-15, as in the paper's code.
        fc2: [B, n_classes], the logits.
    """

    fc1: Tensor
    fc2: Tensor

    @property
    def logits(self) -> Tensor:
        """The logits: another name of `fc2`."""
        return self.fc2


class Backbone(nn.Module):
    """Convolutions, global average pooling, `fc1`, ReLU, `fc2`.

    Args:
        features: [B, 1, n_frames, n_mels] -> [B, channels, ., .].
        channels: channels that `features` returns.
        n_classes: number of emotions.
        width: multiplier of the size of `fc1`.
        fc1_after_relu: the output `fc1` comes after its ReLU; by default it comes before.
    """

    def __init__(
        self,
        features: nn.Module,
        channels: int,
        n_classes: int,
        width: float,
        *,
        fc1_after_relu: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.fc1 = nn.Linear(channels, scaled(FC1, width))
        self.fc2 = nn.Linear(self.fc1.out_features, n_classes)
        self.fc1_after_relu = fc1_after_relu
        self.apply(_initialise)

    def forward(self, x: Tensor, fuse: Callable[[Tensor], Tensor] | None = None) -> Output:
        """[B, n_frames, n_mels] standardised spectrograms -> `Output`; `fuse` changes `fc1`, see `transfer`."""
        fc1 = self.fc1(self.features(x.unsqueeze(1)).mean((2, 3)))
        if self.fc1_after_relu:
            fc1 = torch.relu(fc1)
        if fuse is not None:
            fc1 = fuse(fc1)
        return Output(fc1, self.fc2(fc1 if self.fc1_after_relu else torch.relu(fc1)))


def vgg15(n_classes: int = 7, width: float = 1.0) -> Backbone:
    """13 convolutions of 3 x 3 in five blocks, each ending in 2 x 2 max pooling, and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for at_width_1, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        wanted = scaled(at_width_1, width)
        for _ in range(depth):
            layers += [*_conv_norm(channels, wanted, 3), nn.ReLU(inplace=True)]
            channels = wanted
        layers.append(nn.MaxPool2d(2))
    return Backbone(nn.Sequential(*layers), channels, n_classes, width)


def cnn6(n_classes: int = 7, width: float = 1.0) -> Backbone:
    """Four convolutions of 5 x 5, each followed by 2 x 2 max pooling, and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for at_width_1 in (64, 128, 256, 512):
        wanted = scaled(at_width_1, width)
        layers += [*_conv_norm(channels, wanted, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = wanted
    return Backbone(nn.Sequential(*layers), channels, n_classes, width)


def resnet9(n_classes: int = 7, width: float = 1.0) -> Backbone:
    """A 7 x 7 convolution, 3 x 3 max pooling, three residual blocks of stride 2, and two dense layers."""
    first, *others = [scaled(channels, width) for channels in (64, 128, 256, 512)]
    layers = [*_conv_norm(1, first, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2, padding=1)]
    channels = first
    for wanted in others:
        layers.append(ResidualBlock(channels, wanted))
        channels = wanted
    return Backbone(nn.Sequential(*layers), channels, n_classes, width, fc1_after_relu=True)


def mobilenet15(n_classes: int = 7, width: float = 1.0) -> Backbone:
    """A 3 x 3 convolution, six depth-wise separable ones of stride 1 and 2 in turn, and two dense layers."""
    channels = scaled(64, width)
    layers = [*_conv_norm(1, channels, 3, stride=2), nn.ReLU(inplace=True)]
    for at_width_1, stride in ((128, 1), (128, 2), (256, 1), (256, 2), (512, 1), (512, 2)):
        wanted = scaled(at_width_1, width)
        layers += _separable(channels, wanted, stride)
        channels = wanted
    return Backbone(nn.Sequential(*layers), channels, n_classes, width, fc1_after_relu=True)


class ResidualBlock(nn.Module):
    """conv-BN-ReLU-conv-BN beside a 1 x 1 convolution without BN, both of stride 2, added, ReLU."""

    def __init__(self, channels: int, wanted: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_norm(channels, wanted, 3, stride=2),
            nn.ReLU(inplace=True),
            *_conv_norm(wanted, wanted, 3),
        )
        self.skip = PointwiseConv2d(channels, wanted, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, wanted, h / 2, w / 2], rounded up."""
        return torch.relu(self.body(x) + self.skip(x))


BACKBONES = {"cnn6": cnn6, "mobilenet15": mobilenet15, "resnet9": resnet9, "vgg15": vgg15}


def make_backbone(name: str, n_classes: int, width: float = 1.0) -> Backbone:
    """The backbone of that name.

    Args:
        name: ``"cnn6"``, ``"mobilenet15"``, ``"resnet9"`` or ``"vgg15"``.
        n_classes: number of emotions.
        width: multiplier of the channels, more than 0 and at most 4; 1 is the paper's.

    Raises:
        InputError: an unknown name, or a bad width.

    Examples:
        >>> make_backbone("resnet9", 7)(torch.zeros(2, 373, 64)).logits.shape
        torch.Size([2, 7])
        >>> make_backbone("resnet9", 7, width=0.25)(torch.zeros(2, 373, 64)).fc1.shape
        torch.Size([2, 64])
    """
    if name not in BACKBONES:
        raise bad_value("backbone", name, BACKBONES)
    check_width(width)
    return BACKBONES[name](n_classes, width)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters.

    Examples:
        >>> count_parameters(cnn6()), count_parameters(resnet9()), count_parameters(vgg15())
        (4437447, 4956871, 14850887)
        >>> count_parameters(mobilenet15()), count_parameters(mobilenet15(width=0.25))
        (668295, 45735)
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def count_macs(module: nn.Module, n_frames: int, n_mels: int) -> int:
    """Number of multiplications (each with an addition) of convolutions and dense layers for one clip.

    BatchNorm (which the export merges into the convolutions), pooling and additions do not count.

    Examples:
        >>> count_macs(resnet9(), 373, 64), count_macs(mobilenet15(), 373, 64)
        (281304832, 234702592)
    """
    x, training = torch.zeros(1, n_frames, n_mels, device=next(module.parameters()).device), module.training
    macs = count_multiplications(lambda: module.eval()(x))
    module.train(training)
    return macs


def count_multiplications(call: Callable[[], object]) -> int:
    """Number of multiplications in the matrix products and convolutions of a call in torch.

    Do not use it under ``torch.inference_mode``, where torch cannot count.
    """
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return counter.get_total_flops() // 2  # it counts additions too


def _conv_norm(channels: int, wanted: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [
        MatmulConv2d(channels, wanted, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(wanted, eps=1e-3, momentum=0.01),
    ]


def _separable(channels: int, wanted: int, stride: int) -> list[nn.Module]:
    """A 3 x 3 convolution of each channel alone, then a 1 x 1 one across them, each with BN and ReLU."""
    return [
        *_conv_norm(channels, channels, 3, stride, groups=channels),
        nn.ReLU(inplace=True),
        *_conv_norm(channels, wanted, 1),
        nn.ReLU(inplace=True),
    ]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
