"""Every objective against a slow reference, written from its paper's formula with loops."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from monai.losses.dice import DiceLoss
from torch import Tensor
from torch.nn import functional as F

from tassl.methods.barlow import barlow_twins
from tassl.methods.base import Batch
from tassl.methods.byol import prediction_error
from tassl.methods.dense import contrast_places, move_places, sample_places
from tassl.methods.dino import distil
from tassl.methods.fusion import VolumeFusion
from tassl.methods.genesis import bend_curve, shuffle_locally
from tassl.methods.inpainting import swap_pixels
from tassl.methods.jepa import LatentPrediction, even_out
from tassl.methods.lesions import SimulatedLesions
from tassl.methods.moco import MoCo, info_nce
from tassl.methods.overlap import dice_loss
from tassl.methods.parts import Teacher
from tassl.methods.position import RelativePosition
from tassl.methods.rotation import cut_square, list_turns, turn_each
from tassl.methods.simclr import nt_xent
from tassl.methods.slices import contrast_positions
from tassl.methods.tiles import cut_tiles, far_permutations
from tassl.methods.vicreg import hinge_deviation, square_covariance
from tassl.methods.voco import overlap_error, share_of
from tassl.modality.base import Augmentation
from tassl.networks import NETWORKS
from tassl.networks.vit import VisionTransformer
from tassl.transforms.augment import Augment
from tassl.transforms.draws import seeded
from tassl.transforms.masks import (
    count_cells,
    draw_guided_masks,
    entropy_per_cell,
    mean_per_cell,
    steepness,
)
from tassl.transforms.windows import list_pixels


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=seeded(seed)).double()


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.dot(a, b) / (a.norm() * b.norm()))


def unit(features: Tensor) -> Tensor:
    return F.normalize(features, dim=-1)


class TestContrast:
    def test_nt_xent_leaves_other_images_of_a_subject_out(self):
        z, owners, heat = normal(8, 5), [7, 7, 3, 9], 0.3
        whose = owners * 2
        total = 0.0
        for i in range(8):
            partner = (i + 4) % 8
            others = [k for k in range(8) if k == partner or whose[k] != whose[i]]
            weights = {k: math.exp(cosine(z[i], z[k]) / heat) for k in others}
            total -= math.log(weights[partner] / sum(weights.values()))
        assert float(nt_xent(z, heat, torch.tensor(owners))) == pytest.approx(total / 8, rel=1e-5)

    def test_info_nce(self):
        queries, keys, memory = normal(4, 6), unit(normal(4, 6, seed=1)), unit(normal(5, 6, seed=2))
        owners, holders, heat = [0, 1, 2, 2], [1, 4, 0, 5, 2], 0.2
        total = 0.0
        for i in range(4):
            pool = [math.exp(cosine(queries[i], keys[i]) / heat)]
            pool += [
                math.exp(cosine(queries[i], keys[k]) / heat)
                for k in range(4)
                if owners[k] != owners[i]
            ]
            pool += [
                math.exp(cosine(queries[i], memory[k]) / heat)
                for k in range(5)
                if holders[k] != owners[i]
            ]
            total -= math.log(pool[0] / sum(pool))
        found = info_nce(
            queries, keys.float(), torch.tensor(owners), memory.float(), torch.tensor(holders), heat
        )
        assert float(found) == pytest.approx(total / 4, rel=1e-5)

    def test_the_memory_keeps_the_newest_keys(self):
        encoder = NETWORKS["cnn"].load().sized(2, 1, (12, 12))
        learner = MoCo(encoder, augment=Augment(Augmentation()), queue=10)
        for start in (0, 3):
            owners = torch.arange(start, start + 3)
            views = normal(3, 1, 12, 12).float(), normal(3, 1, 12, 12).float()
            learner.loss((*views, owners, owners))
            learner.after_step()
        assert learner.owners.tolist() == [3, 4, 5, 3, 4, 5, 0, 1, 2, 0]
        torch.testing.assert_close(learner.keys.norm(dim=1), torch.ones(10))

    def test_positions(self):
        z, heights, near, heat = normal(6, 4), [0.0, 0.05, 0.5, 0.52, 0.9, 0.56], 0.05, 0.2
        terms = []
        for i in range(6):
            others = [k for k in range(6) if k != i]
            whole = sum(math.exp(cosine(z[i], z[k]) / heat) for k in others)
            like = [k for k in others if abs(heights[i] - heights[k]) < near]
            if like:
                logs = [math.log(math.exp(cosine(z[i], z[k]) / heat) / whole) for k in like]
                terms.append(-sum(logs) / len(like))
        found = contrast_positions(z, torch.tensor(heights), near, heat)
        assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-5)

    def test_places(self):
        first, second = normal(2, 3, 5), normal(2, 3, 5, seed=1)
        inside = torch.tensor([[True, True, False], [True, False, True]])
        kept = [(b, p) for b, p in itertools.product(range(2), range(3)) if inside[b, p]]
        total = 0.0
        for one, other in ((first, second), (second, first)):
            for i in kept:
                weights = {k: math.exp(cosine(one[i], other[k]) / 0.2) for k in kept}
                total -= math.log(weights[i] / sum(weights.values())) / len(kept) / 2
        assert float(contrast_places(first, second, inside, 0.2)) == pytest.approx(total, rel=1e-5)

    @pytest.mark.parametrize("dims", [2, 3])
    def test_a_moved_place_shows_the_same_spot(self, dims):
        """Images that hold their own coordinates: both views say the same at matching places."""
        space = (40, 48, 44)[:dims]
        axes = [torch.linspace(-1, 1, size) for size in space]
        ramps = torch.stack(torch.meshgrid(*axes, indexing="ij")).expand(3, -1, *space)
        augment = Augment(Augmentation(crop=0.6, rotate_degrees=20, flip_lr=0.5))
        (first, here), (second, there) = (augment.placed(ramps, seeded(k)) for k in (1, 2))
        places = torch.rand(3, 50, dims, generator=seeded(3)) * 1.6 - 0.8
        moved = move_places(places, here, there)
        inside = (moved.abs().amax(2) < 0.9) & (sample_places(first, places).abs().amax(2) < 0.9)
        assert inside.sum() > 20
        difference = sample_places(first, places) - sample_places(second, moved)
        assert difference[inside].abs().max() < 0.02


class TestPrediction:
    def test_byol(self):
        a, b = normal(5, 4), normal(5, 4, seed=1)
        expected = sum(2 - 2 * cosine(a[k], b[k]) for k in range(5)) / 5
        assert float(prediction_error(a, b)) == pytest.approx(expected, rel=1e-5)
        distance = (unit(a) - unit(b)).square().sum(1).mean()
        assert float(prediction_error(a, b)) == pytest.approx(float(distance), rel=1e-5)

    def test_barlow_twins(self):
        a, b = normal(7, 3), normal(7, 3, seed=1)
        total = 0.0
        for i, j in itertools.product(range(3), range(3)):
            one, other = a[:, i] - a[:, i].mean(), b[:, j] - b[:, j].mean()
            correlation = float((one * other).sum() / (one.norm() * other.norm()))
            total += (1 - correlation) ** 2 if i == j else 0.005 * correlation**2
        assert float(barlow_twins(a, b, 0.005)) == pytest.approx(total, rel=1e-4)

    def test_vicreg(self):
        z = normal(9, 4) * torch.tensor([0.2, 0.5, 1.0, 3.0])
        hinge, covariances = 0.0, 0.0
        for i in range(4):
            column = z[:, i]
            variance = sum(float(v - column.mean()) ** 2 for v in column) / 8
            hinge += max(0.0, 1 - math.sqrt(variance + 1e-4)) / 4
            for j in range(4):
                other = z[:, j]
                pairs = zip(column - column.mean(), other - other.mean(), strict=True)
                value = sum(float(a * b) for a, b in pairs) / 8
                covariances += value**2 / 4 if i != j else 0.0
        assert float(hinge_deviation(z)) == pytest.approx(hinge, rel=1e-5)
        assert float(square_covariance(z)) == pytest.approx(covariances, rel=1e-5)

    def test_distillation(self):
        scores = [normal(3, 5, seed=k) for k in range(4)]
        chances = [normal(3, 5, seed=10 + k).softmax(1) for k in range(2)]
        terms = []
        for k, j in itertools.product(range(2), range(4)):
            if k != j:
                chance = (scores[j] / 0.1).softmax(1)
                terms.append(float(-(chances[k] * chance.log()).sum(1).mean()))
        found = distil(tuple(scores), tuple(chances), 0.1)
        assert float(found) == pytest.approx(sum(terms) / len(terms), rel=1e-5)

    def test_a_teacher_is_a_moving_average(self):
        student = torch.nn.Linear(2, 2)
        teacher = Teacher(student, 0.9)
        before = student.weight.detach().clone()
        with torch.no_grad():
            student.weight += 1
        teacher.follow(student)
        torch.testing.assert_close(teacher.network.weight, 0.9 * before + 0.1 * student.weight)
        assert not any(weight.requires_grad for weight in teacher.parameters())

    def test_hidden_patches_are_evened_out(self):
        hidden = torch.rand(6, 30, generator=seeded(1)) < 0.5
        fewest = int(hidden.sum(1).min())
        even = even_out(hidden, fewest, seeded(2))
        assert (even.sum(1) == fewest).all()
        assert not (even & ~hidden).any()

    def test_latent_targets_are_measured_against_the_other_patches(self):
        """One vector for all patches, which a collapse ends in, is no answer that pays."""
        encoder = VisionTransformer(2, 1, patch=4, embed=24, depth=1, heads=2)
        learner = LatentPrediction(encoder, augment=Augment(Augmentation())).requires_grad_(False)
        images = normal(3, 1, 16, 12).float()
        views = learner.views(Batch(images, torch.arange(3), seeded(1)))
        assert learner.kept is learner.teacher.network
        maps = learner.kept.features(images)[-1].flatten(2)
        learner.predict = torch.nn.Linear(96, 24).requires_grad_(False)  # says nothing but zero
        torch.nn.init.zeros_(learner.predict.weight)
        torch.nn.init.zeros_(learner.predict.bias)
        total, count = 0.0, 0
        for image, feature in itertools.product(range(3), range(24)):
            course = maps[image, feature]
            for patch in views[1][image].nonzero()[:, 0].tolist():
                away = float((course[patch] - course.mean()) / course.std(correction=0))
                total += away**2 / 2 if abs(away) < 1 else abs(away) - 0.5
                count += 1
        assert float(learner.loss(views)) == pytest.approx(total / count, rel=1e-3)
        learner.kept.norm.bias += 7  # the same for every patch
        assert float(learner.loss(views)) == pytest.approx(total / count, rel=1e-3)


class TestPuzzles:
    @pytest.mark.parametrize(("dims", "count"), [(2, 4), (3, 10)])
    def test_turns_are_all_different(self, dims, count):
        cube = torch.arange(3**dims).view(1, *[3] * dims)
        turns = list_turns(dims)
        assert len(turns) == count
        turned = {
            tuple(torch.rot90(cube, times, [1 + axis for axis in plane]).flatten().tolist())
            for times, plane in turns
        }
        assert len(turned) == count

    @pytest.mark.parametrize("dims", [2, 3])
    def test_each_image_is_turned_as_was_chosen(self, dims):
        turns = list_turns(dims)
        images = normal(len(turns), 2, *[4] * dims)
        turned = turn_each(images, torch.arange(len(turns)))
        for image, found, (times, plane) in zip(images, turned, turns, strict=True):
            assert torch.equal(found, torch.rot90(image, times, [1 + axis for axis in plane]))

    def test_squares_are_cut_from_the_middle(self):
        images = torch.arange(28.0).view(1, 1, 4, 7)
        assert torch.equal(cut_square(images), images[..., 1:5])

    @pytest.mark.parametrize(("space", "cells"), [((19, 25), 3), ((10, 12, 9), 2)])
    def test_tiles_come_from_their_cells(self, space, cells):
        axes = torch.meshgrid(*[torch.arange(float(n)) for n in space], indexing="ij")
        for axis, places in enumerate(axes):
            tiles = cut_tiles(places.expand(1, 1, *space), cells, seeded(1))
            assert tiles.shape[1] == cells ** len(space)
            raw = torch.stack([tile.unique() for tile in tiles[0]])
            assert raw.shape[1] == int(0.85 * (space[axis] // cells))

    def test_tiles_are_normalised(self):
        tiles = cut_tiles(normal(2, 1, 18, 18).float() * 5 + 3, 3, seeded(1)).flatten(2)
        torch.testing.assert_close(tiles.mean(2), torch.zeros(2, 9), atol=1e-5, rtol=0)
        torch.testing.assert_close(tiles.std(2), torch.ones(2, 9), atol=1e-2, rtol=0)

    @pytest.mark.parametrize("dims", [2, 3])
    def test_neighbours_lie_where_their_numbers_say(self, monkeypatch, dims):
        count = 3**dims
        numbered = torch.arange(float(count)).view(1, count, *[1] * (1 + dims))
        numbered = numbered.expand(4, count, 1, *[6] * dims)
        monkeypatch.setattr("tassl.methods.position.cut_tiles", lambda *_: numbered)
        encoder = NETWORKS["cnn"].load()(dims, 1)
        method = RelativePosition(encoder, augment=Augment(Augmentation()))
        images = torch.zeros(4, 1, *[18] * dims)
        middle, others, places = method.views(Batch(images, torch.arange(4), seeded(0)))
        assert (middle == count // 2).all()
        assert others.shape[:2] == places.shape == (4, 8)
        assert torch.equal(others.flatten(2)[..., 0], (places + (places >= count // 2)).float())
        assert all(len(set(row)) == 8 for row in places.tolist())

    def test_permutations_are_far_apart(self):
        chosen = far_permutations(9, 30)
        assert chosen.shape == (30, 9)
        assert torch.equal(chosen.sort(1).values, torch.arange(9).expand(30, -1))
        distances = [(a != b).sum().item() for a, b in itertools.combinations(chosen, 2)]
        assert min(distances) >= 7
        assert torch.equal(chosen, far_permutations(9, 30))

    def test_there_are_no_more_orders_than_there_can_be(self):
        assert len(far_permutations(3, 64)) == 6

    def test_overlap(self):
        windows, cells = torch.tensor([[0, 0], [3, 0], [6, 0], [3, 2]]), [[0, 0], [6, 8]]
        shares = share_of(windows, torch.tensor(cells), torch.tensor([6, 8]))
        expected = torch.tensor([[1, 0], [0.5, 0], [0, 0], [0.5 * 0.75, 0.5 * 0.25]])
        torch.testing.assert_close(shares, expected)

    def test_overlaps_of_a_window_add_up(self):
        corners = torch.tensor([[6 * r, 8 * c] for r in range(3) for c in range(3)])
        windows = torch.tensor([[0, 0], [5, 3], [12, 16], [7, 11]])
        shares = share_of(windows, corners, torch.tensor([6, 8]))
        torch.testing.assert_close(shares.sum(1), torch.ones(4))

    def test_overlap_error(self):
        windows, cells = unit(normal(2, 2, 5)), unit(normal(2, 3, 5, seed=1))
        overlaps = torch.rand(2, 2, 3, generator=seeded(2)).double()
        position, likeness = [], []
        for b in range(2):
            for w, c in itertools.product(range(2), range(3)):
                guess = max(0.0, cosine(windows[b, w], cells[b, c]))
                position.append(-math.log(1 - abs(guess - float(overlaps[b, w, c]))))
            for i, j in itertools.permutations(range(3), 2):
                likeness.append(max(0.0, cosine(cells[b, i], cells[b, j])))
        expected = sum(position) / len(position) + sum(likeness) / len(likeness)
        assert float(overlap_error(windows, cells, overlaps)) == pytest.approx(expected, rel=1e-5)


class TestCorruption:
    def test_swapping_twice_changes_nothing(self):
        images = normal(2, 1, 10, 10)
        first, second = (
            list_pixels(torch.tensor(start), (3, 3), (10, 10))
            for start in ([[0, 1], [2, 2]], [[6, 5], [7, 4]])
        )
        swapped = swap_pixels(images.flatten(2), first, second).view_as(images)
        assert torch.equal(swapped[0, 0, 0:3, 1:4], images[0, 0, 6:9, 5:8])
        assert torch.equal(swapped[1, 0, 7:10, 4:7], images[1, 0, 2:5, 2:5])
        assert torch.equal(swapped.flatten().sort().values, images.flatten().sort().values)
        again = swap_pixels(swapped.flatten(2), first, second).view_as(images)
        assert torch.equal(again, images)

    def test_curves_keep_extremes_and_order(self):
        images = normal(5, 1, 9, 9).float()
        bent = bend_curve(images, seeded(1))
        for image, other in zip(images.flatten(1), bent.flatten(1), strict=True):
            assert float(other.min()) == pytest.approx(float(image.min()), abs=1e-4)
            assert float(other.max()) == pytest.approx(float(image.max()), abs=1e-4)

    def test_curves_follow_bezier(self):
        images = torch.linspace(0, 1, 11).view(1, 1, 1, 11)
        rng = seeded(4)
        first, second = (torch.rand(1, generator=rng).item() for _ in range(2))
        bent = bend_curve(images, seeded(4)).flatten()
        for t, value in zip(images.flatten().tolist(), bent.tolist(), strict=True):
            expected = 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3
            assert value == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("space", [(9, 12), (8, 5, 6)])
    def test_pixels_are_shuffled_within_blocks(self, space):
        places = torch.stack(
            torch.meshgrid(*[torch.arange(float(n)) for n in space], indexing="ij")
        )
        mixed = shuffle_locally(places[None], seeded(1), block=4)[0]
        assert not torch.equal(mixed, places)
        assert torch.equal(mixed // 4, places // 4)

    def test_levels_of_fusion_are_what_was_mixed(self):
        encoder = NETWORKS["unet"].load().sized(2, 1, (24, 24))
        learner = VolumeFusion(encoder, augment=Augment(Augmentation()), levels=4)
        images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 1, 24, 24)
        fused, level = learner.views(Batch(images, torch.arange(3), seeded(1)))
        other = images.roll(1, 0)
        share = (fused - images) / (other - images)
        torch.testing.assert_close(share, level / 4)
        assert set(level.unique().tolist()) == {0, 1, 2, 3, 4}

    @pytest.mark.parametrize("dims", [2, 3])
    def test_lesions_lie_where_the_image_changed(self, dims):
        space = (24, 28, 20)[:dims]
        encoder = NETWORKS["unet"].load().sized(dims, 1, space)
        learner = SimulatedLesions(encoder, augment=Augment(Augmentation()))
        images = torch.zeros(8, 1, *space)
        planted, plain, where = learner.views(Batch(images, torch.arange(8), seeded(1)))
        assert torch.equal(plain, images)
        assert (where.flatten(1).sum(1) > 0).sum() >= 6
        change = (planted - plain).abs()
        assert change[where == 1].mean() > 10 * change[where == 0].mean()


class TestGuidedMasks:
    @pytest.mark.parametrize("space", [(20, 24), (9, 12, 10)])
    def test_means_per_cell(self, space):
        maps, block = normal(2, 1, *space), 4
        found = mean_per_cell(maps, block)
        assert found.shape == (2, *count_cells(space, block))
        for cell in itertools.product(*[range(n) for n in found.shape[1:]]):
            window = [
                slice(c * block, min((c + 1) * block, n)) for c, n in zip(cell, space, strict=True)
            ]
            torch.testing.assert_close(found[(0, *cell)], maps[(0, 0, *window)].mean())

    def test_entropy_is_that_of_the_levels(self):
        images = torch.zeros(1, 1, 8, 8)
        images[..., :4, 4:] = torch.arange(16.0).view(4, 4) / 15
        found = entropy_per_cell(images, 4, levels=4)[0]
        assert found[0, 0] == pytest.approx(0, abs=1e-6)
        assert found[0, 1] == pytest.approx(math.log(4), abs=1e-3)

    def test_steepness(self):
        images = torch.zeros(1, 1, 4, 4)
        images[..., 2] = 3
        expected = torch.zeros(4, 4)
        expected[:, 1] = expected[:, 2] = 3
        assert torch.equal(steepness(images)[0, 0], expected)

    @pytest.mark.parametrize("space", [(24, 32), (12, 12, 16)])
    def test_interest_decides_and_the_number_stays(self, space):
        cells = count_cells(space, 4)
        interest = torch.rand(64, *cells, generator=seeded(1))
        interest[:, 0] = 10
        masks = draw_guided_masks(interest, space, 4, 0.4, seeded(2), focus=2.0)
        assert masks.shape == (64, 1, *space)
        hidden = masks[(..., *[slice(None, None, 4)] * len(space))][:, 0]
        assert len(set(hidden.flatten(1).sum(1).tolist())) == 1
        shares = hidden.float().mean(0)
        assert shares[0].mean() > 1.5 * shares[1:].mean()

    def test_without_focus_interest_does_not_count(self):
        interest = torch.ones(4000, 3, 3)
        interest[:, 0] = 100
        masks = draw_guided_masks(interest, (12, 12), 4, 0.33, seeded(2), focus=0.0)
        shares = masks[:, 0, ::4, ::4].float().mean(0)
        assert (shares - shares.mean()).abs().max() < 0.03

    def test_odds_are_in_proportion_to_interest(self):
        interest = torch.tensor([1.0, 2.0, 5.0]).expand(20_000, 1, 3)
        masks = draw_guided_masks(interest, (1, 3), 1, 0.33, seeded(2), focus=1.0)
        shares = masks[:, 0, 0].float().mean(0)
        torch.testing.assert_close(shares, torch.tensor([1, 2, 5]) / 8, atol=0.015, rtol=0)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("space", [(6, 7), (4, 5, 6)])
def test_dice_loss_is_monais(space, background):
    scores = normal(2, 3, *space)
    target = torch.randint(3, (2, 1, *space), generator=seeded(1))
    reference = DiceLoss(
        include_background=background, to_onehot_y=True, softmax=True, batch=True
    )  # fmt: skip
    torch.testing.assert_close(
        dice_loss(scores, target, background=background), reference(scores, target)
    )
