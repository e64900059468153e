"""Gradients by hand against differences, PyTorch's against ours, and the data set."""

import gzip
import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddlcheck.errors import UsageError
from ddlcheck.train import command, digits, mpi
from ddlcheck.train.network import Adam, Network


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 4), st.integers(1, 6), st.integers(0, 2**31))
def test_the_gradient_is_what_differences_say(inputs, hidden, classes, samples, seed):
    random = np.random.default_rng(seed)
    model = Network(inputs, hidden, classes)
    # Not zero anywhere, so that no unit stands in the corner of the rectifier.
    theta = random.normal(size=model.parameters)
    images, labels = random.uniform(0.1, 1, (samples, inputs)), random.integers(0, classes, samples)
    _, gradient = model.loss_and_gradient(theta, images, labels)
    width = 1e-6
    for place in range(model.parameters):
        there = [theta.copy(), theta.copy()]
        there[0][place] += width
        there[1][place] -= width
        above, below = (model.loss_and_gradient(one, images, labels)[0] for one in there)
        assert (above - below) / (2 * width) == pytest.approx(gradient[place], rel=1e-4, abs=1e-5)


def test_a_huge_score_is_no_overflow():
    model = Network(1, 1, 2)
    loss, gradient = model.loss_and_gradient(np.array([1e3, 0, 1e3, -1e3, 0, 0]), np.array([[1.0]]), np.array([0]))
    assert loss == 0
    assert np.isfinite(gradient).all()


def test_adam_s_first_step_is_the_rate_against_the_sign():
    theta = np.zeros(3)
    Adam(3, 0.5).step(theta, np.array([2.0, -3.0, 0.0]))
    np.testing.assert_allclose(theta, [-0.5, 0.5, 0.0], rtol=1e-6)


def test_pytorch_where_it_is_finds_the_same_gradient_and_is_refused_in_a_sentence_where_it_is_not(monkeypatch, capsys):
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setattr(mpi, "world", lambda: (Lonely(), "no MPI"))
        assert command.main(["--backend", "torch"]) == 2
        assert "there is no PyTorch on" in capsys.readouterr().err
        return
    from ddlcheck.train.torch_network import TorchNetwork

    model, data = Network(64, 16, 10), digits.load()
    theta = model.draw(5)
    ours = model.loss_and_gradient(theta, data.images[:60], data.labels[:60])
    theirs = TorchNetwork(model, 0).loss_and_gradient(theta, data.images[:60], data.labels[:60])
    assert theirs[0] == pytest.approx(ours[0], rel=1e-12)
    np.testing.assert_allclose(theirs[1], ours[1], rtol=1e-9, atol=1e-14)


class Lonely:
    rank, size = 0, 1

    def everyone(self, value):
        return [value]


def test_the_digits_are_whole():
    data = digits.load()
    assert data.images.shape == (1440, 64)
    assert data.test_images.shape == (357, 64)
    assert (data.images.min(), data.images.max()) == (0.0, 1.0)
    assert set(data.labels) == set(data.test_labels) == set(range(10))
    assert data.digest == "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22"


@pytest.mark.parametrize(
    "packed", [b"", b"not packed", gzip.compress(b"1,2,3\n"), gzip.compress(b"a,b\n"), digits.FILE.read_bytes()[:5000]]
)
def test_digits_that_are_not_whole_are_a_sentence(tmp_path, packed):
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(packed)
    with pytest.raises(UsageError, match=r"digits\.csv\.gz"):
        digits.load(path)
    with pytest.raises(UsageError, match="cannot be read"):
        digits.load(tmp_path / "none")
