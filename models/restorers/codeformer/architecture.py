"""CodeFormer: an encoder, a transformer that guesses entries of a codebook, and a generator that paints them.

After Zhou et al., "Towards Robust Blind Face Restoration with Codebook Lookup Transformer", NeurIPS 2022. Names of
parameters are those of the authors' checkpoints (https://github.com/sczhou/CodeFormer).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..vqgan import Codebook, Downsample, ResidualBlock, Upsample, attention, looked_up, normalisation

# Channels at 512, 256, ... 16 pixels, in multiples of the width.
_MULTIPLES = (1, 2, 2, 4, 4, 8)
_LARGEST = 512
# Not to be read off the weights.
_HEADS = 8
# Added to a variance before its root is taken (the authors' value).
_EPSILON = 1e-5


class _Attention(nn.Module):
    """Every place of a small map looks at every other, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = normalisation(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        mixed: Tensor = self.proj_out(attention(self.q(normed), self.k(normed), self.v(normed), heads=1))
        # Not in place, as VQFR's: that has the memory layout of the convolution, in which a face restored beside others
        # differs by 8e-5 from one restored alone.
        return x + mixed


def _residual(inputs: int, outputs: int) -> ResidualBlock:
    return ResidualBlock(inputs, outputs, "conv_out")


class _Chain(nn.Module):
    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)


def _encoder(width: int, code: int) -> _Chain:
    blocks: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1)]
    channels = width
    for multiple in _MULTIPLES[:-1]:
        wanted = width * multiple
        blocks += [_residual(channels, wanted), _residual(wanted, wanted), Downsample(wanted)]
        channels = wanted
    deep = width * _MULTIPLES[-1]
    blocks += [_residual(channels, deep), _Attention(deep), _residual(deep, deep), _Attention(deep)]
    blocks += [_residual(deep, deep), _Attention(deep), _residual(deep, deep)]
    return _Chain([*blocks, normalisation(deep), nn.Conv2d(deep, code, 3, padding=1)])


def _generator(width: int, code: int) -> _Chain:
    deep = width * _MULTIPLES[-1]
    blocks: list[nn.Module] = [nn.Conv2d(code, deep, 3, padding=1)]
    blocks += [_residual(deep, deep), _Attention(deep), _residual(deep, deep)]
    blocks += [_residual(deep, deep), _Attention(deep), _residual(deep, deep), _Attention(deep)]
    channels = deep
    for multiple in reversed(_MULTIPLES[:-1]):
        wanted = width * multiple
        blocks += [Upsample(channels), _residual(channels, wanted), _residual(wanted, wanted)]
        channels = wanted
    return _Chain([*blocks, normalisation(channels), nn.Conv2d(channels, 3, 3, padding=1)])


