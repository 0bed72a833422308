"""Every kernel of raster: columns of drawings in, pixels and numbers out.

All kernels live in this one file because numba's cache looks at the file of the function it
compiles and at no other. They hold no state, never raise and release the GIL, so any number of
threads may call them at once; the front doors (`render.py` and its neighbours) check and allocate.

Coordinates: a point (x, y) of 0..255 lies `(x - 127.5) * scale` pixels right of the image's centre.
Measured from the centre, every step below is odd in x and in y, so a mirrored drawing gives exactly
the mirrored image.

What makes the drawing fast is that LLVM turns its inner loops into SIMD instructions. For that
- they have a fixed length, LANES, and no branches;
- small integers are cast after every operation, since numba widens `int16 + int16` to int64;
- images are flat: of a 2-D argument LLVM makes a second version for strided rows, and runs that;
- indices are unsigned, which spares numba's own look whether they count from the end;
- what is written lies in one array at offsets that are constants: of several arrays LLVM would
  have to know that they do not overlap.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from raster.cache import choose_folder

choose_folder()
F32, I16, I32, I64 = np.float32, np.int16, np.int32, np.int64
U8, U16, INDEX = np.uint8, np.uint16, np.uintp

LANES = 16  # pixels worked on at once: a loop of fixed length is what LLVM turns into SIMD
FIELDS = 9  # numbers kept for each segment that is set up: the names below, in groups of LANES
ALONG, ACROSS, STEP_U, STEP_V, EXTENT, START, RIGHT, TOP, ROWS = (LANES * i for i in range(FIELDS))

HUGE = 1e30  # the largest coordinate: in pixels, and squared in float64, it stays finite
HUGE_BITS = np.float32(HUGE).view(np.uint32)

# Without NaN, signed zeros and the order of roundings LLVM may use its SIMD instructions.
LOOSE = {"nnan", "nsz", "contract"}
exact = njit(nogil=True, cache=True, error_model="numpy")
kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath=LOOSE)
inlined = njit(nogil=True, cache=True, error_model="numpy", fastmath=LOOSE, inline="always")


class Columns(NamedTuple):
    """What the kernels read of a `Packed`."""

    points: np.ndarray  # [n, 2] uint8 or float32
    stroke_lengths: np.ndarray  # [s]
    index: np.ndarray  # [b + 1, 2] first point and first stroke of each drawing


class Levels(NamedTuple):
    """Grey levels of points, or of strokes."""

    values: np.ndarray  # [n] of the segment that each point begins, or [m] of each stroke in turn
    of_points: bool  # else stroke t has value min(t, m - 1)


class Brush(NamedTuple):
    """How points become ink."""

    size: np.int32  # height of an image, and as many of its columns are drawn on
    width: np.int32  # of an image, LANES at least
    scale: np.float32  # pixels for each unit of 0..255
    reach: np.float32  # pixels from a line within which all of its ink lies
    unit: np.float32  # steps of the kernels' int16 distances in a pixel
    solid: np.uint16  # how many of these steps from the line the ink begins to fade
    fade: np.uint16  # ... and after how many more it ends; 1 leaves no grey
    gain: np.uint16  # 128 for a whole pixel: what turns `fade` into that
    over: np.bool_  # whether a stroke covers brighter ones drawn before it


class Work(NamedTuple):
    """Memory for one call, so that calls from several threads share nothing."""

    places: np.ndarray  # [2, n + 1] float32 pixels from the centre, n of the longest drawing
    segments: np.ndarray  # [n * FIELDS] int32, n rounded up to whole groups of LANES
    cover: np.ndarray  # [h * w] uint8 zeros: how far a stroke covers each pixel, 128 for all of it


# ------------------------------------------------------------------------------ columns


@kernel
def first_bad(columns):
    """Number of the first drawing whose columns contradict each other, or -1."""
    for b in range(columns.index.shape[0] - 1):
        if not sound(columns, b):
            return b
    return -1


@kernel
def sound(columns, b):
    """Whether the stroke lengths of drawing b add up to its points, all within the columns."""
    points, stroke_lengths, index = columns
    first, first_stroke = index[b]
    last, last_stroke = index[b + 1]
    if first < 0 or first_stroke < 0 or last > points.shape[0]:
        return False
    if last < first or last_stroke < first_stroke or last_stroke > stroke_lengths.shape[0]:
        return False
    total = I64(0)
    for s in range(first_stroke, last_stroke):
        length = I64(stroke_lengths[s])
        if length < 0:
            return False
        total += length
    return total == last - first


@kernel
def all_moderate(points):
    """Whether every float32 is finite and within +-HUGE."""
    # By their bits, because `nnan` lets LLVM take a comparison with NaN for granted.
    bits = points.view(np.uint32).reshape(-1)
    worst = np.uint32(0)
    for i in range(bits.shape[0]):
        worst = max(worst, bits[i] & np.uint32(0x7FFFFFFF))
    return worst <= HUGE_BITS


@kernel
def take_index(columns, indices, taken):
    """Fills the index of the drawings `indices`; negative ones count from the end, and are set.

    Returns the place of a drawing that is not there or not sound, or -1.
    """
    index = columns.index
    drawings = index.shape[0] - 1
    for i in range(indices.shape[0]):
        b = indices[i] + (drawings if indices[i] < 0 else 0)
        if b < 0 or b >= drawings:
            return i
        indices[i] = b
    touch(columns, indices, taken)
    taken[0, 0] = 0
    taken[0, 1] = 0
    for i in range(indices.shape[0]):
        b = indices[i]
        if not sound(columns, b):
            return i
        taken[i + 1, 0] = taken[i, 0] + index[b + 1, 0] - index[b, 0]
        taken[i + 1, 1] = taken[i, 1] + index[b + 1, 1] - index[b, 1]
    return -1


@inlined
def touch(columns, indices, taken):
    """Reads where each drawing begins and ends, which brings it into the cache.

    No read waits for the one before, so the processor waits for memory some twenty drawings at a
    time, and no longer drawing by drawing where their strokes are counted. `taken` is given what
    was read, to be overwritten, because LLVM leaves out reads that come to nothing.
    """
    points, stroke_lengths, index = columns
    last, last_stroke = points.shape[0] - 1, stroke_lengths.shape[0] - 1
    if last < 0 or last_stroke < 0:
        return
    for i in range(indices.shape[0]):
        b = indices[i]
        p = min(max(index[b, 0], 0), last)
        q = min(max(index[b + 1, 0], 0), last)
        s = min(max(index[b, 1], 0), last_stroke)
        first, middle, end = points[p, 0], points[(p + q) // 2, 0], points[q, 0]
        taken[i + 1, 0] = I64(first < middle) + I64(middle < end)
        taken[i + 1, 1] = I64(stroke_lengths[s])


@kernel
def take(columns, indices, taken):
    """Copies the points and stroke lengths of the drawings `indices` into `taken`."""
    points, taken_points = columns.points.reshape(-1), taken.points.reshape(-1)
    lengths, taken_lengths = columns.stroke_lengths, taken.stroke_lengths
    for i in range(indices.shape[0]):
        b = indices[i]
        start, first = INDEX(2 * columns.index[b, 0]), INDEX(2 * taken.index[i, 0])
        for p in range(2 * (taken.index[i + 1, 0] - taken.index[i, 0])):
            taken_points[first + INDEX(p)] = points[start + INDEX(p)]
        start, first = INDEX(columns.index[b, 1]), INDEX(taken.index[i, 1])
        for s in range(taken.index[i + 1, 1] - taken.index[i, 1]):
            taken_lengths[first + INDEX(s)] = lengths[start + INDEX(s)]


@kernel
def take_times(times, index, indices, taken, taken_index):
    for i in range(indices.shape[0]):
        start, first = index[indices[i], 0], taken_index[i, 0]
        for p in range(taken_index[i + 1, 0] - first):
            taken[first + p] = times[start + p]


@kernel
def bound(columns, matrix, low, high):
    """Fills the box of each drawing's points times its matrix; it is 0 without points."""
    for b in range(columns.index.shape[0] - 1):
        first, last = columns.index[b, 0], columns.index[b + 1, 0]
        xx, xy, yx, yy = matrix[b, 0, 0], matrix[b, 0, 1], matrix[b, 1, 0], matrix[b, 1, 1]
        if first == last:
            low[b, 0] = low[b, 1] = high[b, 0] = high[b, 1] = 0
            continue
        left, top, right, bottom = F32(HUGE), F32(HUGE), F32(-HUGE), F32(-HUGE)
        for p in range(first, last):
            x, y = F32(columns.points[p, 0]), F32(columns.points[p, 1])
            u, v = xx * x + xy * y, yx * x + yy * y
            left, right, top, bottom = min(left, u), max(right, u), min(top, v), max(bottom, v)
        low[b, 0], low[b, 1], high[b, 0], high[b, 1] = left, top, right, bottom


