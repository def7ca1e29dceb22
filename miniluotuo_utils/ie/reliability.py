"""Ask whether a student may be believed: of the items of one confidence, how many are right?

In: gold records and records of `extract(…, confidence=True)`. Out: a reliability curve, and how far
it lies from the diagonal. Shown in notebook 07.
"""

from collections.abc import Iterable, Mapping

from miniluotuo_utils.ie.schema import field_of
from miniluotuo_utils.ie.scoring import aligned, micro, score

Z = 1.96  # standard deviations to either side that hold 95 % of a normal distribution


def judged(
    gold: Iterable[Mapping], pred: Iterable[Mapping], task: str, mode: str = "span"
) -> list[tuple[float, bool]]:
    """Return (confidence, whether it is right) of every predicted item that has a confidence.

    Right is what `score` counts as right in this mode; of an event, its trigger.

    >>> book = {"name": "家", "type": "作品", "pos": [0, 1], "confidence": 0.7}
    >>> gold, found = ({"sentence": "家", "entities": items} for items in ([], [book]))
    >>> judged([gold], [found], "NER")
    [(0.7, False)]
    """
    field, found = field_of(task), []
    for wanted, record in aligned(gold, pred, task):
        for item in record[field]:
            if item.get("confidence") is None:
                continue
            alone = score([wanted], [{**record, field: [item]}], task, mode)
            found.append((item["confidence"], micro(alone)[0][1]["tp"] > 0))
    return found


def reliability(items: Iterable[tuple[float, bool]], bins: int = 5) -> list[dict]:
    """Return the reliability curve of `judged` items: bins of about as many items each.

    Each has `count`, `low` and `high` (the confidences in it), `confidence` (their mean), `right`
    (the share of right items) and `interval`, where that share may lie with 95 % (Wilson). A
    student that may be believed has `right` near `confidence` in every bin.

    >>> [(one["confidence"], one["right"]) for one in reliability([(0.2, False), (0.8, True)], 2)]
    [(0.2, 0.0), (0.8, 1.0)]
    """
    ordered = sorted(items)
    bins = min(bins, len(ordered))
    curve = []
    for number in range(bins):
        part = ordered[len(ordered) * number // bins : len(ordered) * (number + 1) // bins]
        right, count = sum(is_right for _, is_right in part), len(part)
        curve.append(
            {
                "count": count,
                "low": part[0][0],
                "high": part[-1][0],
                "confidence": sum(sure for sure, _ in part) / count,
                "right": right / count,
                "interval": wilson(right, count),
            }
        )
    return curve


def calibration_error(curve: Iterable[Mapping]) -> float:
    """Return how far a curve lies from the diagonal: the mean distance, weighted by items.

    >>> calibration_error(reliability([(0.2, False), (0.8, True)], 2))
    0.2
    """
    curve = list(curve)
    items = sum(one["count"] for one in curve)
    apart = sum(one["count"] * abs(one["right"] - one["confidence"]) for one in curve)
    return round(apart / items, 12) if items else 0.0


def wilson(right: int, count: int) -> list[float]:
    """Return Wilson's 95 % interval of a share.

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    share, spread = right / count, Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * (share * (1 - share) / count + spread / (4 * count)) ** 0.5 / (1 + spread)
    return [max(0.0, middle - half), min(1.0, middle + half)]
