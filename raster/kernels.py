"""Every kernel of raster: columns of drawings in, pixels and numbers out.

All kernels live in this one file because numba's cache looks at the file of the function it
compiles and at no other. They hold no state, never raise and release the GIL, so any number of
threads may call them at once; the front doors (`render.py` and its neighbours) check and allocate.

Coordinates: a point (x, y) of 0..255 lies `(x - 127.5) * scale` pixels right of the image's centre.
Measured from the centre, every step below is odd in x and in y, so a mirrored drawing gives exactly
the mirrored image.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

F32, I16, I32, I64 = np.float32, np.int16, np.int32, np.int64
U8, U16, INDEX = np.uint8, np.uint16, np.uintp

LANES = 16  # pixels worked on at once: a loop of fixed length is what LLVM turns into SIMD
BLOCK = 256  # segments set up at once; longer drawings take several blocks
ROOM = BLOCK + 1 + LANES  # points of one block, and what its last group of lanes reads beyond
FIELDS = 9  # numbers kept for each segment that is set up

# Without NaN and signed zeros LLVM may use its SIMD minimum and maximum.
kernel = njit(nogil=True, cache=True, error_model="numpy", fastmath={"nnan", "nsz", "contract"})
inlined = njit(
    nogil=True,
    cache=True,
    inline="always",
    error_model="numpy",
    fastmath={"nnan", "nsz", "contract"},
)


class Columns(NamedTuple):
    """What the kernels read of a `Packed`."""

    points: np.ndarray  # [n, 2] uint8 or float32
    stroke_lengths: np.ndarray  # [s]
    index: np.ndarray  # [b + 1, 2] first point and first stroke of each drawing


class Brush(NamedTuple):
    """How points become ink."""

    scale: np.float32  # pixels for each unit of 0..255
    radius: np.float32  # half the thickness, in pixels
    unit: np.float32  # steps of the int16 distances in one pixel
    reach: np.int16  # distance from the line at which ink ends, in these steps
    fade: np.int16  # ... and over how many of them it fades out: 1 leaves no grey


class Work(NamedTuple):
    """Memory for one call, so that calls from several threads share nothing."""

    points: np.ndarray  # [2 * ROOM] float32: every x, then every y
    segments: np.ndarray  # [FIELDS * BLOCK] int32


# ------------------------------------------------------------------------------ columns


@kernel
def first_bad(columns):
    """Number of the first drawing whose columns contradict each other or are not finite, or -1."""
    points, stroke_lengths, index = columns
    for b in range(index.shape[0] - 1):
        if not sound(columns, b):
            return b
    return -1


@kernel
def sound(columns, b):
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
def all_finite(points):
    # x - x is 0 only for finite x; summed as bits because `nnan` lets LLVM drop a float comparison.
    bits = points.view(np.uint32).reshape(-1)
    worst = np.uint32(0)
    for i in range(bits.shape[0]):
        worst = max(worst, bits[i] & np.uint32(0x7FFFFFFF))
    return worst < np.uint32(0x7F800000)


@kernel
def take_index(columns, indices, taken):
    """Fills the index of the drawings `indices`; returns the place of the first unsound one or -1."""
    index = columns.index
    taken[0, 0] = 0
    taken[0, 1] = 0
    for i in range(indices.shape[0]):
        b = indices[i]
        if not sound(columns, b):
            return i
        taken[i + 1, 0] = taken[i, 0] + index[b + 1, 0] - index[b, 0]
        taken[i + 1, 1] = taken[i, 1] + index[b + 1, 1] - index[b, 1]
    return -1


@kernel
def take(columns, indices, taken):
    """Copies the points and stroke lengths of the drawings `indices` into `taken`."""
    for i in range(indices.shape[0]):
        b = indices[i]
        start, first, count = columns.index[b, 0], taken.index[i, 0], taken.index[i + 1, 0]
        for p in range(count - first):
            taken.points[first + p, 0] = columns.points[start + p, 0]
            taken.points[first + p, 1] = columns.points[start + p, 1]
        start, first, count = columns.index[b, 1], taken.index[i, 1], taken.index[i + 1, 1]
        for s in range(count - first):
            taken.stroke_lengths[first + s] = columns.stroke_lengths[start + s]


@kernel
def take_times(times, index, indices, taken, taken_index):
    for i in range(indices.shape[0]):
        start, first = index[indices[i], 0], taken_index[i, 0]
        for p in range(taken_index[i + 1, 0] - first):
            taken[first + p] = times[start + p]


# ------------------------------------------------------------------------------- levels


@kernel
def order_levels(columns, table, levels):
    """Level of each point by its stroke's place in the drawing; the table's last entry repeats."""
    last = table.shape[0] - 1
    for b in range(columns.index.shape[0] - 1):
        p = columns.index[b, 0]
        first = columns.index[b, 1]
        for s in range(first, columns.index[b + 1, 1]):
            level = table[min(s - first, last)]
            for _ in range(columns.stroke_lengths[s]):
                levels[p] = level
                p += 1


# ------------------------------------------------------------------- antialiased drawing


@inlined
def rounded(value):
    """value / 512 to the nearest, halves away from 0: odd, so it keeps mirror images."""
    return I32(I32(value + I32(256)) + I32(value >> I32(31))) >> I32(9)


@inlined
def capsule(x0, y0, x1, y1, size, width, brush):
    """One segment with its round ends, as the FIELDS numbers that `ink` reads."""
    last = I32(size - 1)
    edge = F32(last)
    half = F32(0.5) * edge
    # A little more than the ink's half width, because `ink_row` measures up to 3 % too short.
    reach = F32(1.035) * (brush.radius + F32(0.5))
    dx, dy = x1 - x0, y1 - y0
    length = np.sqrt(dx * dx + dy * dy)
    inverse = F32(1) / max(length, F32(1e-6))
    ux = dx * inverse if length > F32(0) else F32(1)
    uy = dy * inverse
    # Each side is measured outwards from the centre: mirrored, they swap to the last bit.
    left = I32(last - I32(min(max(half + (reach - min(x0, x1)), F32(0)), edge)))
    right = I32(min(max(half + (reach + max(x0, x1)), F32(0)), edge))
    top = I32(last - I32(min(max(half + (reach - min(y0, y1)), F32(0)), edge)))
    bottom = I32(min(max(half + (reach + max(y0, y1)), F32(0)), edge))
    rightmost = I32(width - LANES)
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
def clipped(x0, y0, x1, y1, bound):
    """The part of a segment within +-bound, after Liang and Barsky; (inside, x0, y0, x1, y1)."""
    dx, dy = x1 - x0, y1 - y0
    enter, leave = 0.0, 1.0
    for step, room in ((-dx, bound + x0), (dx, bound - x0), (-dy, bound + y0), (dy, bound - y0)):
        if step == 0.0:
            if room < 0.0:
                return False, x0, y0, x1, y1
        elif step < 0.0:
            enter = max(enter, room / step)
        else:
            leave = min(leave, room / step)
    if enter > leave:
        return False, x0, y0, x1, y1
    return True, x0 + enter * dx, y0 + enter * dy, x0 + leave * dx, y0 + leave * dy


@inlined
def place(points, first, count, scale, placed):
    """Points to pixels from the centre; returns the largest distance from it."""
    far = F32(0)
    for i in range(count):
        x = (F32(points[first + i, 0]) - F32(127.5)) * scale
        y = (F32(points[first + i, 1]) - F32(127.5)) * scale
        placed[INDEX(i)] = x
        placed[INDEX(ROOM + i)] = y
        far = max(far, max(abs(x), abs(y)))
    return far


@inlined
def keep(segments, j, fields):
    segments[INDEX(j)] = fields[0]
    segments[INDEX(BLOCK + j)] = fields[1]
    segments[INDEX(2 * BLOCK + j)] = fields[2]
    segments[INDEX(3 * BLOCK + j)] = fields[3]
    segments[INDEX(4 * BLOCK + j)] = fields[4]
    segments[INDEX(5 * BLOCK + j)] = fields[5]
    segments[INDEX(6 * BLOCK + j)] = fields[6]
    segments[INDEX(7 * BLOCK + j)] = fields[7]
    segments[INDEX(8 * BLOCK + j)] = fields[8]


@inlined
def set_up(work, count, size, width, brush):
    """Set-up of the segments between successive points, pen up or down, sixteen at a time."""
    placed, segments = work
    for group in range((count + LANES - 1) // LANES):
        for k in range(LANES):
            j = group * LANES + k
            x0, y0 = placed[INDEX(j)], placed[INDEX(ROOM + j)]
            x1, y1 = placed[INDEX(j + 1)], placed[INDEX(ROOM + j + 1)]
            keep(segments, j, capsule(x0, y0, x1, y1, size, width, brush))


@kernel
def set_up_one(work, j, k, size, width, brush):
    """Set-up of the segment from point j to point k, which may lie far outside the image."""
    placed, segments = work
    bound = 0.5 * size + 1.1 * brush.radius + 1.0
    inside, x0, y0, x1, y1 = clipped(
        float(placed[j]),
        float(placed[ROOM + j]),
        float(placed[k]),
        float(placed[ROOM + k]),
        bound,
    )
    if inside:
        keep(segments, j, capsule(F32(x0), F32(y0), F32(x1), F32(y1), size, width, brush))
    else:
        segments[8 * BLOCK + j] = 0


@inlined
def ink_row(image, base, column, line, level, brush):
    """Sixteen pixels of one row: each is raised to the level by the capsule's cover of it."""
    along, across, u, v, extent = line
    a, p = I16(rounded(along)), I16(rounded(across))
    for k in range(LANES):
        x = I32(column + I32(2) * I32(k))
        da = I16(a + I16(rounded(I32(x * u))))
        dp = I16(p - I16(rounded(I32(x * v))))
        da = da if da >= I16(0) else I16(-da)
        dp = dp if dp >= I16(0) else I16(-dp)
        da = I16(da - extent)
        da = da if da > I16(0) else I16(0)
        # The distance without a square root: max(m, 7/8 m + n/2) of the longer and shorter leg.
        m = da if da > dp else dp
        n = dp if da > dp else da
        d = I16(I16(m - I16(m >> I16(3))) + I16(n >> I16(1)))
        d = m if m > d else d
        cover = I16(brush.reach - d)
        cover = cover if cover > I16(0) else I16(0)
        cover = cover if cover < brush.fade else brush.fade
        value = U8(U16(I16(cover * level)) >> U16(7))
        q = base + INDEX(k)
        old = image[q]
        image[q] = value if value > old else old