@kernel
def transform(columns, matrix, offset, moved):
    """Each drawing's points times its matrix, its offset added, and what leaves 0..255 clipped."""
    for b in range(columns.index.shape[0] - 1):
        xx, xy, yx, yy = matrix[b, 0, 0], matrix[b, 0, 1], matrix[b, 1, 0], matrix[b, 1, 1]
        right, down = offset[b, 0], offset[b, 1]
        for p in range(columns.index[b, 0], columns.index[b + 1, 0]):
            x, y = F32(columns.points[p, 0]), F32(columns.points[p, 1])
            moved[p, 0] = min(max(xx * x + xy * y + right, F32(0)), F32(255))
            moved[p, 1] = min(max(yx * x + yy * y + down, F32(0)), F32(255))


# ------------------------------------------------------------------------------- levels


@kernel
def time_levels(columns, times, levels):
    """Level of the segment begun at each point by when it ends: from 125 to 255 at the last."""
    for b in range(columns.index.shape[0] - 1):
        p, end = columns.index[b, 0], columns.index[b + 1, 0]
        if p == end:
            continue
        start = times[p]
        whole = max(times[end - 1] - start, F32(1e-3))
        for s in range(columns.index[b, 1], columns.index[b + 1, 1]):
            last = p + I64(columns.stroke_lengths[s]) - 1
            while p <= last:
                elapsed = (times[min(p + 1, last)] - start) / whole
                levels[p] = U8(F32(125.5) + F32(130) * min(max(elapsed, F32(0)), F32(1)))
                p += 1


