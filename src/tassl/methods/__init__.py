"""Pretext methods: one per file."""

from __future__ import annotations

from dataclasses import dataclass

from tassl.registry import Card

PARADIGMS = ("contrastive", "predictive", "generative", "hybrid")


@dataclass(frozen=True)
class MethodCard(Card):
    """A card with what the advice and the training loop need to know of a method.

    Args:
        paradigm: One of `PARADIGMS`.
        keeps: What its features keep, in words.
        batches: Usual images per step in 2D and volumes per step in 3D.
        rates: Peak learning rate in 2D and in 3D.
        pretext: Spatial pretext that it rests on, as modalities name those that are degenerate.
        smallest_batch: Below this batch size the objective is not safe.
        fallback: Nearest method that is safe with smaller batches, if there is one.
        strong_views: Whether it wants strong augmentation (else mild).
        steady_loss: Whether the loss means the same all along; not where a teacher or a memory
            sets the task.
        staged: Whether it divides the planned epochs among stages.
        cost: Time of a pass over images, as a multiple of SimCLR's (measured in 2D on the usual
            network); what is far from cheap makes fewer passes by default.
        ordered: Whether in 2D it rests on the place of each image in its series.
        per_image: Whether the loss is a mean over images, each by itself, so that a batch may pass
            in parts; not where images are compared or normalised across the batch.
    """

    paradigm: str = ""
    keeps: str = ""
    batches: tuple[int, int] = (128, 4)
    rates: tuple[float, float] = (1e-3, 1e-3)
    pretext: str = ""
    smallest_batch: int = 1
    fallback: str = ""
    strong_views: bool = False
    steady_loss: bool = True
    staged: bool = False
    cost: float = 1.0
    ordered: bool = False
    per_image: bool = False


TOKENS_ONLY = "it predicts features of single patches, which a transformer alone keeps apart"

