"""Protection of speech against loss: RED on and off, and bit rates, over bad links.

In-band FEC cannot be chosen; see `other_protection`.
"""

from collections.abc import Sequence

from tests.bench.bench_run import BenchRun
from tests.bench.link_calls import PROTECTIONS, Call, Order
from tests.bench.links import LINKS, delays, lost, make_calls, trouble
from tests.bench.plan import Plan
from tests.bench.report import Row, Section
from tests.bench.spread import Spread, spread


async def measure(run: BenchRun) -> Section:
    """Speak over each link with losses, protected in each way."""
    made = await make_calls(orders(run.plan))
    rows: list[Row] = []
    for name in _names(run.plan):
        rows += link_rows(name, [call for call in made if call.name == name])
    rows += [
        Row(name=f"CPU of one core, {kind}", unit="%", ours=cpu(made, kind))
        for kind in PROTECTIONS
    ]
    return Section(
        "Protection of speech over bad links, each passed twice", tuple(rows)
    )


def orders(plan: Plan) -> list[Order]:
    """Return the calls to be made: each link with each protection."""
    return [
        Order(
            name,
            LINKS[name][1],
            plan.link_s,
            kinds=tuple(PROTECTIONS),
            starts=plan.protection_starts,
        )
        for name in _names(plan)
    ]


def _names(plan: Plan) -> list[str]:
    """Return the names of the links that lose packets."""
    return [name for name in plan.links if LINKS[name][1].loss > 0.0]


def link_rows(name: str, made: Sequence[Call]) -> list[Row]:
    """Return the rows of one link."""
    words, _ = LINKS[name]
    rows: list[Row] = []
    for kind in PROTECTIONS:
        own = [call for call in made if call.kind == kind]
        rows += [
            Row(
                name=f"speech concealed or lost, {words}, {kind}",
                unit="%",
                ours=lost(own, kind),
                note=trouble(own),
            ),
            Row(name=f"mouth to ear, {kind}", unit="ms", ours=delays(own, kind)),
        ]
    return rows


def cpu(made: Sequence[Call], kind: str) -> Spread | None:
    """Return the spread over both ends of all calls."""
    return spread([x for call in made if call.kind == kind for x in call.cpu_percent])
