"""Training a line model: which programs, which problems, that it goes on where it was, and what its figures mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import labelling, line_training, train_line_model
from agents.critics.line_model import LineModel, Wording
from agents.critics.line_settings import LineModelSettings as Settings
from agents.learning.learner import OptimiserConfig
from agents.line_labels import LineLabels
from agents.line_training import measure, select, spearman, split
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.running.folder import to_json
from agents.running.stopping import Request
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

PASSED, WRONG = Outcome.PASSED, Outcome.WRONG_ANSWER
SMALL = Settings(updates=8, batch_size=4, checkpoint_every=3, lr=1e-2, unseen=0.25)


def one(problem: str, outcome: Outcome, recoverable: int, text: str = "a\nb\n") -> LineLabels:
    return LineLabels(problem, text, outcome, 0, recoverable, tuple(1 if n < recoverable else -1 for n in range(2)))


LABELS = [
    one("p0", PASSED, 2),
    one("p0", WRONG, 1),
    one("p1", WRONG, 0),
    one("p1", WRONG, 1, "a\nc\n"),
    one("p2", WRONG, 0),
]


def find(id: str) -> Problem:
    return Problem(id, f"Do {id}.", [CallCase((), 1)], "f")


def fresh() -> LineModel:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128)
    return LineModel(policy, Wording(style="statement"), optimiser=OptimiserConfig(lr=1e-2, warmup=0))


def programs(count: int = 24) -> list[LineLabels]:
    """A line is fatal if it says `bad`."""
    made = []
    for i in range(count):
        rows = [(f"x = {i % 3}\n", "bad\n")[(i + n) % 3 == 0] for n in range(3)]
        fatal = next((n for n, row in enumerate(rows) if row == "bad\n"), 3)
        labels = tuple(1 if n < fatal else -1 for n in range(3))
        made.append(LineLabels(f"p{i % 8}", "".join(rows), WRONG, 0, fatal, labels))
    return made


# ------------------------------------------------------------------------------------------ which


def test_programs_are_kept_by_what_their_labels_say() -> None:
    assert select(LABELS, "all") == LABELS
    assert select(LABELS, "revised") == [LABELS[1], LABELS[3]]
    assert select(LABELS, "hard") == LABELS[2:]


def test_nothing_to_learn_from_is_counted() -> None:
    with pytest.raises(UsageError, match=r"keep revised, got none of 2: 1 passed, and of 1 wrong ones none"):
        select([LABELS[0], LABELS[2]], "revised")
    with pytest.raises(UsageError, match="keep hard, got none of 2"):
        select(LABELS[:2], "hard")


def test_no_problem_is_both_learnt_from_and_measured_on() -> None:
    taught, unseen = split(programs(), 0.25, np.random.default_rng(0))
    assert len({each.problem for each in unseen}) == 2
    assert len(taught) + len(unseen) == 24
    assert not {each.problem for each in taught} & {each.problem for each in unseen}
    assert [len(part) for part in split(LABELS[1:4], 0.01, np.random.default_rng(0))] in ([1, 2], [2, 1])
    with pytest.raises(UsageError, match="2 problems or more, got 1"):
        split(LABELS[:2], 0.5, np.random.default_rng(0))


# --------------------------------------------------------------------------------------- learning


def trained(out: Path, settings: Settings = SMALL, **more: Any) -> tuple[LineModel, dict[str, Any]]:
    model = fresh()
    return model, line_training.train_line_model(model, programs(), find, settings, out / "checkpoints", **more)


def test_a_training_in_two_parts_is_the_training_in_one(tmp_path: Path) -> None:
    whole, report = trained(tmp_path / "whole")
    for stop_after in (2, 5):
        stop = Request()

        def on_update(step: int, metrics: Any, request: Request = stop, last: int = stop_after) -> None:
            request.asked = step == last

        with pytest.raises(KeyboardInterrupt, match=f"after update {stop_after} of 8; a checkpoint"):
            trained(tmp_path / "parts", on_update=on_update, stop=stop)
    model, again = trained(tmp_path / "parts")
    assert again == report
    for name, tensor in whole.policy.model.state_dict().items():
        assert torch.equal(tensor, model.policy.model.state_dict()[name]), name
    assert torch.equal(whole.head.weight, model.head.weight)
    assert not (tmp_path / "parts" / "checkpoints").exists()


def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    steps: list[int] = []

    def killed(step: int, metrics: Any) -> None:
        steps.append(step)
        if step == 5:
            raise RuntimeError

    with pytest.raises(RuntimeError):
        trained(tmp_path, on_update=killed)
    with pytest.raises(DataError, match="of these settings and labels"):
        trained(tmp_path, settings=Settings(**{**vars(SMALL), "lr": 1e-3}))
    model, _ = trained(tmp_path, on_update=lambda step, metrics: steps.append(step))
    assert steps == [1, 2, 3, 4, 5, 4, 5, 6, 7, 8]
    assert torch.equal(model.head.weight, trained(tmp_path / "whole")[0].head.weight)


def test_it_knows_fatal_lines_of_problems_that_it_has_not_seen(tmp_path: Path) -> None:
    settings = Settings(keep="all", updates=60, batch_size=16, lr=1e-2, unseen=0.25)
    _, report = trained(tmp_path, settings)
    unseen = report["unseen"]
    assert (unseen["problems"], unseen["programs"], unseen["lines"]) == (2, 6, 18)
    assert unseen["error"] < 0.5 * unseen["constant_error"] < unseen["error_before"]
    assert unseen["signs"] > unseen["most_frequent"]
    assert unseen["rank_correlation"] > unseen["place"]


# -------------------------------------------------------------------------------------- measuring


def test_rank_correlation_is_spearmans_with_shared_ranks() -> None:
    assert spearman(np.array([1, 2, 3, 4]), np.array([10, 20, 30, 40])) == pytest.approx(1)
    assert spearman(np.array([1, 2, 3, 4]), np.array([4, 3, 2, 1])) == pytest.approx(-1)
    # ranks 1 2.5 2.5 4 and 2 1 3 4: deviations -1.5 0 0 1.5 and -.5 -1.5 .5 1.5, so 3 / sqrt(4.5 * 5)
    assert spearman(np.array([0.1, 0.5, 0.5, 0.9]), np.array([2, 1, 3, 4])) == pytest.approx(3 / np.sqrt(22.5))
    assert spearman(np.array([1, 1]), np.array([1, 2])) is None


def test_figures_stand_beside_those_of_a_constant_and_of_a_lines_place() -> None:
    model = fresh()
    labels = [LineLabels("p0", "a\nb\nc\n", WRONG, 0, 1, (1, 0, -1)), LineLabels("p1", "a\nb\n", WRONG, 0, 1, (-1, 1))]
    rows = [(each, model.example(find(each.problem), each.text, each.targets)) for each in labels]
    model.scores = lambda samples: [  # type: ignore[method-assign]
        np.where(s.loss_mask, np.cumsum(s.loss_mask) == 1, 0).astype(np.float32) for s in samples
    ]
    report = measure(model, rows)  # type: ignore[arg-type]
    # scores 1 0 0 and 1 0; labels 1 0 -1 and -1 1
    assert report["error"] == pytest.approx((0 + 0 + 1 + 4 + 1) / 5)
    assert report["constant_error"] == pytest.approx(np.var([1, 0, -1, -1, 1]))
    assert (report["signs"], report["most_frequent"]) == (0.5, 0.5)
    assert (report["problems"], report["programs"], report["lines"]) == (2, 2, 5)
    assert report["place"] == pytest.approx(spearman(np.array([0, -0.5, -1, 0, -1]), np.array([1, 0, -1, -1, 1])))


# --------------------------------------------------------------------------------------- command


@pytest.fixture
def run(policy: CausalPolicy, tmp_path: Path) -> Path:
    """A finished run whose problems have the ids of `programs`, and two folders of labels."""
    folder = tmp_path / "run"
    policy.save(folder / "policy")
    problems = "".join(
        json.dumps({"id": f"p{i}", "statement": f"Do {i}.", "entry_point": "f", "cases": [{"args": [], "expected": 1}]})
        + "\n"
        for i in range(8)
    )
    (tmp_path / "problems.jsonl").write_text(problems)
    (folder / "recipe.toml").write_text(
        f'[run]\nname = "r"\nupdates = 1\n[env]\nid = "RLTF-Procedural-v0"\ndataset = "{tmp_path}/problems.jsonl"\n'
        'prompt_style = "statement"\n[policy]\nkind = "tiny"\n[agent]\nkind = "supervised"\n'
    )
    made = programs()
    for name, part in (("line_labels", made[:12]), ("others", made[12:])):
        labelling.begin(folder / name, {"settings": {"problems": 4, "chunk": 4}})
        line = {"chunk": 0, "programs": 12, "completions": 5, "labels": [each.to_dict() for each in part]}
        (folder / name / "labels.jsonl").write_text(to_json(line) + "\n")
    return folder


def test_the_command_makes_a_model_that_can_be_loaded(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(run), "--updates", "3", "--batch-size", "4", "--unseen", "0.3"]
    assert train_line_model.main(words) == 0
    output = capsys.readouterr().out
    assert "problems that it has not seen" in output
    assert "(a constant: " in output
    model = LineModel.load(run / "line_model", device="cpu")
    assert model.wording.style == "statement"
    report = json.loads((run / "line_model" / "line_model_training.json").read_text())
    assert report["programs"]["labelled"] == 12
    before = (run / "line_model" / "value_head.pt").stat().st_mtime_ns
    assert train_line_model.main(words) == 0
    assert (run / "line_model" / "value_head.pt").stat().st_mtime_ns == before, "what is done is not done again"
    both = ["--labels", str(run / "line_labels"), "--labels", str(run / "others"), "--out", str(run / "both")]
    assert train_line_model.main([*words, *both]) == 0
    assert json.loads((run / "both" / "line_model_training.json").read_text())["programs"]["labelled"] == 24


def test_what_cannot_be_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ({"updates": 0}, {"unseen": 0.0}, {"lr": 0.0}, {"checkpoint_every": 0}):
        with pytest.raises(UsageError, match="Expected"):
            Settings(**wrong)
    with pytest.raises(UnknownName, match="Did you mean 'revised'"):
        Settings(keep="revise")
    assert train_line_model.main([str(run), "--keep", "best"]) == 2
    assert "value of --keep" in capsys.readouterr().err
    with pytest.raises(MissingData, match="label_lines RUN"):
        labelling.read(tmp_path)
    assert train_line_model.main([str(run), "--labels", str(tmp_path / "nothing")]) == 2
    assert "label_lines RUN" in capsys.readouterr().err
