"""Convolutions as one matrix product, in training on the CPU: where oneDNN is slow, and where it fails."""

import torch
from torch import Tensor, nn
from torch.nn import functional

MAX_COLUMNS = 2
"""Largest number of output columns for which the matrix product is faster."""

SAFE_CHANNELS = 16
"""Fewest input channels of a 1 x 1 convolution with a stride that oneDNN trains correctly."""


class MatmulConv2d(nn.Conv2d):
    """A convolution that trains as one matrix product if its output has one or two columns.

    oneDNN's bfloat16 convolutions work on rows of pixels. The last block of ResNet-9 is two pixels wide and has 512
    channels: there, one matrix product takes half of the time (`benchmarks/step_parts.py`). In float32 it takes
    more time. The sums have the same terms in another order. Parameters, evaluation and export are those of
    `torch.nn.Conv2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C', h', w']."""
        width = (x.shape[3] + 2 * int(self.padding[0]) - self.kernel_size[1]) // self.stride[1] + 1
        fast = self.training and x.device.type == "cpu" and x.dtype == torch.bfloat16
        if fast and width <= MAX_COLUMNS and self.groups == 1 and self.bias is None:
            return conv2d_by_matmul(x, self.weight, self.stride[0], int(self.padding[0]))
        return super().forward(x)


class PointwiseConv2d(nn.Conv2d):
    """A 1 x 1 convolution with a stride that trains as one matrix product if it has few input channels.

    oneDNN's backward pass (of torch 2.13, on x86-64) writes beside its buffers if there are fewer than 16 input
    channels, the memory format is channels last, and two threads share a clip: the process dies. Parameters,
    evaluation and export are those of `torch.nn.Conv2d`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, C', h', w']."""
        if self.training and x.device.type == "cpu" and self.in_channels < SAFE_CHANNELS and self.bias is None:
            return conv2d_by_matmul(x, self.weight, self.stride[0])
        return super().forward(x)


def conv2d_by_matmul(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0) -> Tensor:
    """`torch.nn.functional.conv2d` as one matrix product: [B, C, h, w] and [C', C, k, k] -> [B, C', h', w'].

    It is fastest in the memory format channels last, which the result has.

    Examples:
        >>> x, weight = torch.arange(9.0).reshape(1, 1, 3, 3), torch.ones(1, 1, 2, 2)
        >>> conv2d_by_matmul(x, weight)[0, 0].tolist()
        [[8.0, 12.0], [20.0, 24.0]]
    """
    kernel = weight.shape[2]
    height, width = ((size + 2 * padding - kernel) // stride + 1 for size in x.shape[2:])
    x = functional.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    rows, columns = stride * (height - 1) + 1, stride * (width - 1) + 1
    seen = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(kernel) for j in range(kernel)]
    product = torch.cat(seen, dim=-1) @ weight.permute(0, 2, 3, 1).flatten(1).T  # [B, h', w', k * k * C] @ [., C']
    return product.permute(0, 3, 1, 2)
