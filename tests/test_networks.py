"""Encoders keep the contract; the decoder gives full resolution back."""

from __future__ import annotations

import inspect

import pytest
import torch
from monai.networks.layers.factories import Conv
from torch import Tensor
from torch.nn import functional as F

from tassl.networks import NETWORKS
from tassl.networks.base import Encoder, TokenEncoder
from tassl.networks.decoder import Decoder, convolve_apart
from tassl.networks.residual import ResidualCNN
from tassl.networks.vit import Attention, VisionTransformer, sine_positions
from tassl.transforms.draws import seeded

SPACES = {2: (21, 26), 3: (9, 12, 15)}


def build(network: str, dims: int, channels: int) -> Encoder:
    torch.manual_seed(0)
    return NETWORKS[network].load().sized(dims, channels, SPACES[dims])


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed))


every_network = pytest.mark.parametrize(
    ("network", "dims", "channels"),
    [(n, dims, c) for n, card in NETWORKS.items() for dims in card.dims for c in (1, 3)],
)


@every_network
@torch.no_grad()
def test_features_agree_with_widths_and_strides(network, dims, channels):
    encoder = build(network, dims, channels)
    assert (encoder.dims, encoder.channels) == (dims, channels)
    maps = encoder.features(draw(2, channels, *SPACES[dims]))
    assert len(maps) == len(encoder.widths) == len(encoder.strides)
    for level, width, stride in zip(maps, encoder.widths, encoder.strides, strict=True):
        assert level.shape == (2, width, *[-(-size // stride) for size in SPACES[dims]])
    assert list(encoder.strides) == sorted(encoder.strides)


@every_network
@torch.no_grad()
def test_forward_is_the_mean_of_the_coarsest_map(network, dims, channels):
    encoder = build(network, dims, channels)
    images = draw(2, channels, *SPACES[dims])
    vectors = encoder(images)
    assert vectors.shape == (2, encoder.width)
    expected = encoder.features(images)[-1].mean(tuple(range(2, 2 + dims)))
    torch.testing.assert_close(vectors, expected)


@every_network
@torch.no_grad()
def test_images_do_not_influence_one_another(network, dims, channels):
    encoder = build(network, dims, channels)
    images = draw(3, channels, *SPACES[dims])
    torch.testing.assert_close(encoder(images)[1:2], encoder(images[1:2]), atol=1e-5, rtol=1e-4)


@every_network
@torch.no_grad()
def test_options_rebuild_the_encoder(network, dims, channels):
    encoder = build(network, dims, channels)
    kind = type(encoder)
    again = kind(dims, channels, **encoder.options)
    again.load_state_dict(encoder.state_dict())
    images = draw(2, channels, *SPACES[dims])
    assert torch.equal(again(images), encoder(images))
    parameters = list(inspect.signature(kind.__init__).parameters.values())[3:]
    assert {p.name for p in parameters} == set(encoder.options)
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in parameters)
    assert all(p.default is not inspect.Parameter.empty for p in parameters)


@every_network
@torch.no_grad()
def test_any_other_size_goes_through(network, dims, channels):
    encoder = build(network, dims, channels)
    other = [size + 6 for size in SPACES[dims]]
    assert encoder(draw(1, channels, *other)).shape == (1, encoder.width)


@pytest.mark.parametrize("space", [(28, 28), (64, 48), (128, 128), (32, 32, 32), (64, 64, 48)])
@pytest.mark.parametrize("network", NETWORKS)
def test_sized_keeps_a_useful_grid(network, space):
    encoder = NETWORKS[network].load().sized(len(space), 1, space)
    coarsest = [-(-size // encoder.strides[-1]) for size in space]
    assert min(coarsest) >= 2
    assert NETWORKS[network].source


@pytest.mark.parametrize("space", [(21, 26), (17, 17), (7, 12, 9)])
@pytest.mark.parametrize("stem", [1, 2, 4])
def test_decoder_returns_full_resolution(space, stem):
    encoder = ResidualCNN(len(space), 2, widths=(8, 16, 24), stem=stem)
    decoder = Decoder(encoder)
    images = draw(2, 2, *space)
    decoded = decoder(encoder.features(images), images)
    assert decoded.shape == (2, decoder.width, *space)
    decoded.square().mean().backward()
    for name, weight in [*encoder.named_parameters(), *decoder.named_parameters()]:
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("space", [(9, 7), (5, 6, 7)])
def test_maps_and_images_read_apart_give_what_they_give_joined(space, channels):
    layer = Conv[Conv.CONV, len(space)](8 + channels, 8, 3, 1, 1, bias=False)
    maps, images = draw(2, 8, *space), draw(2, channels, *space)
    joined = layer(torch.cat([maps, images], 1))
    torch.testing.assert_close(convolve_apart(layer, maps, images), joined)


@every_network
@torch.no_grad()
def test_decoder_fits_every_encoder(network, dims, channels):
    encoder = build(network, dims, channels)
    decoder = Decoder(encoder)
    images = draw(1, channels, *SPACES[dims])
    assert decoder(encoder.features(images), images).shape == (1, decoder.width, *SPACES[dims])


@pytest.mark.parametrize(
    ("cells", "width"), [((5, 7), 192), ((3, 4, 5), 192), ((3, 4, 5), 96), ((30, 30), 32)]
)
def test_positions_are_distinct(cells, width):
    codes = sine_positions(cells, width, torch.device("cpu"))
    assert codes.shape == (torch.tensor(cells).prod(), width)
    gaps = torch.cdist(codes, codes) + 10 * torch.eye(len(codes))
    assert gaps.min() > 0.01
    assert codes.abs().max() <= 1


def test_positions_count_rows_first():
    codes = sine_positions((2, 3), 8, torch.device("cpu"))
    row, column = codes[:, :4], codes[:, 4:]
    assert torch.equal(row[0], row[2])
    assert not torch.equal(row[0], row[3])
    assert torch.equal(column[0], column[3])
    assert not torch.equal(column[0], column[1])


@pytest.mark.parametrize("dims", [2, 3])
@torch.no_grad()
def test_all_visible_patches_give_the_whole_map(dims):
    torch.manual_seed(0)
    encoder = VisionTransformer(dims, 1, patch=4, embed=48, depth=2)
    assert isinstance(encoder, TokenEncoder)
    images = draw(2, 1, *SPACES[dims])
    whole = encoder.features(images)[0]
    assert whole.shape[2:] == encoder.cells(SPACES[dims])
    keep = torch.arange(whole[0, 0].numel()).expand(2, -1)
    torch.testing.assert_close(
        encoder.visible(images, keep), whole.flatten(2).transpose(1, 2), atol=1e-5, rtol=1e-4
    )


@torch.no_grad()
def test_left_out_patches_cannot_reach_the_tokens():
    torch.manual_seed(0)
    encoder = VisionTransformer(2, 1, patch=4, embed=48, depth=2)
    images, keep = draw(1, 1, 8, 12), torch.tensor([[0, 4]])
    tokens = encoder.visible(images, keep)
    changed = images.clone()
    changed[..., :4, 4:] = 9.0  # patches 1 and 2
    assert torch.equal(encoder.visible(changed, keep), tokens)
    changed[..., 4:, 4:8] = 9.0  # patch 4
    assert not torch.allclose(encoder.visible(changed, keep), tokens)


@pytest.mark.parametrize("tokens", [1, 17, 300])
def test_attention_equals_the_fused_kernel(tokens):
    torch.manual_seed(0)
    attend = Attention(48, 3)
    images = torch.randn(2, tokens, 48)
    query, key, value = (
        part.unflatten(2, (3, -1)).transpose(1, 2)
        for part in attend.project_in(images).chunk(3, dim=2)
    )
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    torch.testing.assert_close(attend(images), attend.project_out(mixed))
