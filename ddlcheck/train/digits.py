"""The bundled data set: 1,797 handwritten digits of 8 x 8 pixels.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
(its test set), as it is distributed with scikit-learn, whose licence (BSD, three clauses) lies beside it.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ddlcheck.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = Path(__file__).with_name("digits.csv.gz")
PIXELS, CLASSES = 64, 10
#: A pixel counts the dark points of a field of 4 x 4.
_BRIGHTEST = 16
#: The last ones are kept for the test, as the writers differ from those before.
TESTED = 357


class Digits(NamedTuple):
    """Images ``(n, 64)`` from 0 to 1 and labels ``(n,)``, to train and to test with; ``digest`` is the file's."""

    images: NDArray[np.float64]
    labels: NDArray[np.int64]
    test_images: NDArray[np.float64]
    test_labels: NDArray[np.int64]
    digest: str


def load(path: Path = FILE) -> Digits:
    """Read the data set; raises `UsageError` when it is not there or not whole."""
    try:
        packed = path.read_bytes()
        lines = gzip.decompress(packed).decode("ascii").splitlines() or [""]
        rows = np.array([[int(word) for word in line.split(",")] for line in lines], dtype=np.int64)
    except (OSError, EOFError, ValueError) as error:
        raise UsageError(f"{path}, the digits to train with, cannot be read: {error}") from error
    if rows.shape[1] != PIXELS + 1 or len(rows) <= TESTED:
        raise UsageError(f"{path} has {len(rows)} lines of {rows.shape[1]} numbers, not of {PIXELS + 1}")
    images, labels = rows[:, :PIXELS] / _BRIGHTEST, rows[:, PIXELS]
    digest = hashlib.sha256(packed).hexdigest()
    return Digits(images[:-TESTED], labels[:-TESTED], images[-TESTED:], labels[-TESTED:], digest)
