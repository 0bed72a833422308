"""dsnjax with a fault at a chosen moment: FAULT MOMENT COUNT WORDS...

FAULT is kill (kill -9), term (SIGTERM), int (Ctrl-C), twice (SIGTERM two times), stop (as if one
had come just before), mistake (of this process alone) or none; MOMENT a method of which the
COUNT-th call meets it: `next` (a batch is fetched; at the first one the step is compiled next),
`asked` (between two steps), `_commit` (a checkpoint is being written), `_write` (all of it is
written but its manifest), `between` (a split is looked at), `measure` (a validation has ended),
`open` (a store is opened). A test runs this as a program, and so waits for nothing.
"""

import os
import signal
import sys

from dsnjax import checkpoint, main, mesh, stop, timing, workdir
from dsnjax.data.store import Store
from dsnjax.errors import UserError

SIGNALS = {
    "kill": [signal.SIGKILL],
    "term": [signal.SIGTERM],
    "int": [signal.SIGINT],
    "twice": [signal.SIGTERM] * 2,
}
HOMES = {
    "next": timing.Clock,
    "asked": stop.Stop,
    "between": stop.Stop,
    "_commit": checkpoint.Checkpoints,
    "_write": checkpoint.Checkpoints,
    "measure": checkpoint.Checkpoints,
    "open": Store,
}


def inject(fault: str, moment: str, count: int) -> None:
    method, calls = getattr(HOMES[moment], moment), iter(range(1, 1_000_000))

    def faulty(self, *given):
        if next(calls) == count:
            if fault == "stop":
                self.signals += 1
            if fault == "mistake":
                raise UserError("a mistake of one alone")
            for number in SIGNALS.get(fault, []):
                os.kill(os.getpid(), number)
        return method(self, *given)

    setattr(HOMES[moment], moment, faulty)


if __name__ == "__main__":
    fault, moment, count, *words = sys.argv[1:]
    mesh.LARGE = 64  # so that fsdp spreads weights of networks as small as those of tests
    workdir.LATE = 1
    if fault != "none":
        inject(fault, moment, int(count))
    sys.exit(main.main(words))
