// A line of JSON {raw, size, thickness, length} in, a line of what the page makes of it out.
import { createInterface } from "node:readline";
import { render, sequence } from "../../dsnjax/serve/page/raster.js";
import { simplify } from "../../dsnjax/serve/page/simplify.js";

for await (const line of createInterface({ input: process.stdin })) {
  const { raw, size, thickness, length } = JSON.parse(line);
  const drawing = simplify(raw);
  const { points, count } = sequence(drawing, length);
  const image = Buffer.from(render(drawing, size, thickness)).toString("base64");
  console.log(JSON.stringify({ drawing, image, points: [...points], count }));
}
