"""The targets of neuralbits, with the defaults of its training."""

from dataclasses import dataclass

from benchmarks.plan import neuralbits

LARGE, SMALL = "64KiB", "16KiB"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound for one figure; rates are fractions."""

    figure: str
    """Its name in `Figures`."""
    dataset: str
    size: str
    least: float | None = None
    most: float | None = None

    @property
    def system(self) -> str:
        """Whose figure it is."""
        return neuralbits(self.size)

    def met(self, figure: float) -> bool:
        """Whether a figure, not rounded, reaches it."""
        return (self.least is None or figure >= self.least) and (
            self.most is None or figure <= self.most
        )


_ACCURACY = {
    LARGE: {"clinc150": 0.930, "banking77": 0.912, "snips": 0.980},
    SMALL: {"clinc150": 0.890, "banking77": 0.875, "snips": 0.975},
}
TARGETS = (
    *(
        Target("accuracy", dataset, size, least=least)
        for size, by_dataset in _ACCURACY.items()
        for dataset, least in by_dataset.items()
    ),
    *(Target("bytes", dataset, LARGE, most=64 * 1024) for dataset in _ACCURACY[LARGE]),
    *(Target("bytes", dataset, SMALL, most=16 * 1024) for dataset in _ACCURACY[SMALL]),
    *(Target("distance_from_trainer", dataset, LARGE, most=0.01) for dataset in _ACCURACY[LARGE]),
    *(
        Target("training_seconds", dataset, size, most=15 * 60)
        for size, by_dataset in _ACCURACY.items()
        for dataset in by_dataset
    ),
    Target("expected_calibration_error", "clinc150", LARGE, most=0.02),
    Target("oos_recall", "clinc150", LARGE, least=0.80),
    Target("false_reject_rate", "clinc150", LARGE, most=0.04),
    *(Target("typo_loss", dataset, LARGE, most=0.03) for dataset in _ACCURACY[LARGE]),
)
