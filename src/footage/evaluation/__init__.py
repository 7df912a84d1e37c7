"""Clips that were made beside real ones: clip sets, their features, figures of these, and the floor.

protocols            how: protocols, and everything that can be asked
inputs, clip_sets    the two sides, and the clips of each
feature_cache        features of clips, on disk; networks in features/, closed forms in pixel_features
figure_inputs        what figures are computed from: both sides, the floor, the draws of the bootstrap
figures              every figure of features; fidelity: answers beside the truth; memorisation: nearest neighbours
run                  the evaluator, which `evaluate`, `compare` and the choice of the best model share
results, report/     figures.json and its table; the page about it
"""
