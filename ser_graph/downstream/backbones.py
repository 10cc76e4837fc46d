"""The students' networks: VGG-15, ResNet-9 and CNN-6, layer by layer as in the paper's code.

All take log-mel spectrograms [B, n_frames, n_mels], end with global average pooling, `fc1` (256) and `fc2`
(the classes), and have neither convolution biases nor dropout. Initial weights and BatchNorm constants are
Keras's: Glorot-uniform kernels, zero biases, eps 1e-3, momentum 0.99 (PyTorch counts the other way: 0.01).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ser_graph.errors import bad_value

FC1 = 256


class Output(NamedTuple):
    """What a backbone returns.

    Attributes:
        fc1: [B, 256]; before its ReLU in VGG-15 and CNN-6, after it in ResNet-9, as in the paper's code.
        fc2: [B, n_classes], the logits.
    """

    fc1: Tensor
    fc2: Tensor

    @property
    def logits(self) -> Tensor:
        """The logits: another name of `fc2`."""
        return self.fc2


LAYERS = Output._fields


class Backbone(nn.Module):
    """Convolutions, global average pooling, `fc1`, ReLU, `fc2`.

    Args:
        features: [B, 1, n_frames, n_mels] -> [B, channels, ., .].
        channels: channels that `features` returns.
        n_classes: number of emotions.
        fc1_after_relu: which side of its ReLU the output `fc1` shows.
    """

    def __init__(self, features: nn.Module, channels: int, n_classes: int, *, fc1_after_relu: bool = False) -> None:
        super().__init__()
        self.features = features
        self.fc1 = nn.Linear(channels, FC1)
        self.fc2 = nn.Linear(FC1, n_classes)
        self.fc1_after_relu = fc1_after_relu
        self.apply(_initialise)

    def forward(self, x: Tensor, fuse: Callable[[Tensor], Tensor] | None = None) -> Output:
        """[B, n_frames, n_mels] standardised spectrograms -> `Output`.

        Args:
            x: the spectrograms.
            fuse: [B, 256] -> [B, 256], what becomes of `fc1` on the side of its ReLU that is shown; see `transfer`.
        """
        fc1 = self.fc1(self.features(x.unsqueeze(1)).mean((2, 3)))
        if self.fc1_after_relu:
            fc1 = torch.relu(fc1)
        if fuse is not None:
            fc1 = fuse(fc1)
        return Output(fc1, self.fc2(fc1 if self.fc1_after_relu else torch.relu(fc1)))


def vgg15(n_classes: int = 7) -> Backbone:
    """13 convolutions of 3 x 3 in five blocks, each ending in 2 x 2 max pooling, and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for width, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [*_conv_norm(channels, width, 3), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return Backbone(nn.Sequential(*layers), channels, n_classes)


def cnn6(n_classes: int = 7) -> Backbone:
    """Four convolutions of 5 x 5, each followed by 2 x 2 max pooling, and two dense layers."""
    layers: list[nn.Module] = []
    channels = 1
    for width in (64, 128, 256, 512):
        layers += [*_conv_norm(channels, width, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        channels = width
    return Backbone(nn.Sequential(*layers), channels, n_classes)


def resnet9(n_classes: int = 7) -> Backbone:
    """A 7 x 7 convolution, 3 x 3 max pooling, three residual blocks of stride 2, and two dense layers."""
    features = nn.Sequential(
        *_conv_norm(1, 64, 7, stride=2),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        ResidualBlock(64, 128),
        ResidualBlock(128, 256),
        ResidualBlock(256, 512),
    )
    return Backbone(features, 512, n_classes, fc1_after_relu=True)


class ResidualBlock(nn.Module):
    """conv-BN-ReLU-conv-BN beside a 1 x 1 convolution without BN, both of stride 2, added, ReLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_conv_norm(channels, width, 3, stride=2),
            nn.ReLU(inplace=True),
            *_conv_norm(width, width, 3),
        )
        self.skip = nn.Conv2d(channels, width, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, channels, h, w] -> [B, width, h / 2, w / 2], rounded up."""
        return torch.relu(self.body(x) + self.skip(x))


BACKBONES = {"cnn6": cnn6, "resnet9": resnet9, "vgg15": vgg15}


def make_backbone(name: str, n_classes: int) -> Backbone:
    """The backbone of that name.

    Examples:
        >>> make_backbone("resnet9", 7)(torch.zeros(2, 373, 64)).logits.shape
        torch.Size([2, 7])
    """
    if name not in BACKBONES:
        raise bad_value("backbone", name, BACKBONES)
    return BACKBONES[name](n_classes)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters.

    Examples:
        >>> count_parameters(cnn6()), count_parameters(resnet9()), count_parameters(vgg15())
        (4437447, 4956871, 14850887)
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def _conv_norm(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(width, eps=1e-3, momentum=0.01),
    ]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