@inlined
def ink(image, size, width, segments, j, level, brush):
    """One segment that is set up, in columns of sixteen pixels."""
    along, across = segments[INDEX(j)], segments[INDEX(BLOCK + j)]
    u, v = segments[INDEX(2 * BLOCK + j)], segments[INDEX(3 * BLOCK + j)]
    extent = I16(segments[INDEX(4 * BLOCK + j)])
    start, right = I64(segments[INDEX(5 * BLOCK + j)]), I64(segments[INDEX(6 * BLOCK + j)])
    top, rows = I64(segments[INDEX(7 * BLOCK + j)]), I64(segments[INDEX(8 * BLOCK + j)])
    level = I16(I16(level) * (I16(128) // brush.fade))
    while True:
        base = INDEX(top * width + start)
        column = I32(2 * start - (size - 1))
        a, p = along, across
        for _ in range(rows):
            ink_row(image, base, column, (a, p, u, v, extent), level, brush)
            a = I32(I32(a + v) + v)
            p = I32(I32(p + u) + u)
            base += INDEX(width)
        if start + LANES > right:
            break
        start = min(start + LANES, width - LANES)


@kernel
def draw(columns, levels, images, brush, work):
    """Clears the images and draws each drawing; where strokes meet, the greater level stays."""
    points, stroke_lengths, index = columns
    size, width = images.shape[1], images.shape[2]
    safe = F32(0.5) * F32(size) + brush.radius
    for b in range(images.shape[0]):
        image = images[b].reshape(size * width)
        image[:] = U8(0)
        end = index[b + 1, 0]
        stroke = index[b, 1]
        rest, whole = I64(0), I64(0)
        for first in range(index[b, 0], end, BLOCK):
            count = min(I64(BLOCK), end - first)
            near = (
                place(points, first, min(count + 1, end - first), brush.scale, work.points) < safe
            )
            if near:
                set_up(work, count, size, width, brush)
            j = I64(0)
            while j < count:
                if rest == 0:
                    rest = whole = I64(stroke_lengths[stroke])
                    stroke += 1
                    continue
                here = min(rest, count - j)
                # A stroke's last point begins no segment, unless it is the only one: a dot.
                last = j + here - (1 if rest == here and whole > 1 else 0)
                if whole == 1 or not near:
                    for q in range(j, last):
                        set_up_one(work, q, q if whole == 1 else q + 1, size, width, brush)
                for q in range(j, last):
                    ink(image, size, width, work.segments, q, levels[first + q], brush)
                j += here
                rest -= here


# -------------------------------------------------------------------- drawing without grey


@inlined
def runs(image, ends, strides, size, radius, level):
    """One segment as runs of pixels across its longer axis, of which `ends` come first."""
    a0, b0, a1, b1 = ends
    along, across = strides
    edge = F32(size - 1)
    half = F32(0.5) * edge
    da, db = a1 - a0, b1 - b0
    slope = db / da if da != F32(0) else F32(0)
    first = I32(edge) - I32(min(max(half + (radius - min(a0, a1)), F32(0)), edge))
    last = I32(min(max(half + (radius + max(a0, a1)), F32(0)), edge))
    run = I32(F32(2) * radius * np.sqrt(F32(1) + slope * slope) + F32(0.5))
    run = min(max(run, I32(1)), I32(size))
    # In 1/65536 pixel. The step is even and the start odd, so no run's end falls on a pixel's
    # centre: which pixel is taken never depends on the side it is seen from.
    step = I32(slope * F32(16384)) * I32(4)
    middle = F32(0.5) * ((b0 + b1) - slope * (a0 + a1)) * F32(32768)
    b = I32(I32(middle) * I32(2) + (I32(1) if middle >= F32(0) else I32(-1)))
    b = I32(b + (I32(2) * first - I32(size - 1)) * (step >> I32(1)))
    b = I32(b + (I32(size - 1) - run) * I32(32768))
    highest = I32(size) - run
    q = I64(first) * along
    for _ in range(first, last + 1):
        start = min(max((b >> I32(16)) + I32(1), I32(0)), highest)
        for k in range(run):
            image[INDEX(q + (I64(start) + k) * across)] = level
        q += along
        b = I32(b + step)


@inlined
def stamp(image, size, width, ends, radius, level):
    x0, y0, x1, y1 = ends
    if abs(x1 - x0) >= abs(y1 - y0):
        runs(image, (x0, y0, x1, y1), (1, width), size, radius, level)
    else:
        runs(image, (y0, x0, y1, x1), (width, 1), size, radius, level)


@kernel
def draw_plain(columns, levels, images, brush):
    """Clears the images and draws each drawing without grey; later strokes cover earlier ones."""
    points, stroke_lengths, index = columns
    size, width = images.shape[1], images.shape[2]
    bound = F32(0.5) * F32(size) + brush.radius + F32(1)
    for b in range(images.shape[0]):
        image = images[b].reshape(size * width)
        image[:] = U8(0)
        p = index[b, 0]
        for s in range(index[b, 1], index[b + 1, 1]):
            end = p + I64(stroke_lengths[s])
            for q in range(p, max(end - 1, min(p + 1, end))):
                r = min(q + 1, end - 1)
                x0 = (F32(points[q, 0]) - F32(127.5)) * brush.scale
                y0 = (F32(points[q, 1]) - F32(127.5)) * brush.scale
                x1 = (F32(points[r, 0]) - F32(127.5)) * brush.scale
                y1 = (F32(points[r, 1]) - F32(127.5)) * brush.scale
                if max(max(abs(x0), abs(y0)), max(abs(x1), abs(y1))) > bound:
                    inside, cx0, cy0, cx1, cy1 = clipped(
                        float(x0), float(y0), float(x1), float(y1), float(bound)
                    )
                    if not inside:
                        continue
                    x0, y0, x1, y1 = F32(cx0), F32(cy0), F32(cx1), F32(cy1)
                stamp(image, size, width, (x0, y0, x1, y1), brush.radius, levels[q])
            p = end


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


@kernel
def entropy(images, logs, counts, result):
    """Shannon entropy in bits of each image's grey levels; `logs[c]` is c * log2(c)."""
    area = images.shape[1]
    for b in range(images.shape[0]):
        counts[:] = 0
        for i in range(area):
            counts[images[b, i]] += 1
        total = F32(0)
        for i in range(256):
            total += logs[counts[i]]
        result[b] = F32(np.log2(area)) - total / F32(area)


# ----------------------------------------------------------------------- simplification


@kernel
def resample(x, y, spacing, out_x, out_y):
    """Points at equal spacing along a stroke, and its last point; returns how many."""
    out_x[0], out_y[0] = x[0], y[0]
    count = 1
    px, py = x[0], y[0]
    rest = spacing
    i = 1
    while i < x.shape[0] and count < out_x.shape[0] - 1:
        length = np.hypot(x[i] - px, y[i] - py)
        if length < rest:
            rest -= length
            px, py = x[i], y[i]
            i += 1
        else:
            px += (x[i] - px) * rest / length
            py += (y[i] - py) * rest / length
            out_x[count], out_y[count] = px, py
            count += 1
            rest = spacing
    out_x[count], out_y[count] = x[-1], y[-1]
    return count + 1


@kernel
def thin(x, y, epsilon, kept, stack):
    """Ramer, Douglas and Peucker: marks in `kept` the points that hold the line within epsilon."""
    kept[:] = False
    kept[0] = kept[x.shape[0] - 1] = True
    stack[0, 0], stack[0, 1] = 0, x.shape[0] - 1
    depth = 1
    while depth > 0:
        depth -= 1
        first, last = stack[depth, 0], stack[depth, 1]
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
            stack[depth, 0], stack[depth, 1] = first, place
            stack[depth + 1, 0], stack[depth + 1, 1] = place, last
            depth += 2
