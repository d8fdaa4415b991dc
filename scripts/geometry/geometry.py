#!/usr/bin/env python3
"""The geometry of random paths, computed with numpy and scikit-learn, beside what the crate printed.

Reads lines of JSON on stdin (other lines are skipped) and fails where a number differs by more than 1e-6. Written from the formulas
that the Rust code names, not from that code.
"""

import json
import sys
from collections import defaultdict

import numpy as np
import sklearn
from sklearn.decomposition import PCA

EQUAL = 1e-6
largest, compared, wrong = defaultdict(float), defaultdict(int), []


def same(name, ours, theirs):
    """Holds two nested lists of numbers and nulls beside each other."""
    ours = np.array(ours, dtype=float)  # null becomes nan
    theirs = np.array(theirs, dtype=float)
    if ours.shape != theirs.shape or (np.isnan(ours) != np.isnan(theirs)).any():
        wrong.append(f"{name}: other numbers are missing, or {ours.shape} is not {theirs.shape}")
        return
    apart = np.nanmax(np.abs(ours - theirs), initial=0.0)
    largest[name] = max(largest[name], apart)
    compared[name] += int((~np.isnan(ours)).sum())
    if apart > EQUAL:
        wrong.append(f"{name}: {apart:.2e} apart")


def cosine(x, y):
    lengths = np.linalg.norm(x) * np.linalg.norm(y)
    return x @ y / lengths if lengths > 0 else np.nan


def least(threshold, here):
    if "absolute" in threshold:
        return threshold["absolute"]
    return threshold["relative"] * np.linalg.norm(here)


def ways(steps, path, step, gap):
    if step - gap not in steps or step + gap not in steps:
        return None
    here = path[steps[step]]
    return here, path[steps[step - gap]] - here, path[steps[step + gap]] - here


def kept(rule, threshold, own, other):
    def lengths(of):
        return np.linalg.norm(of[1]), np.linalg.norm(of[2])

    if rule == "max":
        return max(lengths(own)) > least(threshold, own[0])
    if rule == "min":
        return min(lengths(own)) > least(threshold, own[0])
    return any(max(lengths(of)) >= least(threshold, of[0]) for of in (own, other))


def local_cosine(steps, path, other, gap, settings):
    values = []
    for step in steps:
        own = ways(steps, path, step, gap)
        if own is None:
            values.append(np.nan)
            continue
        beside = ways(steps, other, step, gap)
        counts = kept(settings["movement_rule"], settings["movement_threshold"], own, beside)
        values.append(cosine(own[1], own[2]) if counts else np.nan)
    return values


def vector(steps, series, path, other, settings):
    name = series["vector"]
    same("norms", series["norm"], np.linalg.norm(path, axis=1))
    for one in series["local_cosine"]:
        same("local cosine", one["values"], local_cosine(steps, path, other, one["gap"], settings))
    same("cosine to the last", series["cosine_to_final"], [cosine(row, path[-1]) for row in path])
    before = [np.nan] + [cosine(x, y) for x, y in zip(path[1:], path[:-1])]
    same("cosine to the one before", series["cosine_to_previous"], before)
    pca = PCA(n_components=2, svd_solver="full")
    scores = pca.fit_transform(path)
    same("PCA scores, signs included", series["components"]["scores"], scores.T)
    same("PCA explained variance", series["components"]["explained"], pca.explained_variance_ratio_)
    assert series["components"]["steps"] == list(steps), name


def stack(paths, which, place, centring):
    rows = np.stack([path[which][place] for path in paths])
    if centring == "over_steps":
        rows = rows - np.stack([path[which].mean(axis=0) for path in paths])
    if centring == "over_modules":
        rows = rows - rows.mean(axis=0)
    return rows


def comp(paths, series, count):
    values = []
    for place in range(count):
        x = stack(paths, series["vector"], place, series["centring"])
        y = stack(paths, series["vector"], count - 1, series["centring"])
        product = x.T @ y if series["reading"] == "literal" else x @ y.T
        lengths = np.linalg.norm(x) * np.linalg.norm(y)
        values.append(np.linalg.norm(product) / lengths if lengths > 0 else np.nan)
    same(f"comp score, {series['reading']}, centred {series['centring']}", series["values"], values)


def angles(table, vectors):
    same("angles", table["cosines"], [[cosine(x, y) for y in vectors] for x in vectors])


def main():
    lines = [json.loads(line) for line in sys.stdin if line.startswith("{")]
    for line in lines:
        steps = {step: place for place, step in enumerate(line["steps"])}
        runs = [
            [{k: np.array(rows, dtype=np.float32).astype(float) for k, rows in module.items()} for module in run]
            for run in line["runs"]
        ]
        for paths, series in zip(runs, line["series"], strict=True):
            for module, found in zip(paths, series["modules"], strict=True):
                for own in found["vectors"]:
                    which = own["vector"]
                    other = module["b" if which == "a" else "a"]
                    vector(steps, own, module[which], other, line["settings"])
            for one in series["comp"]:
                comp(paths, one, len(steps))
            for table in series["angles"]:
                angles(table, [path[table["vector"]][-1] for path in paths])
        for table in line["between"]:
            place = int(table["module"].removeprefix("layer "))
            angles(table, [run[place][table["vector"]][-1] for run in runs])
    print(f"numpy {np.__version__}, scikit-learn {sklearn.__version__}; {len(lines)} settings, two runs of nine modules")
    for name, apart in largest.items():
        print(f"  {name:<44} {compared[name]:>7} numbers, largest difference {apart:.1e}")
    if wrong or not lines:
        sys.exit("\n".join(wrong[:20]) or "nothing was printed")


main()
