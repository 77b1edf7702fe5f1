"""The three networks of MTCNN, as facenet-pytorch has them."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from ..building import built_as


class ProposalNetwork(nn.Module):
    """P-Net: for every 12 x 12 pixels, two apart, whether they are a face and how its box lies in them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 10, 3), nn.PReLU(10)
        self.conv2, self.prelu2 = nn.Conv2d(10, 16, 3), nn.PReLU(16)
        self.conv3, self.prelu3 = nn.Conv2d(16, 32, 3), nn.PReLU(32)
        self.conv4_1, self.conv4_2 = nn.Conv2d(32, 2, 1), nn.Conv2d(32, 4, 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """``[N, 3, h, w]`` in -1..1 to scores ``[N, y, x]`` and box offsets ``[N, 4, y, x]``."""
        x = _halved(self.prelu1(self.conv1(pictures)), 2)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[:, 1], self.conv4_2(x)


class RefinementNetwork(nn.Module):
    """R-Net: whether 24 x 24 pixels are a face, and a better box."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)

    def forward(self, parts: Tensor) -> tuple[Tensor, Tensor]:
        """``[K, 3, 24, 24]`` in -1..1 to scores ``[K]`` and box offsets ``[K, 4]``."""
        x = _halved(self.prelu1(self.conv1(parts)), 3)
        x = _halved(self.prelu2(self.conv2(x)), 3)
        x = self.prelu4(self.dense4(_column_by_column(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class OutputNetwork(nn.Module):
    """O-Net: whether 48 x 48 pixels are a face, its box and its landmarks."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2, self.dense6_3 = nn.Linear(256, 2), nn.Linear(256, 4), nn.Linear(256, 10)

    def forward(self, parts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``[K, 3, 48, 48]`` in -1..1 to scores ``[K]``, box offsets ``[K, 4]`` and landmarks ``[K, 5, 2]``, these as
        shares of the part."""
        x = _halved(self.prelu1(self.conv1(parts)), 3)
        x = _halved(self.prelu2(self.conv2(x)), 3)
        x = _halved(self.prelu3(self.conv3(x)), 2)
        x = self.prelu5(self.dense5(_column_by_column(self.prelu4(self.conv4(x)))))
        # The network gives five x, then five y.
        points = self.dense6_3(x).view(-1, 2, 5).transpose(1, 2)
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x), points


class Cascade(nn.Module):
    """The three networks under the names that facenet-pytorch gives them."""

    def __init__(self) -> None:
        super().__init__()
        self.pnet, self.rnet, self.onet = ProposalNetwork(), RefinementNetwork(), OutputNetwork()


def _halved(x: Tensor, window: int) -> Tensor:
    return F.max_pool2d(x, window, stride=2, ceil_mode=True)


def _column_by_column(x: Tensor) -> Tensor:
    """``[K, C, H, W]`` as rows, in the order of Matlab, where the networks come from."""
    return x.permute(0, 3, 2, 1).flatten(1)


def build_mtcnn(name: str, tensors: Mapping[str, Tensor]) -> Cascade:
    """The networks with these weights, in evaluation mode.

    Args:
        tensors: by the names of facenet-pytorch: those of each network behind ``pnet.``, ``rnet.`` and ``onet.``.

    Raises:
        WeightsError: tensors are missing or of the wrong shape.
    """
    return built_as("MTCNN", name, Cascade, tensors, "Get the files again.")
