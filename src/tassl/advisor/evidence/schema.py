"""What stands in the evidence base: tables, columns, allowed words. The one place that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tassl.methods import PARADIGMS
from tassl.modality import MODALITIES

SSL = PARADIGMS
REFERENCES = ("scratch", "supervised", "vision-language", "unknown")
MODALITY = (*MODALITIES, "mixed", "other")
TASKS = ("classification", "segmentation", "detection", "regression", "reconstruction")
DIMS = ("2d", "3d", "video")
REGIMES = ("few-shot", "1%", "10%", "50%", "full", "mixed")
SEEN = ("full_text", "abstract", "readme", "secondary", "measured")


@dataclass(frozen=True)
class Scale:
    """How a metric's numbers are read.

    Args:
        title: Name as the field writes it.
        higher_is_better: Its direction.
        fraction: Whether values are shares of 1; percentages were divided by 100.
    """

    title: str
    higher_is_better: bool = True
    fraction: bool = True


METRICS: Mapping[str, Scale] = {
    "auroc": Scale("AUROC, also the mean or median over classes"),
    "accuracy": Scale("Accuracy"),
    "balanced_accuracy": Scale("Balanced accuracy, mean per-class accuracy"),
    "sensitivity": Scale("Sensitivity"),
    "specificity": Scale("Specificity"),
    "f1": Scale("F1"),
    "kappa": Scale("Cohen's kappa, also quadratic"),
    "average_precision": Scale("Average precision, also its mean over classes"),
    "dice": Scale("Dice"),
    "iou": Scale("Intersection over union, also its mean over classes"),
    "panoptic_quality": Scale("Panoptic quality"),
    "seg": Scale("SEG of the Cell Tracking Challenge"),
    "pearson": Scale("Pearson correlation"),
    "score": Scale("Mean of several metrics, or one that the source does not name"),
    "r2": Scale("Coefficient of determination", fraction=False),
    "mae": Scale("Mean absolute error, unit as printed", higher_is_better=False, fraction=False),
    "psnr": Scale("Peak signal-to-noise ratio, dB", fraction=False),
    "cost": Scale("Time, memory or money, unit as printed", higher_is_better=False, fraction=False),
}


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: Its name.
        about: What it says.
        kind: text, integer, number, flag (yes, no), url.
        allowed: The words that may stand in it; any unless given.
        required: Whether it may not be empty.
        refers: Table whose first column it must be found in.
    """

    name: str
    about: str
    kind: str = "text"
    allowed: tuple[str, ...] = ()
    required: bool = False
    refers: str = ""


@dataclass(frozen=True)
class Table:
    """A table: one row per what `about` says, `key` unlike in every row."""

    about: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]


def _word(name: str, about: str, allowed: tuple[str, ...], required: bool = True) -> Column:
    return Column(name, about, allowed=allowed, required=required)


STUDY = Column("study_id", "The study.", required=True, refers="studies")
SETTING = (
    _word("modality", "Modality of the labelled images.", MODALITY),
    _word("dims", "Dimensions of the images.", DIMS, required=False),
    _word("task", "Task that was scored.", TASKS),
    Column("dataset", "Data set that was scored, as printed."),
)
LABELS = (
    Column("labels_printed", "Amount of labels and adaptation, as printed."),
    _word("label_regime", "Amount of labels, at most.", REGIMES, required=False),
    _word("adaptation", "Whether the encoder moved.", ("frozen", "finetune"), required=False),
)
SCORED = (
    Column("metric_printed", "Metric, as printed."),
    _word("metric", "Metric; its direction is `METRICS[metric]`.", tuple(METRICS), required=False),
)
SOURCE = (
    Column("source_url", "Where it was read.", "url", required=True),
    Column("source_place", "Where on that page, or a second page."),
    _word("seen", "What of the source was read.", SEEN),
    Column("doubtful", "Whether an audit could not confirm it.", "flag", required=True),
)

# A table refers to those above it, so that they are written first.
TABLES: Mapping[str, Table] = {
    "studies": Table(
        "One row per study.",
        ("study_id",),
        (
            Column("study_id", "Short name.", required=True),
            Column("title", "Title.", required=True),
            Column("first_author", "Family name of the first author."),
            Column("year", "Year, of the first version that was seen.", "integer"),
            Column("venue", "Journal, conference or archive."),
            Column("identifier", "arXiv:, doi: or PMC number; several apart by semicolons."),
            Column("source_url", "Where it was read.", "url", required=True),
            _word("seen", "The most that was read of it.", SEEN),
        ),
    ),
    "methods": Table(
        "One row per name of a method: the one place that gives it a paradigm.",
        ("method",),
        (
            Column("method", "Name as printed.", required=True),
            Column("canonical", "Name that its variants share.", required=True),
            _word("paradigm", "Its paradigm.", (*SSL, *REFERENCES)),
            Column("note", "Why, where it is arguable."),
        ),
    ),
    "findings": Table(
        "One row per statement of a study: what a method gained on a task over a baseline.",
        ("finding_id",),
        (
            Column("finding_id", "Study and number.", required=True),
            STUDY,
            _word("paradigm", "Paradigm of the method.", SSL),
            Column("method", "Method, as printed.", required=True),
            Column("pretext_task", "What it learns from."),
            *SETTING,
            Column("anatomy", "Part of the body."),
            *LABELS,
            *SCORED,
            Column("baseline", "What it is set against."),
            Column("baseline_value", "Value of the baseline.", "number"),
            Column("ssl_value", "Value of the method.", "number"),
            Column("delta", "Difference, method less baseline.", "number"),
            Column("gain_printed", "Gain as printed, where it is no plain difference."),
            Column("finding", "The statement, in our own words.", required=True),
            *SOURCE,
        ),
    ),
    "comparisons": Table(
        "One row per set of methods scored on the same labelled data by one study.",
        ("case_id",),
        (
            Column("case_id", "Study and number.", required=True),
            STUDY,
            *SETTING,
            *LABELS,
            Column("pretrain_images", "Images in pretraining.", "integer"),
            Column("backbone", "Network, as printed."),
            *SCORED,
            Column("winner", "Best method, as in `results`; equals apart by ` = `."),
            Column("winner_is_authors_method", "The study's own, or its laboratory's.", "flag"),
            _word(
                "same_pretraining_data",
                "Whether all methods were pretrained on the same images.",
                ("yes", "partly", "no"),
                required=False,
            ),
            Column("overlaps", "Whether it is a mean over other rows.", "flag", required=True),
            *SOURCE,
            Column("notes", "What a reader must know."),
        ),
    ),
    "results": Table(
        "One row per method of a comparison; source and setting stand there.",
        ("case_id", "method"),
        (
            Column("case_id", "The comparison.", required=True, refers="comparisons"),
            Column("method", "Method, as printed.", required=True, refers="methods"),
            _word("paradigm", "Its paradigm, as in `methods`.", (*SSL, *REFERENCES)),
            Column("value", "Its value; empty where the source gives words only.", "number"),
        ),
    ),
}

FLOW = Table(
    "From what was found to what is included, as PRISMA 2020 asks: identified less duplicates "
    "less excluded.",
    ("stage", "reason"),
    (
        _word("stage", "Step of the selection.", ("identified", "duplicate", "excluded")),
        Column("reason", "Where found, or why left out.", required=True),
        Column("studies", "Number of studies.", "integer", required=True),
        Column("findings", "Number of findings.", "integer", required=True),
        Column("comparisons", "Number of comparisons.", "integer", required=True),
        Column("which", "Which ones, where they are few."),
    ),
)
