"""Inputs that mean something to a model, drawn from a seed with NumPy alone.

A network that was trained to hear speech or to read text stays silent on random
numbers, and a conversion that broke it would pass unseen. So a *recipe* says for each
input what kind of thing it is, and a function here draws one. Recipes are plain data, in MANIFEST.toml for fetched models
and in NAME.recipe.json beside generated ones:

    dims        {CASE: {DIM: SIZE}}; DIM is a symbolic name, or INPUT[AXIS]
    fill        {INPUT: {"kind": KIND, option: value ...}}; "*" is for all others
    fill_in     {CASE: fill}, what differs in one case

An input without a recipe is drawn from the normal distribution if it is of a floating
type; integers are 0 or 1, booleans are drawn too.
"""

import zlib

import numpy as np

from common import CorpusError

KINDS = {}

# Letters and digits on a grid of 5 by 7, one number per row, most significant bit left.
GLYPHS = {
    "A": (14, 17, 17, 31, 17, 17, 17),
    "B": (30, 17, 17, 30, 17, 17, 30),
    "C": (14, 17, 16, 16, 16, 17, 14),
    "D": (30, 17, 17, 17, 17, 17, 30),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "F": (31, 16, 16, 30, 16, 16, 16),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "L": (16, 16, 16, 16, 16, 16, 31),
    "M": (17, 27, 21, 21, 17, 17, 17),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "O": (14, 17, 17, 17, 17, 17, 14),
    "P": (30, 17, 17, 30, 16, 16, 16),
    "R": (30, 17, 17, 30, 20, 18, 17),
    "S": (15, 16, 16, 14, 1, 1, 30),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "U": (17, 17, 17, 17, 17, 17, 14),
    "X": (17, 17, 10, 4, 10, 17, 17),
    "0": (14, 17, 19, 21, 25, 17, 14),
    "1": (4, 12, 4, 4, 4, 4, 14),
    "2": (14, 17, 1, 6, 8, 16, 31),
    "3": (30, 1, 1, 14, 1, 1, 30),
    "5": (31, 16, 30, 1, 1, 17, 14),
    "7": (31, 1, 2, 4, 8, 8, 8),
    " ": (0, 0, 0, 0, 0, 0, 0),
}
LINES = ("TOTAL 1205", "HELLO RUST", "MODEL 37", "PART B25", "NORTH SIDE", "LIFT 2 TO 5")
SNIPPETS = (
    "fn main() {\n    let total = items.iter().sum::<u32>();\n",
    "def area(width, height):\n    return width * height\n",
    '#include <stdio.h>\nint main(void) { puts("ready"); return 0; }\n',
    "for (const key of Object.keys(table)) { print(table[key]); }\n",
)


def kind(function):
    """Register a filler: shape, rng and options in, an array of numbers out."""
    KINDS[function.__name__] = function
    return function


@kind
def normal(shape, rng, mean=0.0, std=1.0):
    """The normal distribution."""
    return mean + std * rng.standard_normal(shape)


@kind
def uniform(shape, rng, low, high):
    """Real numbers between two bounds."""
    return rng.uniform(low, high, shape)


@kind
def tokens(shape, rng, low, high):
    """Integers, low <= i < high; small ones are the more frequent, as words are."""
    skewed = rng.random(shape) ** 2
    return (low + np.floor(skewed * (high - low))).astype(np.int64)


