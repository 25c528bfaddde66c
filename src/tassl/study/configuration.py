"""What a study is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tassl.amounts import parse_memory, parse_time
from tassl.checkpoint import load_checkpoint
from tassl.data.fetching import strip_secrets
from tassl.data.regions import parse_regions
from tassl.data.remote import is_remote
from tassl.errors import BannedOperation, OptionError
from tassl.evaluation.protocol import Protocol
from tassl.heads import HEADS
from tassl.methods import METHODS
from tassl.modality import MODALITIES
from tassl.modality.base import LOCALITIES, Augmentation
from tassl.networks import NETWORKS
from tassl.networks.natural import check_natural
from tassl.pretraining.schedule import COURSES, Schedule
from tassl.registry import look_up
from tassl.transforms.degradations import Degradation, choose_degradation

ALONE = ("noise", "undersample")  # degradations whose images teach without clean ones
MATCHED = ("label", "mask")  # targets whose classes can be guessed without labels
PLAIN = ("label", "findings", "value")  # targets that are one entry per image


@dataclass(frozen=True)
class Study:
    """Every choice that the results depend on.

    Args:
        data: File or folder of images, or the address of one.
        modality: Key in `MODALITIES`.
        task: Key in `HEADS`.
        methods: Pretext methods to try; those that the advice names unless given.
        locality: "global" or "local", where the clinical sign sits; the task's own unless given.
        network: Key in `NETWORKS`; the task's own unless given.
        size: Most pixels along a side; 128 in 2D and 64 in 3D unless given.
        epochs: Passes of each pretraining; by the number of images unless given.
        batch: Images per pretraining step; by the number of images unless given.
        course: Of the learning rate: "cosine", or "constant" with a cool-down, so that `pretrain`
            can go on later for more epochs.
        grow: Share of each pretraining, from its start, on images of half the size.
        memory: Most memory of each pretraining, as in "8GB"; the batch passes in parts, or less
            that it needs less, where it must.
        time: Most time of each pretraining, as in "2h"; fewer epochs where they must be.
        scout: Time for small pilots that choose what to pretrain, as in "30m", among `methods`
            where these are given; no pilots unless given.
        steps: Optimiser steps of each trained arm; the task's own unless given.
        class_weights: Let every class count alike in fitting, however many images it has.
        wide_tuning: Tune more than the learning rate of trained arms, in three times the tries.
        devices: Devices of each machine that pretrain together; each is a process.
        nodes: Machines that pretrain together.
        strategy: "ddp" or "fsdp": whether each of them keeps all weights or a share.
        seed: Of splits, initialisation, order, augmentation and resampling.
        degrade: What reconstruction undoes, as in "noise:0.5": key in `DEGRADATIONS` and strength;
            the modality's own unless given.
        clean: "paired": training images have a clean counterpart; "none": they are noisy or
            undersampled, and a network learns from them alone. Validation and test images are clean
            in any case.
        ordinal: Classes are grades in the order of their numbers: quadratic kappa is scored too.
        shuffle_labels: Negative control: labels of the training side are shuffled.
        shuffle_pixels: Negative control: the pixels of all images are put in one other order.
        plant_confounder: Test of shortcuts: a mark that gives the answer away is drawn into all
            images but those of the test.
        external: Site whose subjects are tested, and no others.
        layout: Layout of the data, where recognition guesses wrong.
        subject: Regular expression with one group that finds the subject in a file name.
        csv: Table that tells more of the images, by file name.
        label: Its column of the class, or those of findings as "A,B", where names do not tell.
        value: Its column of the number to predict, where neither name nor unit tell.
        regions: Names of regions, and the classes of masks that each joins: "whole=1+2,core=2".
        own_splits: Forget the splits that the data set gives.
        drop_near_duplicates: Take the less guarded of two nearly identical images on two sides of
            the split out.
        subsets: File of label subsets, as a run leaves them in subsets.json; drawn unless given.
        augment: Changes to the modality's augmentation ranges, by operation.
        allow: Banned operations that are permitted by name.
        checkpoints: Pretrained folders by name, used instead of pretraining.
        natural: Natural-image weights that baselines start from: names of timm models, or
            NAME=FILE.
        fixmatch: Add a semi-supervised baseline, which costs about three times the scratch arm.
        protocol: Budgets, draws, rates and statistics.
    """

    data: str
    modality: str
    task: str
    methods: tuple[str, ...] = ()
    locality: str = ""
    network: str = ""
    size: int | None = None
    epochs: int | None = None
    batch: int | None = None
    course: str = COURSES[0]
    grow: float = 0.0
    memory: str | None = None
    time: str | None = None
    scout: str | None = None
    steps: int | None = None
    class_weights: bool = False
    wide_tuning: bool = False
    devices: int = 1
    nodes: int = 1
    strategy: str = "ddp"
    seed: int = 0
    degrade: str = ""
    clean: str = "paired"
    ordinal: bool = False
    shuffle_labels: bool = False
    shuffle_pixels: bool = False
    plant_confounder: bool = False
    external: str = ""
    layout: str | None = None
    subject: str | None = None
    csv: str | None = None
    label: str | None = None
    value: str | None = None
    regions: str | None = None
    own_splits: bool = False
    drop_near_duplicates: bool = False
    subsets: str | None = None
    augment: Mapping[str, float] = field(default_factory=dict)
    allow: tuple[str, ...] = ()
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    natural: tuple[str, ...] = ()
    fixmatch: bool = False
    protocol: Protocol = field(default_factory=Protocol)

    def check(self) -> None:
        """Refuse unknown names, impossible numbers and bad checkpoints, before data are read.

        Raises:
            OptionError: With what came, what was wanted and what to do.
            InputError: A checkpoint cannot be loaded.
        """
        profile = look_up(MODALITIES, self.modality, "modality").load()
        profile.augmentation(self.chosen_locality, allow=self.allow, **self.augment)
        for name in self.allow:
            look_up({**METHODS, **asdict(Augmentation())}, name, "method or operation")
        for method in self.methods:
            card = look_up(METHODS, method, "method")
            rule = profile.degenerate.get(card.pretext)
            if rule and method not in self.allow:
                raise BannedOperation(
                    f"{card.title} carries no signal for {self.modality}: {rule.text} "
                    f"({rule.source}). Choose another, or permit it by name with --allow {method}."
                )
        look_up(NETWORKS, self.chosen_network, "network")
        Schedule(1, 1, course=self.chosen_course, grow=self.grow)
        target = HEADS[self.task].target
        for name in ("ordinal", "class_weights"):
            if getattr(self, name) and target != "label":
                option = f"--{name.replace('_', '-')}"
                raise OptionError(
                    f"{option} is for classes, one per image; {self.task} has none. Leave it out."
                )
        if self.fixmatch and target not in MATCHED:
            raise OptionError(
                f"--fixmatch is for classes, one per image or pixel; {self.task} has none. Leave "
                "it out."
            )
        if self.regions is not None:
            parse_regions(self.regions)
            if target != "regions":
                raise OptionError(
                    f"--regions came with --task {self.task}. Give --task regions, or leave it out."
                )
        self._check_degradation()
        self._check_controls()
        numbers = {
            "size": self.size, "epochs": self.epochs, "batch": self.batch, "steps": self.steps,
            "devices": self.devices, "nodes": self.nodes,
        }  # fmt: skip
        for name, value in numbers.items():
            least = 8 if name == "size" else 1
            if value is not None and value < least:
                raise OptionError(f"--{name} is {value}; wanted {least} or more.")
        if any(self.limits().values()) and self.devices * self.nodes > 1:
            raise OptionError(
                "--memory and --time are kept to in one process only. Leave them out, or --devices "
                "and --nodes."
            )
        brought = {"budgets", "draws"} & set(self.protocol.changes)
        if self.subsets is not None and brought:
            raise OptionError(
                "--subsets brings budgets and draws along. Leave out --"
                f"{' and --'.join(sorted(brought))}."
            )
        if self.scout:
            parse_time(self.scout, "the time of the scout")
        if self.seed < 0:
            raise OptionError(f"--seed is {self.seed}; wanted zero or more.")
        for place in self.checkpoints.values():
            load_checkpoint(place)
        for spec in self.natural:
            check_natural(spec)

    def _check_degradation(self) -> None:
        if HEADS[self.task].target != "image":
            if self.degrade or self.clean != "paired":
                raise OptionError(
                    f"--degrade and --clean are for reconstruction; the task is {self.task}. Leave "
                    "them out."
                )
            return
        if self.shuffle_labels or self.shuffle_pixels or self.plant_confounder:
            raise OptionError(
                "Controls change labels or images; images to restore have none but themselves. "
                "Leave --shuffle-labels, --shuffle-pixels and --plant-confounder out."
            )
        look_up(dict.fromkeys(("paired", "none")), self.clean, "state of training images")
        kind = self.degradation.kind
        if self.clean == "none" and kind not in ALONE:
            raise OptionError(
                f"--clean none learns from noise that is independent from pixel to pixel, or from "
                f"lines of k-space; {kind} has neither. Use --degrade {' or '.join(ALONE)}, or "
                "leave --clean out."
            )

    @property
    def degradation(self) -> Degradation:
        """What reconstruction undoes."""
        return choose_degradation(self.degrade, self.modality)

    def _check_controls(self) -> None:
        flags = ("shuffle_labels", "shuffle_pixels", "plant_confounder")
        given = [f"--{name.replace('_', '-')}" for name in flags if getattr(self, name)]
        if len(given) > 1:
            raise OptionError(f"{' and '.join(given)} came; wanted one at a time.")
        if given and given != ["--shuffle-labels"] and HEADS[self.task].target not in PLAIN:
            raise OptionError(
                f"{given[0]} is for classes and numbers, not for {self.task}. Leave it out."
            )

    def limits(self) -> dict[str, Any]:
        """Bytes and seconds that each pretraining may take, None where there is no limit."""
        return {
            "most_memory": None if self.memory is None else parse_memory(self.memory),
            "most_seconds": None if self.time is None else parse_time(self.time),
        }

    @property
    def chosen_locality(self) -> str:
        """The locality given, or the task's own."""
        locality = self.locality or look_up(HEADS, self.task, "task").locality
        look_up(dict.fromkeys(LOCALITIES), locality, "locality")
        return locality

    @property
    def chosen_course(self) -> str:
        """The course given; one that can go on where pilots come first."""
        return "constant" if self.scout else self.course

    @property
    def chosen_network(self) -> str:
        """The network given, or the task's own."""
        return self.network or look_up(HEADS, self.task, "task").network

    @property
    def plain_data(self) -> str:
        """The data's path or address, without what only its owner should read."""
        return strip_secrets(self.data) if is_remote(self.data) else self.data

    def facts(self) -> dict[str, Any]:
        """Plain values, for study.yaml."""
        protocol = asdict(self.protocol) | {"name": self.protocol.title}
        return _plain(asdict(self) | {"data": self.plain_data, "protocol": protocol})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
