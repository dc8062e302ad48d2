"""What all fakes share: they can be told to fail once."""


class Failing:
    """`fail_next(error)` makes the next call that asks raise it."""

    def __init__(self) -> None:
        self._failures: list[Exception] = []

    def fail_next(self, error: Exception) -> None:
        """Raise this at the next call; several queue up."""
        self._failures.append(error)

    def _maybe_fail(self) -> None:
        if self._failures:
            raise self._failures.pop(0)
