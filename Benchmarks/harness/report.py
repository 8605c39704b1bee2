"""What came out: medians over the rounds, ratios to the best, and the bars, as text, Markdown or JSON."""
import dataclasses
import json
import statistics

from .works import WORKS


@dataclasses.dataclass(frozen=True)
class Row:
    work: str
    peer: str
    value: float
    unit: str
    ratio: float | None  # to the best product of the same work
    spread: float  # (max - min) / median over the rounds
    failed: int
    latency_ms: float | None
    rss_mib: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    work: str
    bar: str
    measured: str
    met: bool


def rows(results):
    """results: {(work name, peer): [Sample]} → rows, in the order of the works."""
    made = []
    for work in WORKS.values():
        of_work = {peer: samples for (name, peer), samples in results.items() if name == work.name and samples}
        medians = {peer: statistics.median(sample.value for sample in samples) for peer, samples in of_work.items()}
        products = [value for peer, value in medians.items() if peer != "prototype" and value > 0]
        for peer, samples in of_work.items():
            values = [sample.value for sample in samples]
            latencies = [sample.latency_ms for sample in samples if sample.latency_ms is not None]
            made.append(Row(
                work.name, peer, medians[peer], work.unit, medians[peer] / min(products) if products else None,
                (max(values) - min(values)) / medians[peer] if medians[peer] else 0,
                sum(sample.failed for sample in samples), statistics.median(latencies) if latencies else None,
                statistics.median(sample.rss_mib for sample in samples)))
    return made


def verdicts(made):
    """Martlet against the bars. A bar whose peers are absent in this run gives no verdict."""
    found = {(row.work, row.peer): row for row in made}
    for work in WORKS.values():
        ours = found.get((work.name, "martlet"))
        for bar in work.bars if ours else ():
            value = getattr(ours, bar.of)
            if bar.against:
                others = [found[work.name, peer].value for peer in bar.against if (work.name, peer) in found]
                if not others:
                    continue
                value /= min(others)
            unit = "×" if bar.against else "MiB" if bar.of == "rss_mib" else work.unit
            # A run with failed requests proves nothing.
            yield Verdict(work.name, bar.text(work.unit), f"{value:.2f} {unit}", value <= bar.limit and not ours.failed)


def text(made):
    lines = [f"{'work':9} {'proxy':11} {'value':>9} {'unit':16} {'× best':>7} {'spread':>7} {'failed':>7} "
             f"{'mean ms':>8} {'RSS MiB':>8}"]
    for row in made:
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
        latency = f"{row.latency_ms:.2f}" if row.latency_ms is not None else "-"
        lines.append(f"{row.work:9} {row.peer:11} {row.value:9.2f} {row.unit:16} {ratio:>7} {row.spread:7.0%} "
                     f"{row.failed:7d} {latency:>8} {row.rss_mib:8.1f}")
    judged = list(verdicts(made))
    if judged:
        lines += ["", f"{'work':9} {'bar':42} {'martlet':>22}"]
        lines += [f"{one.work:9} {one.bar:42} {one.measured:>22}  {'met' if one.met else 'MISSED'}" for one in judged]
    return "\n".join(lines)


def markdown(made, machine):
    """The tables of the README: one row per work with all proxies beside each other, then the bars."""
    peers = list(dict.fromkeys(row.peer for row in made))
    found = {(row.work, row.peer): row for row in made}
    lines = [f"{machine}", "", "| work | unit | " + " | ".join(peers) + " |", "|---|---|" + "---:|" * len(peers)]
    for work in WORKS.values():
        cells = [found.get((work.name, peer)) for peer in peers]
        if not any(cells):
            continue
        best = min((cell.value for cell in cells if cell), default=None)
        shown = [f"**{cell.value:.1f}**" if cell and cell.value == best else f"{cell.value:.1f}" if cell else "–"
                 for cell in cells]
        lines.append(f"| {work.what} | {work.unit} | " + " | ".join(shown) + " |")
    judged = list(verdicts(made))
    if judged:
        lines += ["", "| work | bar | Martlet | |", "|---|---|---:|---|"]
        lines += [f"| {WORKS[one.work].what} | {one.bar} | {one.measured} | {'met' if one.met else '**missed**'} |"
                  for one in judged]
    return "\n".join(lines) + "\n"


def as_json(made, machine):
    return json.dumps({
        "machine": machine, "rows": [dataclasses.asdict(row) for row in made],
        "bars": [dataclasses.asdict(one) for one in verdicts(made)]}, indent=1, ensure_ascii=False)
