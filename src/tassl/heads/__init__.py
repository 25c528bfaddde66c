"""Downstream heads: one clinical task per file."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.registry import Card


@dataclass(frozen=True)
class HeadCard(Card):
    """A card with what the protocol needs to know of a task.

    Args:
        network: Default network for this task.
        locality: Where the sign sits unless the user says otherwise.
        metrics: Metrics, the first decides; keys in `tassl.evaluation.metrics.METRICS`.
        target: What an image needs to be labelled: "label", "findings", "mask", "regions", "boxes",
            "value" or "image".
        unit: What a label budget counts.
        probe: Place of the class that is fitted on frozen maps, "module:Name"; "" where frozen
            arms are linear models on a vector per image.
        alike: Task whose published evidence speaks for this one; "" where it has its own.
    """

    network: str = "cnn"
    locality: str = "global"
    metrics: tuple[str, ...] = ()
    target: str = "label"
    unit: str = "subjects"
    probe: str = ""
    alike: str = ""


HEADS: dict[str, HeadCard] = {
    "classification": HeadCard(
        "Classification",
        at="tassl.heads.classifier:Classifier",
        network="cnn",
        locality="global",
        metrics=(
            "auroc",
            "balanced_accuracy",
            "auprc",
            "sensitivity_90",
            "sensitivity_95",
            "f1",
            "brier",
            "ece",
        ),
        unit="subjects per class",
    ),
    "multilabel": HeadCard(
        "Multi-label classification",
        at="tassl.heads.multilabel:MultilabelClassifier",
        source="Rajpurkar et al. 2017, arXiv:1711.05225",
        metrics=("mean_auroc", "mean_auprc", "mean_brier", "mean_ece"),
        target="findings",
        unit="subjects per finding",
        alike="classification",
    ),
    "segmentation": HeadCard(
        "Segmentation",
        at="tassl.heads.segmenter:Segmenter",
        source="Isensee et al., Nature Methods 2021, 10.1038/s41592-020-01008-z",
        network="unet",
        locality="local",
        metrics=("dice", "nsd", "hd95", "volume_error", "lesion_f1", "false_alarms"),
        target="mask",
        probe="tassl.heads.dense_probe:DenseProbe",
    ),
    "regions": HeadCard(
        "Segmentation of regions",
        at="tassl.heads.regions:RegionSegmenter",
        source="Isensee et al., BrainLes 2020, arXiv:2011.00848",
        network="unet",
        locality="local",
        metrics=("dice", "nsd", "hd95", "volume_error", "lesion_f1", "false_alarms"),
        target="regions",
        probe="tassl.heads.regions:RegionProbe",
        alike="segmentation",
    ),
    "reconstruction": HeadCard(
        "Reconstruction",
        at="tassl.heads.restorer:Restorer",
        source="Zhang et al., IEEE TIP 2017, arXiv:1608.03981",
        network="unet",
        locality="local",
        metrics=("psnr", "ssim", "nrmse"),
        target="image",
    ),
    "detection": HeadCard(
        "Detection",
        at="tassl.heads.detector:Detector",
        source="Lin et al., ICCV 2017, arXiv:1708.02002",
        network="cnn",
        locality="local",
        metrics=(
            "map",
            "ap_10",
            "ap_30",
            "ap_50",
            "cpm",
            *(f"sensitivity_{alarms}" for alarms in ("1/8", "1/4", "1/2", "1", "2", "4", "8")),
        ),
        target="boxes",
        probe="tassl.heads.box_probe:BoxProbe",
    ),
    "regression": HeadCard(
        "Regression",
        at="tassl.heads.regressor:Regressor",
        source="Huber, Ann. Math. Stat. 1964",
        metrics=(
            "mae",
            "r2",
            "rmse",
            "ccc",
            "calibration_slope",
            "bias",
            "agreement_low",
            "agreement_high",
        ),
        target="value",
    ),
}
