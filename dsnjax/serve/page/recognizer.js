/* A simplified drawing in, names with probabilities and attention out: here, or on the server. */

import { render, sequence } from "./raster.js";

/** What the network is shown of a drawing. */
export function shown(drawing, model) {
  const { points, count } = sequence(drawing, model.length);
  return { image: render(drawing, model.image_size, model.thickness), points, count };
}

/** Runs the network in this browser, with onnxruntime-web from the page's own folder. */
export class InBrowser {
  static async load(model) {
    const ort = await import("./ort/ort.wasm.min.mjs");
    ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
    ort.env.wasm.numThreads = 1; // more need headers that few static hosts send
    const session = await ort.InferenceSession.create("./model.onnx");
    const recognizer = new InBrowser(ort, session, model);
    await recognizer.name([[[0], [0]]]); // the first run is the slowest
    return recognizer;
  }

  constructor(ort, session, model) {
    Object.assign(this, { ort, session, model });
  }

  async name(drawing) {
    const { ort, model } = this;
    const { image, points, count } = shown(drawing, model);
    const size = model.image_size;
    const inputs = {
      image: new ort.Tensor("uint8", image, [1, size, size, 1]),
      points: new ort.Tensor("float32", points, [1, model.length, 3]),
      length: new ort.Tensor("int32", Int32Array.of(count), [1]),
    };
    // A network of one branch reads less.
    const read = this.session.inputNames.map((name) => [name, inputs[name]]);
    const out = await this.session.run(Object.fromEntries(read));
    const top = Array.from(out.probabilities.data, (probability, label) => ({
      category: model.categories[label],
      probability,
    }));
    top.sort((a, b) => b.probability - a.probability);
    return { top: top.slice(0, 3), attention: attentionOf(out.attention, model) };
  }
}

/** The weights of the image's cells and of the points' steps; null of a network without. */
function attentionOf(weights, model) {
  if (!weights) return null;
  const means = Array.from(weights.data);
  const cells = model.grid[0] * model.grid[1];
  return { image: means.slice(0, cells), points: means.slice(cells) };
}

/** Asks the server that the page came from. */
export class OnServer {
  constructor(model) {
    this.model = model;
  }

  async name(drawing, strokes) {
    const { timed } = this.model;
    const response = await fetch("./v1/predict", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ drawings: [timed ? strokes : drawing], attention: true }),
    });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    const { results } = await response.json();
    return { top: results[0].top, attention: results[0].attention ?? null };
  }
}
