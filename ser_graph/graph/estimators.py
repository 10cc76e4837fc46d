"""Embeddings in scikit-learn: the teacher's probe, a vote of neighbours, and the neighbour search as estimators."""

from collections.abc import Iterator
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ser_graph.errors import InputError

_MAX_ITER = 2000
_BLOCK = 2**24  # similarities in memory at a time: 128 MB


class TeacherProbe(ClassifierMixin, BaseEstimator):
    """A linear probe of embeddings: logistic regression on standardised values.

    Args:
        strength: inverse strength of the regularisation; smaller is simpler.

    Attributes:
        classes_: the classes, sorted.
        pipeline_: the fitted scaler and regression.

    Examples:
        >>> probe = TeacherProbe().fit([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], ["fear", "fear", "anger"])
        >>> probe.predict([[0.0, 0.9]]).tolist()
        ['fear']
    """

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:  # noqa: N803
        """Fit on embeddings X [N, D] with their classes y [N] and weights [N], of equal weight by default."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        regression = LogisticRegression(C=self.strength, max_iter=_MAX_ITER)
        self.pipeline_ = make_pipeline(StandardScaler(), regression).fit(
            X, y, standardscaler__sample_weight=sample_weight, logisticregression__sample_weight=sample_weight
        )
        self.classes_ = self.pipeline_.classes_
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The most probable class of each row of X [N, D]."""
        rows = self._checked(X)  # first, so that it refuses an estimator that is not fitted
        return self.pipeline_.predict(rows)

    def predict_proba(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """Probabilities [N, K] of `classes_`, float64."""
        rows = self._checked(X)
        return self.pipeline_.predict_proba(rows)

    def predict_log_proba(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """Logarithms of `predict_proba`, also where a probability is too small for a number."""
        rows = self._checked(X)
        return self.pipeline_.predict_log_proba(rows)

    def decision_function(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """Scores before the softmax: [N, K], or [N] for two classes."""
        rows = self._checked(X)
        return self.pipeline_.decision_function(rows)

    def _checked(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        check_is_fitted(self)
        return validate_data(self, X, reset=False)


def fit_probe(
    emb: np.ndarray, y: np.ndarray, other: np.ndarray, other_labels: float, strength: float = 1.0
) -> TeacherProbe:
    """The probe of labels of a target, and of labels of other corpora, which weigh little.

    Other corpora say a lot where the target has few labels, and little where it has many: people show emotions in
    other ways there. So their weight is a constant. See `docs/results.md`.

    Args:
        emb: [N, D] embeddings.
        y: [N] labels of the target, of at least two classes, -1 elsewhere.
        other: [N] labels of other corpora, -1 elsewhere. A clip with both has the label of the target.
        other_labels: the weight of all labels of other corpora together; each label of the target has 1. With 0,
            they are ignored.
        strength: of `TeacherProbe`.
    """
    known = y >= 0
    others = (other >= 0) & ~known & (other_labels > 0)
    rows = known | others
    labels = np.where(known, y, other)[rows]
    weight = np.where(others, other_labels / others.sum(), 1.0)[rows] if others.any() else None
    return TeacherProbe(strength).fit(emb[rows].astype("float64"), labels, weight)


class NeighbourVote(ClassifierMixin, BaseEstimator):
    """A vote of the nearest labelled clips by cosine similarity; each neighbour counts by its similarity.

    Args:
        n_neighbors: number of neighbours that vote.
        min_similarity: least similarity of a voter. Rows without a voter, and voters of similarity 0 or
            below, leave the frequencies of the classes.

    Attributes:
        classes_: the classes, sorted.
    """

    def __init__(self, n_neighbors: int = 10, min_similarity: float = 0.0) -> None:
        self.n_neighbors = n_neighbors
        self.min_similarity = min_similarity

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Keep the embeddings X [N, D] and their classes y [N]."""
        _check_n_neighbors(self.n_neighbors)
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        self._unit = normalize(X)
        self._votes = np.eye(len(self.classes_))[codes]
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The shares [N, K] of the votes for `classes_`, float64."""
        check_is_fitted(self)
        unit = normalize(validate_data(self, X, reset=False, dtype=np.float64))
        found = np.empty((len(unit), len(self.classes_)))
        for part, ids, similarity in _nearest(unit, self._unit, self.n_neighbors):
            weights = np.where(similarity >= self.min_similarity, similarity, 0).clip(min=0)
            found[part] = np.einsum("rk,rkc->rc", weights, self._votes[ids])
        total = found.sum(1, keepdims=True)
        frequencies = self._votes.mean(0)
        return np.where(total > 0, found / np.where(total > 0, total, 1), frequencies)

    def predict(self, X: ArrayLike) -> np.ndarray:  # noqa: N803
        """The class with the largest share of the votes for each row of X [N, D]."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]


class NeighbourTransformer(TransformerMixin, BaseEstimator):
    """Embeddings -> sparse similarities to their nearest fitted rows, as scikit-learn's `KNeighborsTransformer`.

    The search is exact. As in scikit-learn, a row that was fitted is its own first neighbour; the graph of
    `build_graph` leaves it out. For more rows than memory allows, and for rules between neighbours, use
    `build_graph`.

    Args:
        n_neighbors: neighbours of each row, at most the number of fitted rows.
        min_similarity: least similarity of a neighbour.

    Examples:
        >>> made = NeighbourTransformer(n_neighbors=2).fit_transform([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        >>> made.toarray().tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """

    def __init__(self, n_neighbors: int = 6, min_similarity: float = 0.0) -> None:
        self.n_neighbors = n_neighbors
        self.min_similarity = min_similarity

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Keep the embeddings X [N, D]."""
        _check_n_neighbors(self.n_neighbors)
        self._unit = normalize(validate_data(self, X, dtype=np.float64))
        self.n_samples_fit_ = len(self._unit)
        return self

    def transform(self, X: ArrayLike) -> sparse.csr_array:  # noqa: N803
        """Cosine similarities [M, N] float64 of rows X [M, D] to their neighbours among the N fitted rows."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        blocks = []
        for part, ids, similarity in _nearest(normalize(X), self._unit, self.n_neighbors):
            rows, places = np.nonzero(similarity >= self.min_similarity)
            cells = (similarity[rows, places], (rows, ids[rows, places]))
            blocks.append(sparse.csr_array(cells, shape=(part.stop - part.start, self.n_samples_fit_)))
        made = sparse.csr_array(sparse.vstack(blocks))
        made.eliminate_zeros()
        return made


def _check_n_neighbors(n_neighbors: int) -> None:
    if n_neighbors < 1:
        raise InputError(f"Bad n_neighbors {n_neighbors}, expected at least 1")


def _nearest(unit: np.ndarray, fitted: np.ndarray, k: int) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """The k most similar fitted rows of each row, the more similar first, then the smaller id.

    Yields:
        A slice of R rows, ids [R, k] and similarities [R, k], for blocks of rows.
    """
    size, k = max(1, _BLOCK // len(fitted)), min(k, len(fitted))
    for start in range(0, len(unit), size):
        part = slice(start, min(start + size, len(unit)))
        similarity = (unit[part] @ fitted.T).clip(-1, 1)
        ids = np.argsort(-similarity.round(12), axis=1, kind="stable")[:, :k]  # equal rows differ in the last digit
        yield part, ids, np.take_along_axis(similarity, ids, axis=1)
