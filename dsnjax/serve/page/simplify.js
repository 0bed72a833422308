/* A drawing as it came from the pen in, a simplified one out, as `raster.simplify` makes it.
 *
 * A drawing is a list of strokes [xs, ys] or [xs, ys, ts], as everywhere in dsnjax. The four steps
 * are those of the data set: align to the top left corner, scale to 255, resample with a spacing
 * of 1, thin by Ramer, Douglas and Peucker with epsilon 2.
 */

const SPACING = 1;
const EPSILON = 2;

/** The simplified form [[xs, ys], ...] of a raw drawing: whole numbers of 0..255. */
export function simplify(raw) {
  const strokes = raw.filter((stroke) => stroke[0].length > 0);
  if (strokes.length === 0) return [];
  const [left, right] = bounds(strokes, 0);
  const [top, bottom] = bounds(strokes, 1);
  const scale = 255 / Math.max(right - left, bottom - top, 1e-9);
  return strokes.map(([xs, ys]) => {
    const placed = xs.map((x, i) => [(x - left) * scale, (ys[i] - top) * scale]);
    const kept = thin(resample(placed));
    return [kept.map((point) => whole(point[0])), kept.map((point) => whole(point[1]))];
  });
}

function bounds(strokes, axis) {
  let low = Infinity;
  let high = -Infinity;
  for (const stroke of strokes) {
    for (const value of stroke[axis]) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  return [low, high];
}

/** Points at equal spacing along the line through `points`, and its last. */
function resample(points) {
  let [x, y] = points[0];
  const found = [[x, y]];
  let rest = SPACING;
  let i = 1;
  while (i < points.length) {
    const dx = points[i][0] - x;
    const dy = points[i][1] - y;
    const length = Math.hypot(dx, dy);
    if (length < rest) {
      rest -= length;
      [x, y] = points[i];
      i += 1;
    } else {
      x += (dx * rest) / length;
      y += (dy * rest) / length;
      found.push([x, y]);
      rest = SPACING;
    }
  }
  found.push(points[points.length - 1]);
  return found;
}

/** The points that hold the line within EPSILON. */
function thin(points) {
  const kept = new Set([0, points.length - 1]);
  const spans = [[0, points.length - 1]];
  while (spans.length > 0) {
    const [first, last] = spans.pop();
    const place = farthest(points, first, last);
    if (place > 0) {
      kept.add(place);
      spans.push([first, place], [place, last]);
    }
  }
  return points.filter((_, i) => kept.has(i));
}

/** The point between two that lies farthest from their line, or 0 where all are near. */
function farthest(points, first, last) {
  const [x, y] = points[first];
  const dx = points[last][0] - x;
  const dy = points[last][1] - y;
  const length = Math.hypot(dx, dy);
  let worst = EPSILON;
  let place = 0;
  for (let i = first + 1; i < last; i += 1) {
    const ex = points[i][0] - x;
    const ey = points[i][1] - y;
    const gap = length > 0 ? Math.abs(dx * ey - dy * ex) / length : Math.hypot(ex, ey);
    if (gap > worst) {
      worst = gap;
      place = i;
    }
  }
  return place;
}

/** To the nearest whole number, halves to the even one, as numpy rounds. */
function whole(value) {
  const below = Math.floor(value);
  const half = value - below === 0.5;
  return half ? below + (below % 2) : Math.round(value);
}