@kernel
def speed_levels(columns, times, middle, levels):
    """Level of the segment begun at each point by its speed: 55 at rest, 155 at `middle`."""
    points = columns.points
    for b in range(columns.index.shape[0] - 1):
        p = columns.index[b, 0]
        for s in range(columns.index[b, 1], columns.index[b + 1, 1]):
            last = p + I64(columns.stroke_lengths[s]) - 1
            while p <= last:
                q = min(p + 1, last)
                dx = np.float64(points[q, 0]) - np.float64(points[p, 0])
                dy = np.float64(points[q, 1]) - np.float64(points[p, 1])
                way = np.sqrt(dx * dx + dy * dy)
                pause = middle * max(times[q] - times[p], F32(0))
                share = F32(way / max(way + pause, 1e-6))
                levels[p] = U8(F32(55.5) + F32(200) * share)
                p += 1


# ------------------------------------------------------------------- antialiased drawing


@inlined
def rounded(value):
    """value / 512 to the nearest, halves away from 0: an odd function, as mirror images need."""
    return I32(I32(value + I32(256)) + I32(value >> I32(31))) >> I32(9)


@inlined
def capsule(ends, brush):
    """One segment with its round ends, as the FIELDS numbers that `ink` reads.

    Seen from the segment's middle a pixel lies so far `along` the line and so far `across` it.
    Both are linear in the pixel's row and column, hence two sums in 1/512 of the brush's steps:
    `along` and `across` here are for the uppermost row and the image's middle column, and (u, v),
    the line's direction, is what half a pixel adds.
    """
    x0, y0, x1, y1 = ends
    last = I32(brush.size - I32(1))
    edge = F32(last)
    half = F32(0.5) * edge
    dx, dy = x1 - x0, y1 - y0
    length = np.sqrt(dx * dx + dy * dy)
    inverse = F32(1) / max(length, F32(1e-6))
    ux = dx * inverse if length > F32(0) else F32(1)
    uy = dy * inverse
    # Each side is measured outwards from the centre: mirrored, they swap to the last bit.
    left = I32(last - I32(min(max(half + (brush.reach - min(x0, x1)), F32(0)), edge)))
    right = I32(min(max(half + (brush.reach + max(x0, x1)), F32(0)), edge))
    top = I32(last - I32(min(max(half + (brush.reach - min(y0, y1)), F32(0)), edge)))
    bottom = I32(min(max(half + (brush.reach + max(y0, y1)), F32(0)), edge))
    rightmost = I32(brush.width - I32(LANES))
    start = left if left < rightmost else rightmost
    xm, ym = F32(0.5) * (x0 + x1), F32(0.5) * (y0 + y1)
    u, v = I32(ux * (brush.unit * F32(256))), I32(uy * (brush.unit * F32(256)))
    row = I32(I32(top + top) - last)
    scale = brush.unit * F32(512)
    along = I32(I32((xm * ux + ym * uy) * -scale) + I32(row * v))
    across = I32(I32((xm * uy - ym * ux) * scale) + I32(row * u))
    extent = I32(F32(0.5) * length * brush.unit + F32(0.5))
    return along, across, u, v, extent, start, right, top, I32(I32(bottom - top) + I32(1))


