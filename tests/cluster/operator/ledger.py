"""What the Pods of an application that writes were acknowledged, and what of it must be found where.

Pure: lines and rows in, verdicts out. Must not know a cluster or a database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Rows = dict[str, str]  # the note of each row
GONE = "-"


@dataclass(frozen=True, slots=True)
class Write:
    """One of them; its note is GONE where the row was deleted."""

    row: str
    note: str
    acknowledged: bool


@dataclass(frozen=True, slots=True)
class Ledger:
    """The writes of each Pod, in its order."""

    pods: Mapping[str, tuple[Write, ...]]

    @classmethod
    def read(cls, files: Mapping[str, str]) -> Ledger:
        """By the text of each Pod's file, also while it is written."""
        return cls({pod: tuple(_writes(text)) for pod, text in files.items()})

    def of(self, pods: Iterable[str]) -> Ledger:
        """These Pods' part."""
        return Ledger({pod: self.pods[pod] for pod in pods})

    @property
    def acknowledged(self) -> int:
        """How many writes were."""
        return sum(write.acknowledged for writes in self.pods.values() for write in writes)

    @property
    def doubtful(self) -> set[str]:
        """The rows of which nobody heard how a write ended."""
        return {write.row for writes in self.pods.values() for write in writes if not write.acknowledged}

    def rows(self) -> Rows:
        """What must be there if nothing was lost, but for what is doubtful."""
        found: Rows = {}
        for writes in self.pods.values():
            *_, last = _moments(writes, self.doubtful)
            found |= last
        return found

    def amiss(self, earlier: Ledger, there: Rows) -> set[str]:
        """Rows of these Pods that are not as acknowledged, where `there` was read after the ledger was `earlier` and before it was this."""
        moving = self.doubtful | earlier.doubtful
        for pod, writes in self.pods.items():
            moving |= {write.row for write in writes[len(earlier.pods.get(pod, ())) :]}
        found = {row: note for row, note in there.items() if pod_of(row) in self.pods}
        return {row for _, row in differences(self.rows(), found)} - moving

    def had_once(self, there: Rows) -> bool:
        """Whether each Pod's rows are what they were at some moment, as in every copy of a database that writes went into."""
        doubtful = self.doubtful
        for pod, writes in self.pods.items():
            found = {row: note for row, note in there.items() if pod_of(row) == pod and row not in doubtful}
            if not any(found == moment for moment in _moments(writes, doubtful)):
                return False
        return True


def pod_of(row: str) -> str:
    """Who wrote it."""
    return row.partition("/")[0]


def differences(before: Rows, after: Rows) -> set[tuple[str, str]]:
    """What happened to rows in between, as a list of lost rows says it: the kind and the row."""
    both = before.keys() & after.keys()
    return {
        *(("inserted", row) for row in after.keys() - both),
        *(("deleted", row) for row in before.keys() - both),
        *(("updated", row) for row in both if before[row] != after[row]),
    }


def _writes(text: str) -> Iterator[Write]:
    for line in text.splitlines():
        row, _, rest = line.partition(" ")
        note, _, answer = rest.partition(" ")
        if note:
            yield Write(row, note, answer == "ok")


def _moments(writes: Iterable[Write], doubtful: set[str]) -> Iterator[Rows]:
    """The rows before and after each acknowledged write; the same dictionary each time."""
    rows: Rows = {}
    yield rows
    for write in writes:
        if not write.acknowledged or write.row in doubtful:
            continue
        if write.note == GONE:
            rows.pop(write.row, None)
        else:
            rows[write.row] = write.note
        yield rows
