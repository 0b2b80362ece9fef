"""The integer grid of a local network, in one place: steps, scales and roundings.

Both the float network in training (`local_float.py`, which imitates the grid) and the export
(`export.py`, which lands on it) use these numbers. It is not the integer arithmetic itself: that is `layers.py`.
"""

INPUT_STEP = 1 / 16
"""Real value of one unit of a network input (a companded difference, int8)."""

RAW_INPUT_STEP = 1 / 64
"""The same where the context is raw: a level minus 128."""

ACTIVATION_STEP = 1 / 64
"""Real value of one unit of a hidden activation."""

ACTIVATION_LEVELS = 256
"""Hidden activations take the values 0 .. 255, stored minus 128 as int8."""

ACTIVATION_MAX = (ACTIVATION_LEVELS - 1) * ACTIVATION_STEP

WEIGHT_MAX = 127
"""Largest magnitude of an int8 weight."""

ACCUMULATOR_BOUND = 1 << 24
"""No accumulator may leave [-2^24, 2^24]: float32 sums of integers are then exact in any order."""

LOGIT_STEP = 1 / 32
"""Mixture logits, in nats."""

MEAN_STEP = 1 / 64
"""Component means, in grey levels relative to the prediction."""

LOG_SCALE_STEP = 1 / 32
"""Logarithm of a component's scale in grey levels, in nats."""

COEFFICIENT_BITS = 8
"""Coefficients of a pixel's earlier channels come in 2^-8, times differences to their predictions, ..."""

RAW_COEFFICIENT_BITS = 12
"""... and in 2^-12 where these are always 128: differences are large, and 2^-8 costs 0.003 bits per dimension."""

LOG_SCALE_MIN, LOG_SCALE_MAX = -3.5, 6.0

MEAN_GAIN = 16.0
"""Grey levels per unit of the network's mean output."""

RAW_MEAN_GAIN = 64.0
"""The same where the prediction is always 128."""

LOG_SCALE_OFFSET = 1.0
"""Added to the network's log-scale output, so that an untrained network starts at a scale of e."""

UNIFORM_WEIGHT = 256 * 6 / (1 << 24)
"""Share of the uniform in eq. 5.7 (alpha, 0.92e-4; the thesis has 1e-4): six counts of 2^24 a grey level."""