@kernel
def clipped(ends, bound):
    """Whether a segment meets the square of +-bound, and the part inside (Liang and Barsky)."""
    x0, y0 = np.float64(ends[0]), np.float64(ends[1])
    dx, dy = np.float64(ends[2]) - x0, np.float64(ends[3]) - y0
    far = np.float64(bound)
    enter, leave = 0.0, 1.0
    for step, room in ((-dx, far + x0), (dx, far - x0), (-dy, far + y0), (dy, far - y0)):
        if step < 0.0:
            enter = max(enter, room / step)
        elif step > 0.0:
            leave = min(leave, room / step)
        elif room < 0.0:
            leave = -1.0
    if enter > leave:
        return False, (F32(0), F32(0), F32(0), F32(0))
    x1, y1 = x0 + leave * dx, y0 + leave * dy
    return True, (F32(x0 + enter * dx), F32(y0 + enter * dy), F32(x1), F32(y1))


@inlined
def place(points, first, count, scale, places):
    """Points to pixels from the centre; returns the largest distance from it."""
    far = F32(0)
    for i in range(count):
        x = (F32(points[first + i, 0]) - F32(127.5)) * scale
        y = (F32(points[first + i, 1]) - F32(127.5)) * scale
        places[0, i] = x
        places[1, i] = y
        far = max(far, max(abs(x), abs(y)))
    return far


