/* Pointer and keyboard in, strokes [xs, ys, ts] out.
 *
 * Coordinates are units of 1/1000 of the pad's side, whatever its size on the screen; times are
 * in ms since the first point. Calls `changed(ended)` whenever the drawing did, with whether a
 * stroke has just ended.
 */

const UNITS = 1000;
const PEN = 11; // units a stroke is thick
const STEP = 25; // units an arrow key moves the pen

export class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.strokes = [];
    this.start = 0;
    this.pointer = null; // the pointer that draws; others are ignored meanwhile
    this.pen = null; // the keyboard's: {x, y, down}
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#up(event));
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => this.#lift());
    new ResizeObserver(() => this.paint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
  }

  get empty() {
    return this.strokes.length === 0;
  }

  undo() {
    this.#lift();
    this.strokes.pop();
    this.#tell(true);
  }

  clear() {
    this.#lift();
    this.pointer = null;
    this.strokes = [];
    this.#tell(true);
  }

  paint() {
    const { canvas, strokes, pen } = this;
    const ratio = devicePixelRatio || 1;
    const { width, height } = canvas.getBoundingClientRect();
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    const side = Math.min(canvas.width, canvas.height) / UNITS;
    context.translate(
      (canvas.width - side * UNITS) / 2,
      (canvas.height - side * UNITS) / 2,
    );
    context.scale(side, side);
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    context.strokeStyle = getComputedStyle(canvas).color;
    for (const [xs, ys] of strokes) {
      context.beginPath();
      context.moveTo(xs[0], ys[0]);
      // A dot is a line to where it is.
      xs.forEach((x, i) => context.lineTo(x, ys[i]));
      context.stroke();
    }
    if (pen !== null && document.activeElement === canvas) {
      context.lineWidth = 3;
      context.beginPath();
      context.arc(pen.x, pen.y, pen.down ? 8 : 14, 0, 7);
      context.stroke();
    }
  }

  #tell(ended) {
    this.paint();
    this.changed(ended);
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    const side = Math.min(box.width, box.height);
    return [
      ((event.clientX - box.left - (box.width - side) / 2) * UNITS) / side,
      ((event.clientY - box.top - (box.height - side) / 2) * UNITS) / side,
    ];
  }

  #begin(x, y, time) {
    if (this.empty) this.start = time;
    this.strokes.push([[x], [y], [time - this.start]]);
  }

  #add(x, y, time) {
    const [xs, ys, ts] = this.strokes[this.strokes.length - 1];
    xs.push(x);
    ys.push(y);
    ts.push(time - this.start);
  }

  #down(event) {
    if (this.pointer !== null || event.button !== 0) return;
    event.preventDefault();
    this.#lift();
    this.pen = null;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointer = event.pointerId;
    this.#begin(...this.#place(event), event.timeStamp);
    this.#tell(false);
  }

  #move(event) {
    if (event.pointerId !== this.pointer) return;
    // Between two frames a pen may have reported several points.
    const events = event.getCoalescedEvents?.() ?? [];
    for (const one of events.length > 0 ? events : [event]) {
      this.#add(...this.#place(one), one.timeStamp);
    }
    this.#tell(false);
  }

  #up(event) {
    if (event.pointerId !== this.pointer) return;
    this.pointer = null;
    this.#tell(true);
  }

  #key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === " ") {
      event.preventDefault();
      this.pen ??= { x: UNITS / 2, y: UNITS / 2, down: false };
      if (this.pen.down) {
        this.#lift();
      } else {
        this.pen.down = true;
        this.#begin(this.pen.x, this.pen.y, event.timeStamp);
        this.#tell(false);
      }
    } else if (event.key in moves) {
      event.preventDefault();
      this.pen ??= { x: UNITS / 2, y: UNITS / 2, down: false };
      const [dx, dy] = moves[event.key];
      this.pen.x = Math.min(Math.max(this.pen.x + dx * STEP, 0), UNITS);
      this.pen.y = Math.min(Math.max(this.pen.y + dy * STEP, 0), UNITS);
      if (this.pen.down) this.#add(this.pen.x, this.pen.y, event.timeStamp);
      if (this.pen.down) this.#tell(false);
      else this.paint();
    }
  }

  #lift() {
    if (!this.pen?.down) return;
    this.pen.down = false;
    this.#tell(true);
  }
}