METHODS: dict[str, MethodCard] = {
    "simclr": MethodCard(
        "SimCLR",
        at="tassl.methods.simclr:SimCLR",
        source="Chen et al., ICML 2020, arXiv:2002.05709",
        paradigm="contrastive",
        keeps="global, discriminative features; small signs may be lost",
        batches=(128, 32),
        smallest_batch=8,
        fallback="moco",
        strong_views=True,
    ),
    "moco": MethodCard(
        "MoCo",
        at="tassl.methods.moco:MoCo",
        source="He et al., CVPR 2020, arXiv:1911.05722; Chen et al., ICCV 2021, arXiv:2104.02057",
        paradigm="contrastive",
        keeps="global, discriminative features, from small batches too",
        batches=(128, 16),
        smallest_batch=4,
        strong_views=True,
        steady_loss=False,
        cost=1.3,
    ),
    "dense": MethodCard(
        "Dense contrast",
        at="tassl.methods.dense:DenseContrast",
        source="Wang et al., CVPR 2021, arXiv:2011.09157; Goncharov et al., MICCAI 2023, "
        "arXiv:2307.14725",
        paradigm="contrastive",
        keeps="what tells one place from another; trains a decoder too",
        batches=(64, 8),
        smallest_batch=4,
        strong_views=True,
        cost=2.9,
    ),
    "voco": MethodCard(
        "VoCo",
        at="tassl.methods.voco:VoCo",
        source="Wu et al., CVPR 2024, arXiv:2402.17300",
        paradigm="contrastive",
        keeps="where in the body a window lies",
        batches=(64, 8),
        smallest_batch=2,
        cost=1.5,
    ),
    "slices": MethodCard(
        "Position contrast",
        at="tassl.methods.slices:PositionContrast",
        source="Zeng et al., MICCAI 2021, arXiv:2106.09157",
        paradigm="contrastive",
        keeps="at which height of the body a slab or slice lies",
        batches=(128, 8),
        smallest_batch=4,
        ordered=True,
    ),
    "byol": MethodCard(
        "BYOL",
        at="tassl.methods.byol:BYOL",
        source="Grill et al., NeurIPS 2020, arXiv:2006.07733",
        paradigm="predictive",
        keeps="global features that views share; nothing is pushed apart",
        batches=(128, 16),
        smallest_batch=8,
        fallback="moco",
        strong_views=True,
        steady_loss=False,
        cost=1.3,
    ),
    "barlow": MethodCard(
        "Barlow Twins",
        at="tassl.methods.barlow:BarlowTwins",
        source="Zbontar et al., ICML 2021, arXiv:2103.03230",
        paradigm="predictive",
        keeps="global features without redundancy",
        batches=(128, 32),
        smallest_batch=16,
        fallback="byol",
        strong_views=True,
    ),
    "vicreg": MethodCard(
        "VICReg",
        at="tassl.methods.vicreg:VICReg",
        source="Bardes et al., ICLR 2022, arXiv:2105.04906",
        paradigm="predictive",
        keeps="global features that vary and do not repeat each other",
        batches=(128, 32),
        smallest_batch=16,
        fallback="byol",
        strong_views=True,
    ),
    "dino": MethodCard(
        "DINO",
        at="tassl.methods.dino:DINO",
        source="Caron et al., ICCV 2021, arXiv:2104.14294",
        paradigm="predictive",
        keeps="what a small window tells of the whole",
        batches=(64, 8),
        smallest_batch=8,
        fallback="moco",
        strong_views=True,
        steady_loss=False,
        cost=2.3,
    ),
    "jepa": MethodCard(
        "Latent prediction (I-JEPA)",
        at="tassl.methods.jepa:LatentPrediction",
        source="Assran et al., CVPR 2023, arXiv:2301.08243",
        known_failures={"cnn": TOKENS_ONLY, "unet": TOKENS_ONLY},
        paradigm="predictive",
        keeps="meaning of regions rather than their texture; after short trainings on a few "
        "hundred images it told no more than random features",
        per_image=True,
        batches=(128, 8),
        rates=(1e-3, 2e-4),  # at 1e-3 features of volumes fell from 15 directions to 3 in 240 steps
        steady_loss=False,
        cost=1.6,
    ),
    "rotation": MethodCard(
        "Rotation prediction",
        at="tassl.methods.rotation:Rotation",
        source="Gidaris et al., ICLR 2018, arXiv:1803.07728",
        paradigm="predictive",
        keeps="how anatomy stands; of no use where images have no upright",
        batches=(128, 8),
        pretext="rotation",
        per_image=True,
        cost=0.5,
    ),
    "jigsaw": MethodCard(
        "Jigsaw",
        at="tassl.methods.jigsaw:Jigsaw",
        source="Noroozi & Favaro, ECCV 2016, arXiv:1603.09246; Zhuang et al., MICCAI 2019, "
        "arXiv:1910.02241",
        paradigm="predictive",
        keeps="how parts lie to each other",
        batches=(64, 8),
        smallest_batch=2,
        pretext="jigsaw",
        cost=0.7,
    ),
    "position": MethodCard(
        "Relative position",
        at="tassl.methods.position:RelativePosition",
        source="Doersch et al., ICCV 2015, arXiv:1505.05192",
        paradigm="predictive",
        keeps="how parts lie to each other",
        batches=(128, 8),
        smallest_batch=2,
        pretext="relative position",
        cost=0.6,
    ),
    "order": MethodCard(
        "Slice order",
        at="tassl.methods.order:SliceOrder",
        source="Zhang et al., ISBI 2017, 10.1109/ISBI.2017.7950587",
        dims=(3,),
        paradigm="predictive",
        keeps="how anatomy follows along the body",
        batches=(32, 8),
        smallest_batch=2,
        pretext="order",
    ),
    "mae": MethodCard(
        "Masked autoencoder",
        at="tassl.methods.mae:MaskedAutoencoder",
        source="He et al., CVPR 2022, arXiv:2111.06377; Wald et al., CVPR 2025, arXiv:2410.23132",
        paradigm="generative",
        keeps="anatomy and local structure; trains a decoder too",
        per_image=True,
        cost=1.2,
    ),
    "context": MethodCard(
        "Context restoration",
        at="tassl.methods.inpainting:ContextRestoration",
        source="Chen et al., Medical Image Analysis 2019, 10.1016/j.media.2019.101539",
        paradigm="generative",
        keeps="which structure belongs where; trains a decoder too",
        per_image=True,
        cost=1.2,
    ),
    "denoise": MethodCard(
        "Denoising and deblurring",
        at="tassl.methods.denoising:Denoising",
        source="Kang et al., 2024, arXiv:2306.08249",
        paradigm="generative",
        keeps="edges and texture beneath noise; trains a decoder too",
        per_image=True,
        cost=1.2,
    ),
    "genesis": MethodCard(
        "Models Genesis",
        at="tassl.methods.genesis:ModelsGenesis",
        source="Zhou et al., Medical Image Analysis 2021, arXiv:2004.07882",
        paradigm="generative",
        keeps="appearance, texture and context; trains a decoder too",
        per_image=True,
        cost=1.2,
    ),
    "fusion": MethodCard(
        "Volume Fusion",
        at="tassl.methods.fusion:VolumeFusion",
        source="Wang et al., 2023, arXiv:2306.16925",
        paradigm="generative",
        keeps="what sets regions apart; trains a decoder as for segmentation",
        smallest_batch=2,
        cost=1.2,
    ),
    "lesions": MethodCard(
        "Simulated lesions",
        at="tassl.methods.lesions:SimulatedLesions",
        source="Tan et al., 2020, arXiv:2011.04197",
        paradigm="generative",
        keeps="small odd structures; trains a decoder as for segmentation",
        cost=1.2,
    ),
    "joint": MethodCard(
        "Contrast and masked restoration",
        at="tassl.methods.joint:Joint",
        source="Huang et al., 2022, arXiv:2207.13532",
        paradigm="hybrid",
        keeps="global and local features at the cost of both methods",
        batches=(64, 8),
        smallest_batch=8,
        fallback="dira",
        strong_views=True,
        cost=2.4,
    ),
    "ibot": MethodCard(
        "iBOT",
        at="tassl.methods.ibot:IBOT",
        source="Zhou et al., ICLR 2022, arXiv:2111.07832",
        paradigm="hybrid",
        keeps="what the whole shows and what hidden places hold",
        batches=(64, 8),
        smallest_batch=8,
        fallback="dira",
        strong_views=True,
        steady_loss=False,
        cost=1.6,
    ),
    "swin-unetr": MethodCard(
        "Restoration, rotation and contrast",
        at="tassl.methods.joint:SwinUNETRRecipe",
        source="Tang et al., CVPR 2022, arXiv:2111.14791",
        paradigm="hybrid",
        keeps="global and local features and how anatomy stands",
        batches=(64, 8),
        smallest_batch=8,
        fallback="dira",
        strong_views=True,
        pretext="rotation",
        cost=2.9,
    ),
    "dira": MethodCard(
        "Contrast with restoration (DiRA)",
        at="tassl.methods.joint:DiRARecipe",
        source="Haghighi et al., CVPR 2022, arXiv:2204.10437",
        paradigm="hybrid",
        keeps="discriminative and restorative features",
        batches=(64, 8),
        smallest_batch=4,
        strong_views=True,
        steady_loss=False,
        cost=2.7,
    ),
    "mae-simclr": MethodCard(
        "Masked restoration, then contrast",
        at="tassl.methods.joint:SequentialRecipe",
        source="Lehner et al., AAAI 2024, arXiv:2304.10520",
        paradigm="hybrid",
        keeps="local structure first, then what tells images apart",
        batches=(128, 16),
        smallest_batch=8,
        fallback="dira",
        strong_views=True,
        steady_loss=False,
        staged=True,
        cost=1.2,
    ),
}