@kind
def padding(shape, rng):
    """A mask over [batch, length]: every row but the first ends in zeros."""
    mask = np.ones(shape, np.int64)
    for row in mask[1:]:
        row[int(rng.integers(max(1, shape[1] // 3), shape[1])) :] = 0
    return mask


@kind
def fill(shape, rng, value):
    """One value everywhere."""
    return np.full(shape, value)


@kind
def values(shape, rng, of):
    """Exactly these values, whatever the seed."""
    return np.reshape(np.array(of), shape)


@kind
def pick(shape, rng, of):
    """Draws from a list, of strings for example."""
    return np.array(of, dtype=object)[rng.integers(0, len(of), shape)]


@kind
def table(shape, rng, ranges):
    """Rows of a table; column c lies between ranges[c][0] and ranges[c][1]."""
    bounds = np.asarray(ranges, np.float64)
    return rng.uniform(bounds[:, 0], bounds[:, 1], shape)


def pulses(length, rate, pitch, rng):
    """A train of unit pulses whose rate wanders a little about `pitch` hertz."""
    wander = 1 + 0.08 * np.sin(2 * np.pi * (1.7 * np.arange(length) / rate + rng.random()))
    turns = np.cumsum(pitch * wander / rate) + rng.random()
    return (np.floor(turns) != np.floor(np.roll(turns, 1))).astype(np.float64)


def spoken(length, rng, rate=16000):
    """A voice-like sound: pulses shaped by three decaying resonances, and breath."""
    time = np.arange(int(0.04 * rate)) / rate
    tract = sum(
        level * np.exp(-decay * time) * np.sin(2 * np.pi * formant * time)
        for formant, decay, level in (
            (float(rng.uniform(550, 800)), 260.0, 1.0),
            (float(rng.uniform(1000, 1500)), 320.0, 0.6),
            (float(rng.uniform(2300, 2800)), 420.0, 0.3),
        )
    )
    lead = len(tract)
    source = pulses(lead + length, rate, float(rng.uniform(100, 190)), rng)
    sound = np.convolve(source, tract)[lead : lead + length]
    sound *= 0.35 / np.abs(sound).max()
    return sound + 0.002 * rng.standard_normal(length)


@kind
def voice(shape, rng, hop=0):
    """Speech-like audio at 16 kHz, [rows, samples].

    hop: 0 gives each row a voice of its own; otherwise the rows are frames of one
    recording, that many samples apart.
    """
    rows, samples = shape
    if not hop:
        return np.stack([spoken(samples, rng) for _ in range(rows)])
    sound = spoken(samples + hop * (rows - 1), rng)
    return np.stack([sound[hop * i : hop * i + samples] for i in range(rows)])


@kind
def melody(shape, rng, rate=22050):
    """Plucked notes one after another, [rows, samples, 1]."""
    rows, samples, _ = shape
    time = np.arange(samples) / rate
    sound = np.zeros((rows, samples))
    for row in sound:
        for onset in np.arange(0.1, samples / rate, 0.3):
            pitch = 220 * 2 ** (int(rng.integers(0, 20)) / 12)
            since = np.maximum(time - onset, 0)
            envelope = np.where(time > onset, np.exp(-3 * since), 0)
            for partial in range(1, 6):
                row += envelope * np.sin(2 * np.pi * pitch * partial * since) / partial**1.3
    return (0.25 * sound).reshape(shape)


@kind
def brainwaves(shape, rng, rate=250):
    """Slow rhythms in noise, along the last axis, all channels alike in part."""
    time = np.arange(shape[-1]) / rate
    signal = 0.5 * rng.standard_normal(shape)
    for low, high, level in ((1, 4, 1.0), (8, 12, 0.7), (11, 16, 0.6)):
        frequency = rng.uniform(low, high, shape[:-1])[..., None]
        phase = rng.uniform(0, 2 * np.pi, shape[:-1])[..., None]
        swell = 0.5 + 0.5 * np.sin(2 * np.pi * 0.3 * time + phase)
        signal += level * swell * np.sin(2 * np.pi * frequency * time + phase)
    return signal


@kind
def spectrum(shape, rng):
    """A spectrogram [batch, bands, frames], falling with frequency, with bursts."""
    bands, frames = shape[-2:]
    slope = np.linspace(1.0, -1.0, bands)[:, None]
    bursts = np.zeros(shape)
    for index in np.ndindex(*shape[:-2]):
        for _ in range(6):
            band, start = int(rng.integers(bands)), int(rng.integers(frames))
            bursts[index][band, start : start + frames // 20] += 2.0
    return slope + bursts + 0.3 * rng.standard_normal(shape)


def stamp_line(picture, text, top, left, scale, ink):
    """Draw a line of text into a picture, [height, width, 3]; cut at the edges."""
    for character in text:
        rows = [[bit == "1" for bit in f"{row:05b}"] for row in GLYPHS[character]]
        glyph = np.kron(np.array(rows), np.ones((scale, scale), bool))
        window = picture[top : top + 7 * scale, left : left + 5 * scale]
        window[glyph[: window.shape[0], : window.shape[1]]] = ink
        left += 6 * scale


def blur(picture):
    """Soften edges as a camera does."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    mixed = 2 * padded[1:-1, 1:-1] + padded[:-2, 1:-1] + padded[2:, 1:-1]
    return (mixed + padded[1:-1, :-2] + padded[1:-1, 2:]) / 6


def photograph(height, width, rng):
    """Dark lines of text on light paper, [height, width, 3], values 0 to 1."""
    shade = np.linspace(0.97, 0.88, width)[None, :, None]
    picture = np.broadcast_to(shade, (height, width, 3)).copy()
    lines = [LINES[i] for i in rng.permutation(len(LINES))]
    scale = max(1, height // 10) if height <= 64 else max(2, height // 80)
    if height <= 64:
        stamp_line(picture, lines[0], (height - 7 * scale) // 2, scale, scale, 0.1)
    else:
        for number, text in enumerate(lines):
            top = (1 + 2 * number) * 7 * scale
            stamp_line(picture, text, top, 12 + 8 * number, scale, 0.1)
    return blur(picture)


@kind
def page(shape, rng, mean, std, noise=0.0):
    """Pictures of text, [rows, 3, height, width], normalised per channel.

    noise: how much of the picture is white noise, 0 to 1; for networks that are so
    sure about clean pictures that nothing moves them.
    """
    rows, _, height, width = shape
    pictures = np.stack([photograph(height, width, rng) for _ in range(rows)])
    pictures = (1 - noise) * pictures + noise * rng.random(pictures.shape)
    scaled = (pictures - np.asarray(mean)) / np.asarray(std)
    return scaled.transpose(0, 3, 1, 2)


@kind
def source_code(shape, rng):
    """Bytes of program text, [rows, length], each row its own mix of snippets."""
    rows, length = shape
    made = np.zeros(shape, np.int64)
    for row in made:
        text = ""
        while len(text) < length:
            number = int(rng.integers(0, 10000))
            text += SNIPPETS[int(rng.integers(len(SNIPPETS)))] + f"// {number}\n"
        row[:] = np.frombuffer(text.encode()[:length], np.uint8)
    return made


def default_filler(dtype):
    """How an input is drawn about which the recipe says nothing."""
    if dtype == np.dtype(object):
        return {"kind": "pick", "of": ["a", "bc", ""]}
    if np.issubdtype(dtype, np.floating):
        return {"kind": "normal"}
    return {"kind": "tokens", "low": 0, "high": 2}


def cases(recipe):
    """The names of the test cases in a recipe."""
    return list(recipe.get("dims") or {"A": {}})


def shape_of(name, dims, sizes):
    """The shape of an input in one case; `dims` are numbers, names or None."""
    shape = []
    for axis, dim in enumerate(dims):
        if isinstance(dim, int) and dim >= 0:
            shape.append(dim)
            continue
        keys = [f"{name}[{axis}]", str(dim)]
        found = next((key for key in keys if key in sizes), None)
        if found is None:
            raise CorpusError(f"the recipe has no size for {' or '.join(keys)}")
        shape.append(sizes[found])
    return tuple(shape)


def draw(signature, recipe, case, seed):
    """The inputs of one case: {name: array}.

    signature: {name: (dtype, dims)}. Each input has a generator of its own, seeded by
    case, name and seed, so that none depends on the others or on their order.
    """
    sizes = (recipe.get("dims") or {}).get(case, {})
    fills = {**recipe.get("fill", {}), **recipe.get("fill_in", {}).get(case, {})}
    made = {}
    for name, (dtype, dims) in signature.items():
        dtype = np.dtype(dtype)
        options = dict(fills.get(name) or fills.get("*") or default_filler(dtype))
        filler = options.pop("kind")
        if filler not in KINDS:
            raise CorpusError(f"{name}: no kind of input is called {filler!r}")
        rng = np.random.default_rng([seed, zlib.crc32(f"{case}/{name}".encode())])
        shape = shape_of(name, dims, sizes)
        made[name] = np.asarray(KINDS[filler](shape, rng, **options)).astype(dtype)
    return made