@inlined
def slot(j):
    """Where the fields of segment j begin."""
    return INDEX(j // LANES * (LANES * FIELDS) + j % LANES)


@inlined
def keep(segments, at, fields):
    segments[at + INDEX(ALONG)] = fields[0]
    segments[at + INDEX(ACROSS)] = fields[1]
    segments[at + INDEX(STEP_U)] = fields[2]
    segments[at + INDEX(STEP_V)] = fields[3]
    segments[at + INDEX(EXTENT)] = fields[4]
    segments[at + INDEX(START)] = fields[5]
    segments[at + INDEX(RIGHT)] = fields[6]
    segments[at + INDEX(TOP)] = fields[7]
    segments[at + INDEX(ROWS)] = fields[8]


@kernel
def set_up_one(work, pair, brush):
    """Set-up of the segment between two points, perhaps the same, perhaps far from the image."""
    places, segments, _ = work
    j, k = pair
    ends = (places[0, j], places[1, j], places[0, k], places[1, k])
    inside, part = clipped(ends, F32(0.5) * F32(brush.size) + brush.reach + F32(1))
    keep(segments, slot(j), capsule(part, brush))
    if not inside:
        segments[slot(j) + INDEX(ROWS)] = 0


@inlined
def set_up(points, span, work, brush):
    """Set-up of all segments of a drawing, between strokes too, sixteen at a time.

    Returns whether a point lies far outside, where only `set_up_one` may be given it.
    """
    places, segments, _ = work
    first, count = span
    far = place(points, first, count, brush.scale, places)
    if far > F32(0.5) * F32(brush.size) + brush.reach:
        for j in range(count - 1):
            set_up_one(work, (j, j + 1), brush)
        return True
    for group in range((count + LANES - 2) // LANES):
        at = INDEX(group * LANES * FIELDS)
        for k in range(LANES):
            j = group * LANES + k
            start = (places[0, INDEX(j)], places[1, INDEX(j)])
            end = (places[0, INDEX(j + 1)], places[1, INDEX(j + 1)])
            keep(segments, at + INDEX(k), capsule((*start, *end), brush))
    return False


@inlined
def less(a, b):
    """a - b, but at least 0: one instruction when the numbers are unsigned."""
    return U16(a - (b if b < a else a))


@inlined
def ink_row(image, base, line, level, brush):
    """Sixteen pixels of one row: each is raised to the level by the capsule's cover of it."""
    column, along, across, u, v, extent = line
    a, p = I16(rounded(along)), I16(rounded(across))
    # The columns' part of the sums is the same in every row: LLVM computes it once, before them.
    for k in range(LANES):
        x = I32(column + I32(2) * I32(k))
        da = I16(a - I16(rounded(I32(x * u))))
        dp = I16(p - I16(rounded(I32(x * v))))
        da = U16(da if da >= I16(0) else I16(-da))
        dp = U16(dp if dp >= I16(0) else I16(-dp))
        da = less(da, extent)
        # Distance without a square root, at most 3 % off: max(m, 7/8 m + n/2) of the legs m >= n.
        m = da if da > dp else dp
        n = dp if da > dp else da
        d = U16(m + less(U16(n >> U16(1)), U16(m >> U16(3))))
        cover = less(brush.fade, less(d, brush.solid))
        value = U8(U16(cover * level) >> U16(7))
        q = base + INDEX(k)
        old = image[q]
        image[q] = value if value > old else old


@inlined
def ink(image, segments, j, level, brush):
    """One segment that is set up, in columns of sixteen pixels."""
    at = slot(j)
    along, across = segments[at + INDEX(ALONG)], segments[at + INDEX(ACROSS)]
    u, v = segments[at + INDEX(STEP_U)], segments[at + INDEX(STEP_V)]
    extent = U16(segments[at + INDEX(EXTENT)])
    start, right = I64(segments[at + INDEX(START)]), I64(segments[at + INDEX(RIGHT)])
    top, rows = I64(segments[at + INDEX(TOP)]), I64(segments[at + INDEX(ROWS)])
    gain = U16(U16(level) * brush.gain)
    width = I64(brush.width)
    while True:
        base = INDEX(top * width + start)
        column = I32(I32(2) * I32(start)) - I32(brush.size - I32(1))
        a, p = along, across
        for _ in range(rows):
            ink_row(image, base, (column, a, p, I32(-u), v, extent), gain, brush)
            a = I32(I32(a + v) + v)
            p = I32(I32(p + u) + u)
            base += INDEX(width)
        if start + LANES > right:
            break
        start = min(start + LANES, width - LANES)


@inlined
def widened(box, segments, j):
    """The box (left, right, top, end) of pixels, with those of one segment."""
    at = slot(j)
    start, right = I64(segments[at + INDEX(START)]), I64(segments[at + INDEX(RIGHT)])
    top, rows = I64(segments[at + INDEX(TOP)]), I64(segments[at + INDEX(ROWS)])
    return (
        min(box[0], start),
        max(box[1], max(right, start + LANES - 1)),
        min(box[2], top),
        max(box[3], top + rows),
    )


@inlined
def lay(image, width, cover, box, level):
    """Lays a stroke of one level over the image where it covers it (128: whole); clears `cover`."""
    left, right, top, end = box
    count = min((right - left + LANES) // LANES * LANES, width)
    left = min(left, width - count)
    for y in range(top, end):
        base = INDEX(y * width + left)
        for k in range(count):
            q = base + INDEX(k)
            old = I16(image[q])
            change = I16(I16(I16(level) - old) * I16(cover[q]))
            image[q] = U8(I16(old + I16(I16(change + I16(64)) >> I16(7))))
            cover[q] = U8(0)


@kernel
def draw(columns, levels, images, brush, work):
    """Clears the images [b, size * width] and draws each drawing, stroke by stroke.

    Where ink meets ink the greater level stays, which needs no memory of what a stroke covers and
    also lays a stroke over darker ones. Only a stroke darker than one before it, if `brush.over`,
    has its cover drawn apart and is then laid over the image.
    """
    points, stroke_lengths, index = columns
    values, of_points = levels
    width, height = I64(brush.width), I64(brush.size)
    for b in range(images.shape[0]):
        image = images[b]
        image[:] = U8(0)
        first = index[b, 0]
        far = set_up(points, (first, index[b + 1, 0] - first), work, brush)
        j = I64(0)
        highest = U8(0)
        for s in range(index[b, 1], index[b + 1, 1]):
            length = I64(stroke_lengths[s])
            if length == 0:
                continue
            if length == 1:  # a dot, the only stroke whose last point begins a segment
                set_up_one(work, (j, j), brush)
            end = j + max(length - 1, 1)
            at = first + j if of_points else min(s - index[b, 1], values.shape[0] - 1)
            level = values[at]
            if brush.over and level < highest:
                box = (width, I64(0), height, I64(0))
                for q in range(j, end):
                    ink(work.cover, work.segments, q, U8(128), brush)
                    box = widened(box, work.segments, q)
                lay(image, width, work.cover, box, level)
            else:
                for q in range(j, end):
                    value = values[at + (q - j) * of_points]
                    ink(image, work.segments, q, value, brush)
            highest = max(highest, level)
            j += length
        if far:  # what is left of it, the next drawing would set up as unused lanes
            work.places[:, : index[b + 1, 0] - first] = F32(0)


@kernel
def weave_two(first, second, woven):
    """Channels [n] side by side, [2 * n]. That the stride is a constant is what makes it fast."""
    for i in range(first.shape[0]):
        woven[2 * i] = first[i]
        woven[2 * i + 1] = second[i]


@kernel
def weave_three(first, second, third, woven):
    """Channels [n] side by side, [3 * n]."""
    for i in range(first.shape[0]):
        woven[3 * i] = first[i]
        woven[3 * i + 1] = second[i]
        woven[3 * i + 2] = third[i]


# ------------------------------------------------------------------------------ sequences


@kernel
def sequences(columns, sequence, lengths):
    """Fills [b, t, 3] with (dx, dy, pen) of the first t points of each drawing, and how many."""
    points, stroke_lengths, index = columns
    room = sequence.shape[1]
    for b in range(sequence.shape[0]):
        first, stroke = index[b, 0], index[b, 1]
        count = min(I64(room), index[b + 1, 0] - first)
        rows = sequence[b].reshape(3 * room)
        rows[:] = F32(0)
        for i in range(1, count):
            p = first + i
            rows[INDEX(3 * i)] = (F32(points[p, 0]) - F32(points[p - 1, 0])) / F32(255)
            rows[INDEX(3 * i + 1)] = (F32(points[p, 1]) - F32(points[p - 1, 1])) / F32(255)
        ended = I64(0)
        while stroke < index[b + 1, 1]:
            length = I64(stroke_lengths[stroke])
            ended += length
            stroke += 1
            if ended > count:
                break
            if length > 0:
                rows[INDEX(3 * ended - 1)] = F32(1)
        lengths[b] = count


# -------------------------------------------------------------------------------- entropy


@njit(nogil=True, cache=True, error_model="numpy", fastmath=LOOSE | {"reassoc"})
def entropy(words, area, logs, work, result):
    """Shannon entropy in bits of each image's grey levels; `logs[c]` is c * log2(c).

    `words` [b, n] are the images eight pixels at a time, rounded up with zeros.
    """
    counts, inked = work
    n = words.shape[1]
    for b in range(words.shape[0]):
        counts[:] = 0
        # Most words are black: the inked ones are gathered without a branch to mispredict.
        found = I64(0)
        for i in range(n):
            word = words[b, INDEX(i)]
            inked[INDEX(found)] = word
            found += word != np.uint64(0)
        # Four tables in turn: adding to one twice at once would wait for the first addition.
        for i in range(found):
            word = inked[INDEX(i)]
            for k in range(8):
                level = (word >> np.uint64(8 * k)) & np.uint64(255)
                counts[INDEX(np.uint64(256 * (k % 4)) + level)] += 1
        counts[0] += area - 8 * found
        total = F32(0)
        for i in range(256):
            count = counts[i] + counts[256 + i] + counts[512 + i] + counts[768 + i]
            total += logs[INDEX(count)]
        result[b] = F32(np.log2(area)) - total / F32(area)


# -------------------------------------------------------------------------------- recipes


@kernel
def lay_shrunk(large, factor, first, images):
    """Lays white strokes over the images they belong to, first[b] to first[b + 1] over image b.

    large [s, h * factor, w * factor] has the strokes; factor x factor pixels of it make one.
    """
    whole = F32(255 * factor * factor)
    for b in range(images.shape[0]):
        for s in range(first[b], first[b + 1]):
            for y in range(images.shape[1]):
                for x in range(images.shape[2]):
                    cover = I64(0)
                    for i in range(factor):
                        for k in range(factor):
                            cover += I64(large[s, y * factor + i, x * factor + k])
                    if cover > 0:
                        old = F32(images[b, y, x])
                        share = F32(cover) / whole
                        images[b, y, x] = U8(old + (F32(255) - old) * share + F32(0.5))


@inlined
def nearest(value):
    return I64(np.floor(value + 0.5))


@inlined
def widen(spans, x, y):
    """Stretches the span of row y to pixel x."""
    if 0 <= y < spans.shape[0]:
        spans[y, 0] = min(spans[y, 0], x)
        spans[y, 1] = max(spans[y, 1], x)


@kernel
def trace(x0, y0, x1, y1, spans):
    """An edge as OpenCV has it twice: as an outline, and as the border of what it fills."""
    dx, dy = x1 - x0, y1 - y0
    length = max(abs(dx), abs(dy), 1e-9)
    for i in range(I64(length) + 2):
        part = min(i / length, 1.0)
        widen(spans, nearest(x0 + part * dx), nearest(y0 + part * dy))
    # The border goes from one end's row to the other's, both rounded, in equal steps.
    top = min(nearest(y0), nearest(y1))
    rows = abs(nearest(y1) - nearest(y0))
    x, step = (x0, dx) if y0 < y1 else (x1, -dx)
    for i in range(rows + 1):
        widen(spans, nearest(x + step * i / max(rows, 1)), top + i)


@kernel
def blunt_line(canvas, ends, radius, level, spans):
    """A line without grey as OpenCV draws it: a rectangle with its outline, and two discs."""
    height, width = canvas.shape
    x0, y0, x1, y1 = ends
    length = max(np.hypot(x1 - x0, y1 - y0), 1e-9)
    nx, ny = radius * (y1 - y0) / length, radius * (x0 - x1) / length
    trace(x0 + nx, y0 + ny, x0 - nx, y0 - ny, spans)
    trace(x0 - nx, y0 - ny, x1 - nx, y1 - ny, spans)
    trace(x1 - nx, y1 - ny, x1 + nx, y1 + ny, spans)
    trace(x1 + nx, y1 + ny, x0 + nx, y0 + ny, spans)
    for i in range(-radius, radius + 1):
        half = I64(np.sqrt(float(radius * radius - i * i)))
        for x, y in ((nearest(x0), nearest(y0) + i), (nearest(x1), nearest(y1) + i)):
            widen(spans, x - half, y)
            widen(spans, x + half, y)
    top = max(nearest(min(y0, y1)) - radius - 1, 0)
    for y in range(top, min(nearest(max(y0, y1)) + radius + 2, height)):
        canvas[y, max(spans[y, 0], 0) : min(spans[y, 1] + 1, width)] = level
        spans[y, 0], spans[y, 1] = width, -1


@kernel
def draw_paper(columns, table, images, canvas, work):
    """Lines of thickness 6 on a canvas of 256, brought to size by interpolation of four pixels."""
    points, stroke_lengths, index = columns
    spans, taps = work
    for b in range(images.shape[0]):
        canvas[:] = U8(0)
        p = index[b, 0]
        for s in range(index[b, 1], index[b + 1, 1]):
            end = p + I64(stroke_lengths[s])
            for q in range(p, end - 1):
                ends = (
                    np.rint(F32(points[q, 0])) - F32(127.5),
                    np.rint(F32(points[q, 1])) - F32(127.5),
                    np.rint(F32(points[q + 1, 0])) - F32(127.5),
                    np.rint(F32(points[q + 1, 1])) - F32(127.5),
                )
                seen, (x0, y0, x1, y1) = clipped(ends, F32(140))
                if seen:
                    whole = (x0 + 127.5, y0 + 127.5, x1 + 127.5, y1 + 127.5)
                    level = table[min(s - index[b, 1], table.shape[0] - 1)]
                    blunt_line(canvas, whole, 3, level, spans)
            p = end
        interpolate(canvas, taps, images[b])


@kernel
def interpolate(canvas, taps, image):
    """Brings the canvas to the image's size; taps [size, 2]: left pixel, weight of the next."""
    size, last = image.shape[0], canvas.shape[0] - 1
    for y in range(size):
        top, below = taps[y, 0], taps[y, 1]
        bottom = min(top + 1, last)
        for x in range(size):
            left, beside = taps[x, 0], taps[x, 1]
            right = min(left + 1, last)
            upper = canvas[top, left] * (2048 - beside) + canvas[top, right] * beside
            lower = canvas[bottom, left] * (2048 - beside) + canvas[bottom, right] * beside
            image[y, x] = U8((upper * (2048 - below) + lower * below + (1 << 21)) >> 22)


# ----------------------------------------------------------------------- simplification


@exact
def resample(stroke, spacing, resampled):
    """Points of `stroke` [3, n] at equal spacing along it, and its last; returns how many."""
    resampled[:, 0] = stroke[:, 0]
    count = 1
    x, y, t = stroke[0, 0], stroke[1, 0], stroke[2, 0]
    rest = spacing
    i = 1
    while i < stroke.shape[1] and count < resampled.shape[1] - 1:
        length = np.hypot(stroke[0, i] - x, stroke[1, i] - y)
        if length < rest:
            rest -= length
            x, y, t = stroke[0, i], stroke[1, i], stroke[2, i]
            i += 1
        else:
            x += (stroke[0, i] - x) * rest / length
            y += (stroke[1, i] - y) * rest / length
            t += (stroke[2, i] - t) * rest / length
            resampled[0, count], resampled[1, count], resampled[2, count] = x, y, t
            count += 1
            rest = spacing
    resampled[:, count] = stroke[:, -1]
    return count + 1


@exact
def thin(stroke, epsilon, kept, spans):
    """Ramer, Douglas and Peucker: marks in `kept` the points that hold the line within epsilon."""
    x, y = stroke[0], stroke[1]
    kept[:] = False
    kept[0] = kept[-1] = True
    spans[0, 0], spans[0, 1] = 0, kept.shape[0] - 1
    open_spans = 1
    while open_spans > 0:
        open_spans -= 1
        first, last = spans[open_spans, 0], spans[open_spans, 1]
        dx, dy = x[last] - x[first], y[last] - y[first]
        length = np.hypot(dx, dy)
        worst, place = epsilon, -1
        for i in range(first + 1, last):
            ex, ey = x[i] - x[first], y[i] - y[first]
            gap = abs(dx * ey - dy * ex) / length if length > 0 else np.hypot(ex, ey)
            if gap > worst:
                worst, place = gap, i
        if place >= 0:
            kept[place] = True
            spans[open_spans, 0], spans[open_spans, 1] = first, place
            spans[open_spans + 1, 0], spans[open_spans + 1, 1] = place, last
            open_spans += 2


@exact
def simplify(points, lengths, rule, work, simplified):
    """Strokes of `points` [3, n], resampled and thinned; `ends` says where each of them ends."""
    spacing, epsilon = rule
    resampled, kept, spans = work
    thinned, ends = simplified
    first, end = 0, 0
    for s in range(lengths.shape[0]):
        last = first + lengths[s]
        count = resample(points[:, first:last], spacing, resampled)
        thin(resampled[:, :count], epsilon, kept[:count], spans)
        for i in range(count):
            if kept[i]:
                thinned[:, end] = resampled[:, i]
                end += 1
        ends[s] = end
        first = last
