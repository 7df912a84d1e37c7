"""What figures mean, in a sentence each, and how numbers are written."""

from __future__ import annotations

from footage.evaluation.results import Better, Curve, Figure

GROUPS: dict[str, str] = {
    "fvd": "Distance from real clips",
    "kvd": "Distance from real clips",
    "fid": "Distance of single frames",
    "kid": "Distance of single frames",
    "is": "Classes",
    "accuracy": "Classes",
    "prdc": "Fidelity and coverage",
    "fidelity": "Answers beside the truth",
    "motion": "Motion and time",
    "diversity": "Variety",
    "pictures": "Single pictures",
}
"""Headings: family of figures -> the heading that it stands under, in their order."""
OTHERS = "Other figures"
"""Heading of what is in no group."""

MEANINGS: dict[str, str] = {
    "frechet": "How far the features of all clips, taken as one cloud, lie from those of the real ones. It sees what "
    "pictures look like better than how they move.",
    "kernel": "The same question as the Fréchet distance, asked so that few clips do not bias the answer; it may "
    "fall a little below 0 where nothing can be told apart.",
    "inception_score": "High where a classifier is sure of each clip and all clips together show many classes. It "
    "never looks at real clips.",
    "label_accuracy": "Part of the clips in which a classifier sees the class that was asked for.",
    "precision": "Part of the made clips that lie where real clips lie: how many look real.",
    "recall": "Part of the real clips that lie where made clips lie: how much of reality the model can make.",
    "density": "How many real neighbourhoods a made clip lies in, on average; unlike precision it is not fooled by a "
    "few real outliers.",
    "coverage": "Part of the real clips that have a made one close by: low where the model leaves out kinds of clips.",
    "motion_ratio": "How much changes from frame to frame, beside real clips. Below 1 is too still.",
    "motion_distance": "How differently much and little motion are spread over the clips, as a part of the real mean.",
    "spectrum_distance": "Whether slow and fast changes have their right shares; 0 is the same, 1 nothing in common.",
    "velocity_distance": "Whether points move as fast, as often, as in real clips.",
    "acceleration_distance": "Whether points change their speed as real ones do; jerks and slides show here.",
    "track_distance": "How far the histograms of motion along tracks lie from real ones: motion alone, no appearance.",
    "flicker_ratio": "How much frames disagree with their neighbours, beside real clips. Above 1 the picture flickers.",
    "periodicity": "How clearly clips repeat themselves. Above the real clips' value the model goes round in circles.",
    "seam": "How large the step from the last frame back to the first is beside the others; 1 in a perfect loop.",
    "jump": "The largest step between frames beside the median one: far above the real clips' value there are cuts.",
    "half_life": "After how long a frame resembles its past only half: shorter than real, content melts away; longer, "
    "it stands still.",
    "sharpness_ratio": "How steep edges are beside real clips. Below 1 is blurred, above 1 noisy or too crisp.",
    "contrast_ratio": "How far light and dark lie apart within frames, beside real clips.",
    "variety": "How much clips differ from each other, beside real ones. Well below 1 the model repeats itself.",
    "variety_within_labels": "The same within each class: whether clips of one class differ as real ones do.",
    "ssim_diversity": "How unlike the structure of two random clips is, beside real pairs.",
    "mse": "Squared error of each answer, beside the one true outcome.",
    "mae": "Absolute error of each answer, beside the one true outcome.",
    "psnr": "Signal to noise of answers in dB: pixel by pixel beside the truth. Blurred averages do well here.",
    "ssim": "Likeness of local structure beside the truth, up to 1.",
    "lpips": "Distance beside the truth as a network sees it, which is closer to what people see.",
    "lpips_vgg": "The same as another network sees it; not comparable with the first.",
}
"""Name of a figure -> what it says."""
BEST_OF = "The best of several answers to each clip, which is fair where there are many right ones. "
"""Stands before the meaning of a figure that is named best_…"""
CURVES: dict[str, str] = {
    "autocorrelation": "How alike changes are some time apart: peaks are rhythm, a curve above the real one repeats "
    "itself too much.",
    "resemblance": "How much a frame resembles those after it. Below the real curve content melts away.",
    "spectrum": "How the power of change is shared among frequencies: too much at the right flickers.",
    "velocities": "How fast points move, along tracks of the optical flow.",
    "accelerations": "How much points change their speed from frame to frame.",
    "window_frechet": "The distance from real clips of each window of long videos: a line that rises says that quality "
    "falls over time.",
    "window_motion": "The motion of each window, beside real clips: a line that falls says that videos come to rest.",
    "psnr": "PSNR of each frame of the answers. Falling is natural; a gap to the plain answer is what the model adds.",
    "ssim": "SSIM of each frame of the answers.",
    "mse": "Squared error of each frame of the answers.",
    "mae": "Absolute error of each frame of the answers.",
    "lpips": "LPIPS of each frame of the answers: 0 is equal.",
    "lpips_vgg": "LPIPS of each frame of the answers by another network: 0 is equal.",
}
"""Name of a curve -> what it says."""
DIRECTIONS: dict[Better, str] = {
    "lower": "Lower is better.",
    "higher": "Higher is better.",
    "one": "1 is best: as real clips are.",
    "real": "The value of the real clips is best.",
}
"""Which value is best, in a sentence."""
ARROWS: dict[Better, str] = {"lower": "↓", "higher": "↑", "one": "→ 1", "real": "→ real"}
"""Which value is best, as a sign."""
TIERS: dict[str, str] = {
    "A": "official weights: the figure that papers report",
    "B": "a network trained on such clips: comparable with figures of the same network only",
    "C": "random networks: to rank models of one data set, and to notice what breaks",
    "D": "closed form, without a network",
}
"""How far figures of a tier can be trusted."""


def number(value: float | None) -> str:
    """Write a figure with three digits that count; – where there is none."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 1e-3 or not value else f"{value:.2e}"


def group_of(metric: str) -> str:
    """Return the heading that a family of figures stands under."""
    return GROUPS.get(metric, OTHERS)


def meaning(figure: Figure) -> str:
    """Return what a figure says and which way is better, in a sentence or two."""
    name, before = figure.name, ""
    if name.startswith("best_"):
        name, before = name.removeprefix("best_"), BEST_OF
    words = MEANINGS.get(name, figure.note)
    return " ".join(part for part in (before + words if words else before.strip(), DIRECTIONS[figure.better]) if part)


def curve_meaning(curve: Curve) -> str:
    """Return what a curve says, in a sentence."""
    return CURVES.get(curve.name, "")


def target(figure: Figure) -> float | None:
    """Return the value that is best, where there is one."""
    return {"one": 1.0, "real": figure.real}.get(figure.better)


def goodness(figure: Figure) -> float | None:
    """Return a number that is the lower the better a figure is; None where the figure has no value."""
    if figure.value is None:
        return None
    if figure.better in ("lower", "higher"):
        return figure.value if figure.better == "lower" else -figure.value
    aim = target(figure)
    return None if aim is None else abs(figure.value - aim)
