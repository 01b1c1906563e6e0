"""The line model: where lines end, what is read of a program, what is learnt, how it is kept, where values begin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.batching import batch
from agents.critics.line_model import LineModel, Wording, at, last_tokens, line_ends, own_tokens
from agents.critics.values import OwnValues, ValueConfig
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny
from agents.policies._tokenizer import tokenizer_of
from agents.policies.causal import CausalPolicy
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError

NAN = float("nan")
QUICK = OptimiserConfig(lr=1e-2, warmup=0, weight_decay=0.0)
PROBLEM = Problem("p", "Give 1.", [CallCase((), 1)], "f")
TEXT = "def f():\n    x = 1\n\n    return x\n"


@pytest.fixture
def model(policy: CausalPolicy) -> LineModel:
    """With an opinion of its own, the same in every run."""
    made = LineModel(policy, Wording(style="statement"), optimiser=QUICK)
    with torch.no_grad():
        made.head.weight.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    return made


# ---------------------------------------------------------------------------------------- lines


@pytest.mark.parametrize(
    ("text", "ends"),
    [("", []), ("a", [1]), ("a\n", [2]), ("\n", [1]), ("a\n\nb", [2, 3, 4]), ("a\r\nb\r", [3, 5]), ("a\n\n", [2, 3])],
)
def test_lines_end_behind_their_line_end(text: str, ends: list[int]) -> None:
    assert line_ends(text) == ends


def test_a_line_ends_in_the_last_token_that_spells_it() -> None:
    """Tokens `de`, `f`, `\\n  x`, `=`, `\\n`, `\\n\\n`, and the end token, which spells nothing."""
    starts = np.array([0, 2, 3, 7, 8, 9, 11])
    assert last_tokens(starts, line_ends("def\n  x=\n\n\n")).tolist() == [2, 4, 5, 5]
    assert own_tokens(np.array([2, 4, 5, 5])).tolist() == [2, 4, 5, -1]
    assert last_tokens(np.array([0, 0, 1, 1]), [1, 2]).tolist() == [1, 3], "tokens may share a character"
    assert own_tokens(np.array([], np.int64)).tolist() == []
    np.testing.assert_array_equal(at(np.array([0.5, 0.25], np.float32), np.array([1, -1, 0])), [0.25, NAN, 0.5])


# -------------------------------------------------------------------------------------- reading


def test_the_score_of_a_line_has_read_all_of_it_and_nothing_beyond(model: LineModel) -> None:
    scores = model.lines(PROBLEM, TEXT)
    assert scores.shape == (4,)
    assert np.isfinite(scores[[0, 1, 3]]).all()
    other = model.lines(PROBLEM, TEXT.replace("return x", "return y"))
    np.testing.assert_allclose(other[:2], scores[:2], atol=1e-6)
    assert abs(other[3] - scores[3]) > 1e-5
    assert abs(model.lines(PROBLEM, TEXT.replace("x = 1", "x = 2"))[1] - scores[1]) > 1e-5
    another = model.lines(Problem("q", "Give 2 and more.", [CallCase((), 1)], "f"), TEXT)
    assert np.abs(another - scores)[1] > 1e-5, "the problem is read too"


def test_scores_are_cut_off_where_labels_end(model: LineModel) -> None:
    with torch.no_grad():
        model.head.bias.fill_(100.0)
    assert set(model.lines(PROBLEM, TEXT)[[0, 1, 3]]) == {1.0}


def test_a_line_beyond_the_context_has_no_score(model: LineModel) -> None:
    long = "x = 1\n" * 60  # the model has 128 positions
    scores = model.lines(PROBLEM, long)
    assert len(scores) == 60
    assert np.isfinite(scores[:10]).all()
    assert np.isnan(scores[-10:]).all()
    np.testing.assert_allclose(model.lines(PROBLEM, long[:60]), scores[:10], atol=1e-5)
    sample, ends = model.reading(PROBLEM, long)
    assert len(sample.prompt) + len(sample.tokens) + 1 == 128, "one more is read behind the last"
    example = model.example(PROBLEM, long, [1.0] * 60)
    assert example is not None
    assert np.flatnonzero(example.loss_mask).tolist() == ends[ends >= 0].tolist()


def test_a_text_that_the_tokenizer_does_not_spell_line_by_line_has_no_scores(model: LineModel) -> None:
    end = model.policy.tokenizer.eos_token
    assert np.isfinite(model.lines(PROBLEM, f"x = '{end}'\ny = 1\n")).all()
    model.tokenizer.offsets = lambda tokens: ("one line", np.arange(len(tokens)), None)  # type: ignore[method-assign]
    assert np.isnan(model.lines(PROBLEM, "a\nb\n")).all()
    assert model.lines(PROBLEM, "").shape == (0,)


def test_the_problem_is_worded_as_the_environment_words_it(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    env = make_env(prompt_style="plain", max_prompt_tokens=9, on_long_prompt="truncate")
    options = {"prompt_style": "plain", "max_prompt_tokens": 9, "on_long_prompt": "truncate"}
    model = LineModel(policy, Wording.of(options))
    problem = env.source.find("p4")
    assert model.reading(problem, TEXT)[0].prompt.tolist() == env.encode_prompt(problem).tolist()
    assert Wording.of({}) == Wording()
    with pytest.raises(UsageError, match="style with a name"):
        Wording.of({"prompt_style": len})


# ------------------------------------------------------------------------------------- learning


def test_labels_stand_at_the_ends_of_their_lines(model: LineModel) -> None:
    sample = model.example(PROBLEM, TEXT, [1.0, NAN, 0.0, -1.0])
    assert sample is not None
    ends = model.reading(PROBLEM, TEXT)[1]
    known = [i for i in (0, 2, 3) if ends[i] >= 0]
    assert np.flatnonzero(sample.loss_mask).tolist() == ends[known].tolist()
    assert sample.extra["label"][ends[known]].tolist() == [[1.0, NAN, 0.0, -1.0][i] for i in known]
    assert model.example(PROBLEM, TEXT, [NAN] * 4) is None
    with pytest.raises(UsageError, match="each of 4 lines, got 2"):
        model.example(PROBLEM, TEXT, [1.0, 1.0])


def test_the_loss_is_the_mean_squared_error_of_labelled_lines(policy: CausalPolicy) -> None:
    fresh = LineModel(policy, Wording(style="statement"), optimiser=QUICK)  # says 0 of every line
    samples = [fresh.example(PROBLEM, "a\nb\n", labels) for labels in ([1.0, -0.5], [NAN, 2.0])]
    assert fresh.learn([s for s in samples if s])["line_loss"] == pytest.approx((1 + 0.25 + 4) / 3)


def test_a_label_that_one_token_decides_is_learnt(policy: CausalPolicy) -> None:
    """Lines before `bad` are 1, it and all that follow -1; a comment is 0: so a comment adds nothing to a program."""
    texts = [
        "a = 1\nb = 2\n",
        "bad\nb = 2\n",
        "a = 1\nbad\n# so\n",
        "# so\na = 1\n",
        "# so\nbad\n",
        "a = 1\n# so\nb = 2\n",
    ]
    labels = [[1, 1], [-1, -1], [1, -1, 0], [0, 1], [0, -1], [1, 0, 1]]
    model = LineModel(policy, Wording(style="statement"), optimiser=QUICK)
    samples = [model.example(PROBLEM, t, [float(x) for x in row]) for t, row in zip(texts, labels, strict=True)]
    examples = [s for s in samples if s]
    assert len(examples) == 6
    losses = [model.learn(examples)["line_loss"] for _ in range(120)]
    assert losses[-1] < 0.01 < losses[0]
    for text, row in zip(texts, labels, strict=True):
        np.testing.assert_allclose(model.lines(PROBLEM, text), row, atol=0.35)
    assert abs(model.lines(PROBLEM, "a = 1\n# so\n")[1]) < 0.5


# ----------------------------------------------------------------------------------------- kept


def test_a_saved_model_is_the_same_model(model: LineModel, tmp_path: Path) -> None:
    model.save(tmp_path / "lines")
    again = LineModel.load(tmp_path / "lines")
    np.testing.assert_allclose(again.lines(PROBLEM, TEXT), model.lines(PROBLEM, TEXT), rtol=1e-5)
    assert again.wording == model.wording
    with pytest.raises(MissingData, match="train_line_model RUN"):
        LineModel.load(tmp_path / "nothing")
    model.policy.save(tmp_path / "policy")
    with pytest.raises(MissingData, match=r"LineModel\.save wrote"):
        LineModel.load(tmp_path / "policy")


def test_values_begin_as_what_the_model_says_after_the_token_before(
    model: LineModel, policy: CausalPolicy, tmp_path: Path
) -> None:
    model.save(tmp_path)
    own = OwnValues(policy, ValueConfig("own", str(tmp_path)), QUICK)
    sample, _ = model.reading(PROBLEM, TEXT)
    values = own.values(batch([sample], policy.pad_id)).detach().numpy()[0]
    np.testing.assert_allclose(values[1:], model.scores([sample])[0][:-1], atol=1e-5)
    assert np.abs(values).max() > 0.01


def test_another_vocabulary_reads_the_same_lines(model: LineModel, policy: CausalPolicy) -> None:
    other = tiny.load(width=16, layers=1, heads=2, vocab_size=340, dataset_options={"size": 60}, max_positions=128)
    assert tokenizer_of(other).encode(TEXT) != tokenizer_of(policy).encode(TEXT)
    twin = LineModel(other, model.wording)
    assert len(twin.lines(PROBLEM, TEXT)) == len(model.lines(PROBLEM, TEXT)) == 4
