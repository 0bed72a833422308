/* What the network was shown and where it looked in, pictures of it out. */

const DARK = "#0d0f11";

/** The grey-level image, pixel by pixel. */
export function paintSeen(canvas, image, size) {
  canvas.width = canvas.height = size;
  const pixels = new ImageData(size, size);
  image.forEach((level, i) => pixels.data.set([level, level, level, 255], 4 * i));
  canvas.getContext("2d").putImageData(pixels, 0, 0);
}

/**
 * The cells of the image and the strokes, each the brighter the more the network looks there.
 * Returns the share of the image in all weights, or null where the network does not say.
 */
export function paintLooked(canvas, drawing, attention, { grid, stride }) {
  const side = 320;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  context.fillStyle = DARK;
  context.fillRect(0, 0, side, side);
  if (attention === null || drawing.length === 0) return null;
  const { image, points } = attention;
  const most = Math.max(...image);
  const [rows, columns] = grid;
  image.forEach((weight, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns];
    const left = Math.round((column * side) / columns);
    const top = Math.round((row * side) / rows);
    const right = Math.round(((column + 1) * side) / columns);
    const bottom = Math.round(((row + 1) * side) / rows);
    context.fillStyle = `rgb(95 195 178 / ${(0.55 * weight) / most})`;
    context.fillRect(left, top, right - left, bottom - top);
  });
  paintStrokes(context, drawing, points, stride);
  return image.reduce((sum, weight) => sum + weight, 0);
}

/** Every point in the colour of its step's weight, `stride` points to a step. */
function paintStrokes(context, drawing, weights, stride) {
  const scale = (context.canvas.width - 24) / 255;
  const strongest = Math.max(...weights, 1e-9);
  context.lineWidth = 5;
  context.lineCap = "round";
  let number = 0;
  for (const [xs, ys] of drawing) {
    xs.forEach((x, i) => {
      const share = (weights[Math.floor(number / stride)] ?? 0) / strongest;
      const before = Math.max(i - 1, 0);
      context.strokeStyle = `color-mix(in oklab, #ffb27a ${Math.round(100 * share)}%, #6f7a80)`;
      context.beginPath();
      context.moveTo(12 + xs[before] * scale, 12 + ys[before] * scale);
      context.lineTo(12 + x * scale, 12 + ys[i] * scale);
      context.stroke();
      number += 1;
    });
  }
}

/** The three rows of guesses, or empty ones. */
export function listGuesses(list, top) {
  const rows = [0, 1, 2].map((place) => {
    const row = document.createElement("li");
    const guess = top[place];
    if (guess) {
      row.style.setProperty("--share", guess.probability);
      row.append(span(guess.category), span(percent(guess.probability), "share"));
    }
    return row;
  });
  list.replaceChildren(...rows);
}

/** What it says of them, in words. */
export function sentence(top) {
  const [first, second] = top;
  if (first.probability > 0.85) return `It is ${withArticle(first.category)}.`;
  if (first.probability > 0.5) return `I think it is ${withArticle(first.category)}.`;
  return `Perhaps ${withArticle(first.category)}, or ${withArticle(second.category)}?`;
}

export function withArticle(name) {
  return `${/^[aeiou]/i.test(name) ? "an" : "a"} ${name}`;
}

const percent = (share) => (share < 0.005 ? "< 1 %" : `${Math.round(100 * share)} %`);

function span(text, kind = "") {
  const element = document.createElement("span");
  element.textContent = text;
  element.className = kind;
  return element;
}