class _TransformerLayer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, _HEADS, batch_first=True)
        self.linear1 = nn.Linear(width, 2 * width)
        self.linear2 = nn.Linear(2 * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, position: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        placed = normed + position
        tokens = tokens + self.self_attn(placed, placed, normed, need_weights=False)[0]
        inner: Tensor = self.linear2(F.gelu(self.linear1(self.norm2(tokens))))
        return tokens + inner


class _Fuse(nn.Module):
    """Scale and shift of the generator's features, from the encoder's at the same size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode_enc = _residual(2 * channels, channels)
        self.scale = _two_convolutions(channels)
        self.shift = _two_convolutions(channels)

    def forward(self, encoded: Tensor, painted: Tensor, fidelity: float) -> Tensor:
        both = self.encode_enc(torch.cat([encoded, painted], dim=1))
        change = self.scale(both).mul_(painted).add_(self.shift(both))
        return torch.add(painted, change, alpha=fidelity)


def _two_convolutions(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


class CodeFormer(nn.Module):
    """The network. Pictures are -1..1.

    Args:
        width: channels at full size.
        code: numbers in an entry of the codebook.
        entries: of the codebook.
        tokens: places of the smallest map, which is square.
        embedding: width of the transformer.
        layers: of the transformer.
        fused: the sizes at which features of the encoder reach the generator, for an input of 512 pixels.
    """

    def __init__(
        self,
        width: int = 64,
        code: int = 256,
        entries: int = 1024,
        tokens: int = 256,
        embedding: int = 512,
        layers: int = 9,
        fused: Sequence[int] = (32, 64, 128, 256),
    ) -> None:
        super().__init__()
        self.encoder = _encoder(width, code)
        self.quantize = Codebook(entries, code)
        self.generator = _generator(width, code)
        self.position_emb = nn.Parameter(torch.zeros(tokens, embedding))
        self.feat_emb = nn.Linear(code, embedding)
        self.ft_layers = nn.Sequential(*(_TransformerLayer(embedding) for _ in range(layers)))
        self.idx_pred_layer = nn.Sequential(nn.LayerNorm(embedding), nn.Linear(embedding, entries, bias=False))
        channels = {_LARGEST >> level: width * multiple for level, multiple in enumerate(_MULTIPLES)}
        self.fuse_convs_dict = nn.ModuleDict({str(size): _Fuse(channels[size]) for size in fused})

    def forward(self, images: Tensor, fidelity: float = 0.5, adain: bool = True) -> Tensor:
        """Restores ``[N, 3, S, S]`` of 512 pixels.

        Args:
            fidelity: share of the encoder's features in the generator; at 0 they play no part.
            adain: give the looked-up features the mean and spread of the encoded ones.
        """
        features, encoded = self._encode(images)
        looked_up = self._look_up(features)
        if adain:
            looked_up = _with_statistics_of(features, looked_up)
        return self._generate(looked_up, encoded, fidelity)

    def _encode(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The smallest map, and the last map of every size that is fused by its size."""
        kept: dict[str, Tensor] = {}
        x, size = images, _LARGEST
        for block in self.encoder.blocks:
            if isinstance(block, Downsample):
                if str(size) in self.fuse_convs_dict:
                    kept[str(size)] = x
                size //= 2
            x = block(x)
        return x, kept

    def _look_up(self, features: Tensor) -> Tensor:
        """The entry of the codebook for every place of the map."""
        tokens = self.feat_emb(features.flatten(2).transpose(1, 2))
        for layer in self.ft_layers:
            tokens = layer(tokens, self.position_emb)
        # In bfloat16 neighbouring entries would come out equal, so the last step is taken in fp32.
        head = self.idx_pred_layer[1].get_parameter("weight")
        entries = F.linear(self.idx_pred_layer[0](tokens).float(), head.float()).argmax(dim=2)
        return looked_up(entries.view(len(entries), *features.shape[2:]), self.quantize.embedding.weight)

    def _generate(self, features: Tensor, encoded: dict[str, Tensor], fidelity: float) -> Tensor:
        x, size, enlarged = features, _LARGEST >> (len(_MULTIPLES) - 1), False
        for block in self.generator.blocks:
            x = block(x)
            if enlarged and fidelity > 0 and str(size) in encoded:
                x = self.fuse_convs_dict[str(size)](encoded.pop(str(size)), x, fidelity)
            enlarged = isinstance(block, Upsample)
            if enlarged:
                size *= 2
        return x


def _with_statistics_of(model: Tensor, features: Tensor) -> Tensor:
    """Adaptive instance normalisation (Huang and Belongie, 2017) of ``[N, C, H, W]``, in fp32."""
    variance, mean = torch.var_mean(features.float(), dim=(2, 3), keepdim=True)
    wanted_variance, wanted_mean = torch.var_mean(model.float(), dim=(2, 3), keepdim=True)
    spread = ((wanted_variance + _EPSILON) / (variance + _EPSILON)).sqrt()
    return ((features - mean) * spread + wanted_mean).to(features.dtype)
