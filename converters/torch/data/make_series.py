#!/usr/bin/env python3
"""Writes src/import/series.rs: Chebyshev coefficients of special functions.

usage: make_series.py > converters/torch/src/import/series.rs

Needs mpmath. Each series approximates a smooth function on [-1, 1]; what it is of x is said
with it. Coefficients below the accuracy of f64 are left out.
"""

from mpmath import (
    besseli, besselj, besselk, bessely, cos, erfc, exp, log, mp, mpf, pi, sin, sqrt,
)

mp.dps = 50
POINTS = 80


def coefficients(f, accuracy=mpf(10) ** -17):
    """The Chebyshev coefficients of a function on [-1, 1]; the first one counts half."""
    nodes = [cos(pi * (k + mpf(1) / 2) / POINTS) for k in range(POINTS)]
    values = [f(x) for x in nodes]
    sums = [
        2 * sum(v * cos(pi * j * (k + mpf(1) / 2) / POINTS) for k, v in enumerate(values)) / POINTS
        for j in range(POINTS)
    ]
    scale = max(abs(s) for s in sums)
    last = max(j for j, s in enumerate(sums) if abs(s) > accuracy * scale)
    return sums[: last + 1]


def at_squares(f, edge):
    """A function of x² for x in [0, edge]: y = 2 (x / edge)² - 1."""
    return lambda y: f(edge * sqrt((y + 1) / 2))


def at_inverses(f, edge):
    """A function of 1/x for x from edge on: y = 2 edge / x - 1."""
    return lambda y: f(2 * edge / (y + 1))


def at_inverse_squares(f, edge):
    """A function of 1/x² for x from edge on: y = 2 (edge / x)² - 1."""
    return lambda y: f(edge / sqrt((y + 1) / 2))


def at_numbers(f, edge):
    """A function of x in [0, edge]: y = 2 x / edge - 1."""
    return lambda y: f(edge * (y + 1) / 2)


def erfcx(x):
    return exp(x * x) * erfc(x)


def erfcx_of_t(y):
    t = (y + 1) / 2
    x = 2 / t - 2
    return log(erfcx(x) / t)


def wave(order):
    """The slow factors of Bessel functions: J = sqrt(2 / pi x) (p cos a - q sin a)."""

    def split(x):
        angle = x - (2 * order + 1) * pi / 4
        scale = sqrt(pi * x / 2)
        j, y = besselj(order, x) * scale, bessely(order, x) * scale
        return j * cos(angle) + y * sin(angle), y * cos(angle) - j * sin(angle)

    return lambda x: split(x)[0], lambda x: x * split(x)[1]


P0, Q0 = wave(0)
P1, Q1 = wave(1)

SERIES = [
    ("ERFCX", "log(erfcx(x) / t) for t = 2 / (2 + x), y = 2 t - 1, x >= 0", erfcx_of_t),
    ("I0_LOW", "exp(-x) I0(x), y = x / 4 - 1, x <= 8", at_numbers(lambda x: exp(-x) * besseli(0, x), 8)),
    ("I0_HIGH", "exp(-x) sqrt(x) I0(x), y = 16 / x - 1, x >= 8",
     at_inverses(lambda x: exp(-x) * sqrt(x) * besseli(0, x), 8)),
    ("I1_LOW", "exp(-x) I1(x) / x, y = x / 4 - 1, x <= 8",
     at_numbers(lambda x: exp(-x) * besseli(1, x) / x, 8)),
    ("I1_HIGH", "exp(-x) sqrt(x) I1(x), y = 16 / x - 1, x >= 8",
     at_inverses(lambda x: exp(-x) * sqrt(x) * besseli(1, x), 8)),
    ("J0_LOW", "J0(x), y = 2 (x / 8)² - 1, x <= 8", at_squares(lambda x: besselj(0, x), 8)),
    ("J1_LOW", "J1(x) / x, y = 2 (x / 8)² - 1, x <= 8", at_squares(lambda x: besselj(1, x) / x, 8)),
    ("Y0_LOW", "Y0(x) - 2/pi log(x) J0(x), y = 2 (x / 8)² - 1, x <= 8",
     at_squares(lambda x: bessely(0, x) - 2 / pi * log(x) * besselj(0, x), 8)),
    ("Y1_LOW", "(Y1(x) - 2/pi (log(x) J1(x) - 1/x)) / x, y = 2 (x / 8)² - 1, x <= 8",
     at_squares(lambda x: (bessely(1, x) - 2 / pi * (log(x) * besselj(1, x) - 1 / x)) / x, 8)),
    ("P0", "the slow cosine factor of order 0, y = 2 (8 / x)² - 1, x >= 8", at_inverse_squares(P0, 8)),
    ("Q0", "x times the slow sine factor of order 0", at_inverse_squares(Q0, 8)),
    ("P1", "the slow cosine factor of order 1", at_inverse_squares(P1, 8)),
    ("Q1", "x times the slow sine factor of order 1", at_inverse_squares(Q1, 8)),
    ("K0_LOW", "K0(x) + log(x / 2) I0(x), y = x² / 2 - 1, x <= 2",
     at_squares(lambda x: besselk(0, x) + log(x / 2) * besseli(0, x), 2)),
    ("K0_HIGH", "exp(x) sqrt(x) K0(x), y = 4 / x - 1, x >= 2",
     at_inverses(lambda x: exp(x) * sqrt(x) * besselk(0, x), 2)),
    ("K1_LOW", "x (K1(x) - log(x / 2) I1(x)), y = x² / 2 - 1, x <= 2",
     at_squares(lambda x: x * (besselk(1, x) - log(x / 2) * besseli(1, x)), 2)),
    ("K1_HIGH", "exp(x) sqrt(x) K1(x), y = 4 / x - 1, x >= 2",
     at_inverses(lambda x: exp(x) * sqrt(x) * besselk(1, x), 2)),
]


def main():
    print("//! Chebyshev coefficients of special functions, made by `data/make_series.py`.")
    print("//!")
    print("//! The first coefficient counts half. `y` is the argument of the series.")
    for name, what, f in SERIES:
        print(f"\n/// {what}.")
        print(f"pub(super) const {name}: &[f64] = &[")
        for c in coefficients(f):
            print(f"    {float(c)!r},")
        print("];")


if __name__ == "__main__":
    main()
