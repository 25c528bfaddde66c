"""Put the parts of a run together: the page and the card."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from tassl.evaluation.metrics import METRICS
from tassl.modality import MODALITIES
from tassl.report import tables
from tassl.report.advised import tell_outcome
from tassl.report.arms import tell_baselines, tell_teacher
from tassl.report.audited import show_findings
from tassl.report.card import describe_card
from tassl.report.cases import choose_gallery
from tassl.report.checked import show_checks
from tassl.report.claims import tell_why
from tassl.report.figures import draw_efficiency
from tassl.report.forest import draw_forest
from tassl.report.froc import show_froc
from tassl.report.loading import Run
from tassl.report.pretrained import describe_pretraining
from tassl.report.regions import tell_regions
from tassl.report.rendering import Figure, render
from tassl.report.restored import floors_table
from tassl.report.scouted import describe_scout
from tassl.report.sketch import sketch_verdict
from tassl.report.trust import show_trust
from tassl.report.words import (
    budget_unit,
    confidence,
    headline,
    is_small,
    list_cautions,
    list_missing,
    metric_title,
    metric_wish,
    overall_verdict,
    plain,
)

CURVES = 2  # metrics with a figure of their own


def render_documents(run: Run) -> tuple[str, str]:
    """The report as one HTML page, and the model card in Markdown."""
    shared = _shared(run)
    card = render("card.md.j2", **shared, **describe_card(run))
    return render("report.html.j2", **shared, **_page(run)), card


def render_audit(run: Run) -> str:
    """What is known of the data alone, as one HTML page."""
    facts = {"run": run, "summary": _summarise(run), "audit_facts": _audit_facts(run)}
    return render("data.html.j2", **facts, **_data(run))


def _data(run: Run) -> dict[str, Any]:
    """What is said of the data."""
    return {
        "audit_findings": show_findings(run),
        "ranges": tables.ranges_table(run.audit),
        "splits": tables.splits_table(run.audit),
        "set_aside": tables.set_aside_table(run.audit),
        "duplicates": tables.duplicates_table(run.audit),
    }


def _page(run: Run) -> dict[str, Any]:
    """What the page alone says."""
    from plotly.offline import get_plotlyjs

    environment = run.environment
    return {
        "picture": Markup(sketch_verdict(run, with_sentence=False)),
        "findings": tables.verdict_table(run),
        "savings": tables.savings_table(run),
        "floors": floors_table(run),
        "checks": show_checks(run),
        "outcome": tell_outcome(run),
        "pilots": describe_scout(run),
        "baselines": tell_baselines(run),
        "teacher": tell_teacher(run),
        "curves": _curves(run) + show_froc(run),
        "forest": _forest(run),
        "trust": show_trust(run),
        "results": tables.results_table(run) if run.results is not None else None,
        "advice": tables.advice_table(run),
        "gallery": choose_gallery(run),
        "tuning": tables.tuning_table(run),
        "strengths": tables.strengths_table(run),
        "protocol": tables.facts_table(run.study.get("protocol") or {}, ("Rule", "Value")),
        "versions": tables.facts_table(environment.get("versions", {}), ("Package", "Version")),
        "machine": tables.facts_table(environment.get("machine", {}), ("Machine", "")),
        "times": tables.times_table(run),
        "plotly": Markup(get_plotlyjs()),
    } | _data(run)


def _shared(run: Run) -> dict[str, Any]:
    """What page and card both say."""
    word = overall_verdict(run)
    protocol = run.study.get("protocol") or {}
    return {
        "run": run,
        "headline": headline(run),
        "look": "unproven" if is_small(run) else word.replace(" ", "-") or "none",
        "sentence": run.verdict.get("sentence", ""),
        "shuffled": bool(run.study.get("shuffle_labels")),
        "cautions": list_cautions(run),
        "missing": list_missing(run),
        "summary": _summarise(run),
        "methods": [describe_pretraining(run, part) for part in run.pretrainings],
        "unit": budget_unit(run),
        "metric": metric_title(run.verdict.get("metric", ""), run),
        "wish": metric_wish(run.verdict.get("metric", "")),
        "level": confidence(run),
        "draws": protocol.get("draws"),
        "alpha": protocol.get("alpha", 0.05),
        "audit_facts": _audit_facts(run),
    }


def _summarise(run: Run) -> str:
    audit = run.audit
    modality = str(audit.get("modality") or run.study.get("modality") or "")
    title = MODALITIES[modality].title if modality in MODALITIES else modality
    said = [str(run.study.get("task", "")), title.lower()]
    if audit:
        said.append(f"{audit.get('images')} images of {audit.get('subjects')} subjects")
        said.append(f"{audit.get('dims')}D, {plain(audit.get('shape'))}")
    return " \u00b7 ".join(part for part in said if part)


def _audit_facts(run: Run) -> dict[str, str]:
    audit = run.audit
    if not audit:
        return {}
    spacing = audit.get("spacing")
    return {
        "Source": plain(audit.get("source")),
        "Layout": plain(audit.get("layout")),
        "Modality": plain(audit.get("modality")),
        "Preprocessing": plain(audit.get("preprocessing")),
        **{
            title: plain(audit[key])
            for title, key in (
                ("Degradation", "degradation"),
                ("Training images", "training_images"),
                ("Range of the training images", "data_range"),
            )
            if key in audit
        },
        **({"Regions, by values of masks": tell_regions(run)} if audit.get("regions") else {}),
        "Images": plain(audit.get("images")),
        "Subjects": plain(audit.get("subjects")),
        "Grid": f"{plain(audit.get('shape'))} pixels",
        "Channels": plain(audit.get("channels")),
        "Pixel size": f"{plain(spacing)} mm" if spacing else "not told, or not the same in all",
        "Data hash": plain(audit.get("digest")),
    }


def _curves(run: Run) -> list[Figure]:
    if run.results is None:
        return []
    return [
        Figure(
            f"efficiency-{place}",
            draw_efficiency(run.results, metric, metric_title(metric, run), budget_unit(run)),
            f"{metric_title(metric, run)} on the test subjects against the number of labelled "
            f"{budget_unit(run)}, one line per arm, with {confidence(run)} intervals. "
            f"{metric_wish(metric)}; coloured solid lines are pretrained (hollow points: frozen "
            "encoder), dashed grey lines are baselines. Overlapping intervals do not mean that "
            "two arms are equal: the paired differences below compare them on the same subjects.",
        )
        for place, metric in enumerate(list(dict.fromkeys(run.results.metric))[:CURVES])
    ]


def _forest(run: Run) -> Figure | None:
    if run.results is None or not (run.results.verdict != "").any():
        return None
    metric = str(run.results.metric.iloc[0])
    title, side = metric_title(metric, run), "Left" if METRICS[metric].sign < 0 else "Right"
    return Figure(
        "forest",
        draw_forest(run.results, title, budget_unit(run), tell_why(run)),
        f"Each pretrained arm minus the best baseline at the same budget, in {title}, with "
        f"{confidence(run)} intervals. {side} of the line at zero the pretrained arm is better. "
        "Intervals are for one comparison at a time; the verdict, shown by colour and shape, "
        "counts them all. Hollow: the interval leaves zero out, yet nothing is claimed.",
    )
