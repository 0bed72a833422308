/* A simplified drawing in, what the network reads out: its image and its points.
 *
 * The same arithmetic as `raster.render` and `raster.sequences`: float32 where points become
 * segments, whole numbers of 16 bits where segments become grey. tests/serve/test_drawing.py
 * compares both, pixel by pixel.
 */

const f32 = Math.fround;

/** The grey level of stroke t. */
export const level = (t) => 125 + 13 * Math.min(t, 10);

/** The image, Uint8Array [size * size], of a drawing whose coordinates are 0..255. */
export function render(drawing, size, thickness) {
  const brush = makeBrush(size, thickness);
  const image = new Uint8Array(size * size);
  drawing.forEach(([xs, ys], t) => {
    const places = xs.map((x, i) => [place(x, brush), place(ys[i], brush)]);
    if (places.length === 1) places.push(places[0]);
    for (let i = 1; i < places.length; i += 1) {
      ink(image, capsule(places[i - 1], places[i], brush), level(t), brush);
    }
  });
  return image;
}

/** The first `length` points as Float32Array [length * 3] of (dx, dy, pen), and how many. */
export function sequence(drawing, length) {
  const points = new Float32Array(3 * length);
  let count = 0;
  let before = null;
  for (const [xs, ys] of drawing) {
    for (let i = 0; i < xs.length && count < length; i += 1, count += 1) {
      if (before !== null) {
        points[3 * count] = (xs[i] - before[0]) / 255;
        points[3 * count + 1] = (ys[i] - before[1]) / 255;
      }
      if (i === xs.length - 1) points[3 * count + 2] = 1;
      before = [xs[i], ys[i]];
    }
  }
  return { points, count };
}

/** How points become ink: distances count in 1/unit of a pixel. */
function makeBrush(size, thickness) {
  const margin = thickness / 2 + 0.5;
  const unit = size <= 256 ? 128 : size <= 512 ? 64 : 32;
  // A line thinner than a pixel covers no pixel whole.
  const fade = Math.round(Math.min(thickness, 1) * unit);
  const solid = Math.round(margin * unit) - fade;
  return {
    size,
    unit,
    fade,
    solid,
    gain: 128 / unit,
    scale: f32((size - 1 - 2 * margin) / 255),
    reach: f32(((solid + fade) / unit) * 1.035),
  };
}

/** A coordinate of 0..255 as pixels from the image's centre. */
const place = (value, brush) => f32((value - 127.5) * brush.scale);

/** The segment between two places with its round ends, as the whole numbers that `ink` reads. */
function capsule([x0, y0], [x1, y1], brush) {
  const { size, unit, reach } = brush;
  const edge = size - 1;
  const dx = f32(x1 - x0);
  const dy = f32(y1 - y0);
  const length = f32(Math.sqrt(f32(dx * dx + f32(dy * dy))));
  const inverse = f32(1 / Math.max(length, f32(1e-6)));
  const ux = length > 0 ? f32(dx * inverse) : 1;
  const uy = f32(dy * inverse);
  // How far the ink reaches from the centre to one side, within the image.
  const within = (far) =>
    Math.trunc(Math.min(Math.max(f32(edge / 2 + f32(reach + far)), 0), edge));
  const left = edge - within(-Math.min(x0, x1));
  const right = within(Math.max(x0, x1));
  const top = edge - within(-Math.min(y0, y1));
  const bottom = within(Math.max(y0, y1));
  const xm = f32(0.5 * f32(x0 + x1));
  const ym = f32(0.5 * f32(y0 + y1));
  const u = Math.trunc(f32(ux * unit * 256));
  const v = Math.trunc(f32(uy * unit * 256));
  const row = 2 * top - edge;
  const scale = unit * 512;
  const along = Math.trunc(f32(xm * ux + f32(ym * uy)) * -scale) + row * v;
  const across = Math.trunc(f32(xm * uy - f32(ym * ux)) * scale) + row * u;
  const extent = Math.trunc(f32(f32(0.5 * length) * unit + 0.5));
  return { along, across, u, v, extent, left, right, top, bottom };
}

const rounded = (value) => (value + 256 + (value >> 31)) >> 9;
const int16 = (value) => (value << 16) >> 16;
const less = (a, b) => Math.max(a - b, 0);

/** Raises each pixel to the level as far as the segment covers it. */
function ink(image, segment, level, brush) {
  const { u, v, extent, left, right, top, bottom } = segment;
  const { size, solid, fade, gain } = brush;
  let { along, across } = segment;
  for (let y = top; y <= bottom; y += 1) {
    const a = int16(rounded(along));
    const p = int16(rounded(across));
    for (let x = left; x <= right; x += 1) {
      const column = 2 * x - (size - 1);
      const da = less(Math.abs(int16(a + -int16(rounded(column * -u)))), extent);
      const dp = Math.abs(int16(p - int16(rounded(column * v))));
      // Distance without a square root: max(m, 7/8 m + n/2) of the legs m >= n.
      const m = Math.max(da, dp);
      const n = Math.min(da, dp);
      const distance = m + less(n >> 1, m >> 3);
      const cover = less(fade, less(distance, solid));
      const value = (cover * level * gain) >> 7;
      const q = y * size + x;
      if (value > image[q]) image[q] = value;
    }
    along += 2 * v;
    across += 2 * u;
  }
}
