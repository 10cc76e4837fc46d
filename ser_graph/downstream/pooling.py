"""Max pooling before the ReLU in training: the same numbers in less time."""

from torch import nn


def pool_first(model: nn.Module) -> None:
    """Move every ReLU that comes before a max pooling behind it.

    The two commute, max(relu(x)) = relu(max(x)), and so do their gradients. After a 2 x 2 pooling, a ReLU has a
    quarter of the work. The names of parameters do not change. Use this order only in training. On a device, a ReLU
    directly after its convolution costs nothing, and int8 then knows that the range begins at 0.

    Args:
        model: the model; its `nn.Sequential` modules are reordered in place.

    Examples:
        >>> layers = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.MaxPool2d(2))
        >>> pool_first(layers)
        >>> [type(layer).__name__ for layer in layers]
        ['Conv2d', 'MaxPool2d', 'ReLU']
        >>> relu_first(layers)
        >>> [type(layer).__name__ for layer in layers]
        ['Conv2d', 'ReLU', 'MaxPool2d']
    """
    _swap(model, nn.ReLU, nn.MaxPool2d)


def relu_first(model: nn.Module) -> None:
    """Undo `pool_first`."""
    _swap(model, nn.MaxPool2d, nn.ReLU)


def _swap(model: nn.Module, before: type[nn.Module], after: type[nn.Module]) -> None:
    for layers in model.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for place in range(len(layers) - 1):
            if isinstance(layers[place], before) and isinstance(layers[place + 1], after):
                layers[place], layers[place + 1] = layers[place + 1], layers[place]
