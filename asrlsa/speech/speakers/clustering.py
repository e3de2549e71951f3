"""Cluster speaker embeddings and count the speakers.

Agglomerative clustering with average linkage on the cosine distance, then spherical k-means from there. The number of
speakers minimises a Bayesian information criterion; ``docs/speakers.md`` compares it with others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asrlsa.speech.speakers.features import FloatArray

SAMPLE_WINDOWS = 2000  # windows that enter the linkage; its distances take 8 * n**2 bytes at their peak (32 MB)
SMALLEST_SHARE = 0.03  # of the windows: a smaller branch of the tree is an outlier and founds no speaker
COUNT_WINDOWS = 6  # fewer can't tell how many speakers there are
WINDOWS_PER_SPEAKER = 4  # at least so many for each speaker that is considered
WINDOWS_PER_SAMPLE = 2  # windows of 1.5 s every 0.75 s: two of them hold one window's worth of news
MOST_SAMPLES = 40  # one voice drifts over minutes, so more speech is not more evidence for another speaker
SEED = 0

IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Clustering:
    """K speakers in embedding space.

    Attributes:
        centroids: Shape (K, D), rows of unit length.
        reason: One sentence on how K was settled.
    """

    centroids: FloatArray
    reason: str

    def similarity(self, embeddings: FloatArray) -> FloatArray:
        """Return the cosine of each of N embeddings with each centroid, (N, K)."""
        return np.asarray(embeddings @ self.centroids.T, dtype=np.float32)


def cluster(embeddings: FloatArray, speakers: int | None, max_speakers: int) -> Clustering:
    """Find the speakers in the embeddings of windows.

    Above 2,000 windows a seeded sample of 2,000 is clustered; k-means then sees all of them. Memory beyond the
    embeddings is bounded by the sample.

    Args:
        embeddings: Shape (N, D), rows of unit length, N at least 1.
        speakers: How many to find (fewer if there are fewer windows), or None to count them.
        max_speakers: The most to count.

    Returns:
        The centroids and why there are so many.
    """
    sample = embeddings
    if len(embeddings) > SAMPLE_WINDOWS:
        chosen = np.random.default_rng(SEED).choice(len(embeddings), SAMPLE_WINDOWS, replace=False)
        sample = embeddings[np.sort(chosen)]
    tree = _average_linkage(sample)
    if speakers is not None:
        labels = _cut(sample, tree, min(speakers, len(sample)))
        reason = "1 speaker was asked for" if speakers == 1 else f"{speakers} speakers were asked for"
    else:
        labels, reason = _count(sample, tree, max_speakers)
    centroids = _centroids(sample, labels)
    for _ in range(10):
        nearest = (embeddings @ centroids.T).argmax(axis=1)
        moved = _centroids(embeddings, nearest, centroids)
        if np.allclose(moved, centroids, atol=1e-6):
            break
        centroids = moved
    return Clustering(centroids, reason)


def information_criterion(scatter: FloatArray | NDArray[np.float64], windows: int) -> NDArray[np.float64]:
    """Score 1 to K speakers; the smallest score wins.

    The windows of a speaker are taken for spherical Gaussians of one common variance. With n independent samples in d
    dimensions, minus twice the log-likelihood is ``n d log(scatter)`` and K means cost ``K d log(n)``, so d cancels:
    ``log(scatter_K) + K log(n) / n``. Windows overlap twofold, and n stops growing at 40 samples (60 s of speech):
    beyond that the scatter within one voice would be split for ever.

    Args:
        scatter: Mean squared distance to the own cluster's mean for 1 to K clusters, shape (K,).
        windows: Number of windows it was measured on.
    """
    samples = max(2.0, min(windows / WINDOWS_PER_SAMPLE, MOST_SAMPLES))
    counts = np.arange(1, len(scatter) + 1)
    return np.asarray(np.log(np.maximum(scatter, 1e-12)) + counts * np.log(samples) / samples, dtype=np.float64)


def _count(sample: FloatArray, tree: NDArray[np.float64], max_speakers: int) -> tuple[IntArray, str]:
    windows = len(sample)
    one = np.zeros(windows, dtype=np.intp)
    if windows < COUNT_WINDOWS:
        return one, "1 speaker: too little speech to count speakers"
    most = max(1, min(max_speakers, windows // WINDOWS_PER_SPEAKER))
    if most == 1:
        return one, "1 speaker: too little speech to tell more apart, or no more allowed"
    options = [one, *(_refined(sample, _cut(sample, tree, k)) for k in range(2, most + 1))]
    scores = information_criterion(np.array([_scatter(sample, labels) for labels in options]), windows)
    best = int(scores.argmin())
    others = np.delete(scores, best)
    rival = int(np.delete(np.arange(1, most + 1), best)[others.argmin()])
    found = "1 speaker" if best == 0 else f"{best + 1} speakers"
    return options[
        best
    ], f"{found} by information criterion ({scores[best]:.2f}; next best {rival} at {others.min():.2f})"


def _average_linkage(sample: FloatArray) -> NDArray[np.float64]:
    from scipy.cluster.hierarchy import linkage

    if len(sample) < 2:
        return np.empty((0, 4))
    count, first = len(sample), 0
    distance = np.empty(count * (count - 1) // 2)
    for row in range(count - 1):  # row by row: the whole matrix and its indices would take five times the memory
        last = first + count - 1 - row
        distance[first:last] = np.clip(1.0 - sample[row + 1 :] @ sample[row], 0.0, 2.0)
        first = last
    return np.asarray(linkage(distance, "average"), dtype=np.float64)


def _cut(sample: FloatArray, tree: NDArray[np.float64], speakers: int) -> IntArray:
    """Cut the tree where it first has ``speakers`` branches of a fair size; give the rest to the nearest."""
    from scipy.cluster.hierarchy import fcluster

    windows = len(sample)
    if speakers < 2 or windows < 2:
        return np.zeros(windows, dtype=np.intp)
    smallest = max(1, int(SMALLEST_SHARE * windows))
    for branches in range(speakers, min(windows, speakers + 30) + 1):
        labels = fcluster(tree, branches, "maxclust") - 1
        sizes = np.bincount(labels)
        fair = np.flatnonzero(sizes >= smallest)
        if len(fair) >= speakers:
            largest = fair[np.argsort(-sizes[fair], kind="stable")][:speakers]
            means = _unit(np.stack([sample[labels == label].mean(axis=0) for label in largest]))
            return np.asarray((sample @ means.T).argmax(axis=1))
    return np.asarray(fcluster(tree, speakers, "maxclust") - 1, dtype=np.intp)


def _refined(sample: FloatArray, labels: IntArray) -> IntArray:
    for _ in range(10):
        nearest = np.asarray((sample @ _centroids(sample, labels).T).argmax(axis=1))
        if (nearest == labels).all():
            break
        labels = nearest
    return labels


def _centroids(embeddings: FloatArray, labels: IntArray, before: FloatArray | None = None) -> FloatArray:
    """Return unit means, (K, D); an empty cluster keeps its centroid from ``before``, or is left out without one."""
    if before is None:
        return _unit(np.stack([embeddings[labels == label].mean(axis=0) for label in np.unique(labels)]))
    return _unit(
        np.stack(
            [embeddings[labels == k].mean(axis=0) if (labels == k).any() else before[k] for k in range(len(before))]
        )
    )


def _scatter(sample: FloatArray, labels: IntArray) -> float:
    total = 0.0
    for label in np.unique(labels):
        members = sample[labels == label]
        total += float(((members - members.mean(axis=0)) ** 2).sum(dtype=np.float64))
    return total / len(sample)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)
