/* Drawings in, files for people out. */

/** A row of ndjson, as the data set has them and training reads them. */
export const row = (drawing, word = null) =>
  `${JSON.stringify(word === null ? { drawing } : { word, drawing })}\n`;

/** A simplified drawing as an SVG document; `color` of its lines. */
export function svg(drawing, color = "#23282d") {
  const path = drawing
    .map(([xs, ys]) => xs.map((x, i) => `${i ? "L" : "M"}${x} ${ys[i]}`).join("") + (xs.length > 1 ? "" : "h0"))
    .join("");
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-6 -6 267 267">` +
    `<path d="${path}" fill="none" stroke="${color}" stroke-width="5" ` +
    `stroke-linecap="round" stroke-linejoin="round"/></svg>\n`
  );
}

/** Lets the person save a text under a name. */
export function download(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
