"""The procedures, as data: which stages a run goes through, in order.

It must not hold behaviour.
"""

from __future__ import annotations

from dbmigration.api.status import Procedure
from dbmigration.lifecycle import draining, ordering, restoring, stages, working
from dbmigration.lifecycle.stages import Stage

PROCEDURES: dict[Procedure, tuple[Stage, ...]] = {
    Procedure.MIGRATE: (
        *(stages.plan, stages.weigh, stages.take_turn, stages.drain_first),
        *(stages.back_up, working.work, working.compare),
    ),
    Procedure.ORDER: (ordering.find, ordering.commit),
    Procedure.ROLL_BACK: (working.work, working.compare),
    Procedure.RESTORE: (draining.drain, restoring.restore),
}
