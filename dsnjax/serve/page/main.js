/* The page: a person's strokes in; guesses, what the network sees, a game and files out. */

import { Collection } from "./collection.js";
import { download, row, svg } from "./files.js";
import { Game } from "./game.js";
import { Pad } from "./pad.js";
import { InBrowser, OnServer, shown } from "./recognizer.js";
import { simplify } from "./simplify.js";
import { listGuesses, paintLooked, paintSeen, sentence, withArticle } from "./views.js";

const BETWEEN = 120; // ms at least from one guess to the next while a stroke is drawn
const at = (id) => document.getElementById(id);

const model = await load();
const collection = new Collection();
const pad = new Pad(at("pad"), changed);
const game = new Game({ ask, tick, found, over }, () => simplify(pad.strokes));

/** model.json; where it cannot be had, the page says so and ends here. */
async function load() {
  try {
    const response = await fetch("./model.json");
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    return await response.json();
  } catch (error) {
    at("note").textContent =
      `model.json cannot be loaded (${error.message}). See that the server runs, then reload this page.`;
    throw error;
  }
}

// ---- guessing

let recognizer = null;
let wanted = false; // the drawing changed since the last guess began
let guessing = false;
let shownLast = 0;

/** Called by the pad; `ended` with a stroke. */
function changed(ended) {
  document.body.classList.toggle("drawn", !pad.empty);
  for (const id of ["undo", "clear", "as-ndjson", "as-svg"]) at(id).disabled = pad.empty;
  at("keep").querySelector("button").disabled = pad.empty;
  if (ended || performance.now() - shownLast > BETWEEN) guess();
}

/** Guesses until the newest drawing has been guessed; one at a time. */
async function guess() {
  wanted = true;
  if (guessing || recognizer === null) return;
  guessing = true;
  while (wanted) {
    wanted = false;
    shownLast = performance.now();
    const drawing = simplify(pad.strokes);
    if (drawing.length === 0) {
      show(drawing, { top: [], attention: null });
      continue;
    }
    try {
      show(drawing, await recognizer.name(drawing, pad.strokes));
    } catch (error) {
      say(`No guess: ${error.message}.`);
    }
  }
  guessing = false;
}

/** Shows one answer, unless the drawing was cleared meanwhile. */
function show(drawing, { top, attention }) {
  if (drawing.length > 0 && pad.empty) return;
  paintSeen(at("seen"), shown(drawing, model).image, model.image_size);
  const share = paintLooked(at("looked"), drawing, attention, model);
  at("looked-at").textContent =
    share === null
      ? "Where it looks"
      : `Where it looks: ${Math.round(100 * share)} % at the image, the rest along the strokes`;
  listGuesses(at("guesses"), top);
  if (!game.running) say(top.length > 0 ? sentence(top) : "I am looking forward to it.");
  else if (!game.pause && top.length > 0) say(`I see ${withArticle(top[0].category)} …`);
  game.hear(top);
}

function say(text) {
  if (at("said").textContent !== text) at("said").textContent = text;
}

// ---- where the network runs

const loaded = {};

async function run(place) {
  recognizer = null;
  const note = place === "browser" ? "Loading the network …" : "";
  at("note").textContent = note;
  let why = null;
  try {
    loaded[place] ??= place === "browser" ? await InBrowser.load(model) : new OnServer(model);
  } catch (error) {
    why = `The network does not run here: ${error.message}`;
  }
  if (!document.querySelector(`input[value=${place}]`).checked) return; // another was chosen
  if (why !== null) {
    at("note").textContent = why;
    return;
  }
  recognizer = loaded[place];
  at("note").textContent =
    place === "browser"
      ? "Runs in this browser; nothing is sent."
      : model.browser || model.timed
        ? "Runs on the server."
        : "Runs on the server: what runs it in browsers is not installed there.";
  guess();
}

function offerPlaces() {
  const can = { browser: model.browser, server: model.server };
  for (const input of document.querySelectorAll("input[name=place]")) {
    input.disabled = !can[input.value];
    input.addEventListener("change", () => run(input.value));
  }
  const place = can.browser ? "browser" : "server";
  document.querySelector(`input[value=${place}]`).checked = true;
  run(place);
}

// ---- the game

function playing(on) {
  document.body.classList.toggle("playing", on);
  at("play").hidden = on;
  at("skip").hidden = at("stop").hidden = !on;
}

function ask(word, round, rounds) {
  pad.clear();
  at("task").textContent = `Draw ${withArticle(word)} (${round} of ${rounds})`;
  say(`Draw ${withArticle(word)}.`);
}

function tick(seconds) {
  at("clock").textContent = `0:${String(seconds).padStart(2, "0")}`;
}

function found(word) {
  say(`Oh, it is ${withArticle(word)}!`);
}

function over(rounds) {
  endGame();
  const hits = rounds.filter((round) => round.found).length;
  at("result-title").textContent = `${hits} of ${rounds.length} found`;
  at("rounds").replaceChildren(...rounds.map(roundItem));
  at("result").showModal();
}

function roundItem({ word, drawing, found }) {
  const item = document.createElement("li");
  item.className = found ? "found" : "";
  const picture = new DOMParser().parseFromString(svg(drawing, "currentColor"), "image/svg+xml");
  item.append(picture.documentElement, `${word} ${found ? "✓" : "✗"}`);
  return item;
}

function endGame() {
  game.stop();
  playing(false);
  at("task").textContent = "Draw anything.";
  at("clock").textContent = "";
  pad.clear();
}

function startGame() {
  playing(true);
  game.start(model.categories);
  at("pad").focus({ preventScroll: true });
}

// ---- own categories

async function keep(event) {
  event.preventDefault();
  const name = at("name").value.trim();
  const drawing = simplify(pad.strokes);
  try {
    collection.add(name, drawing);
    at("kept-note").textContent = `Saved: ${name}.`;
    if (model.collect) await sendToServer(name, drawing);
    pad.clear();
  } catch (error) {
    at("kept-note").textContent = error.message;
  }
  listKept();
}

async function sendToServer(category, drawing) {
  const response = await fetch("./v1/collect", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ category, drawing }),
  });
  if (!response.ok) throw new Error(`Saved here; the server answered ${response.status}.`);
}

function listKept() {
  const items = collection.names.map((name) => {
    const drawings = collection.drawings[name];
    const item = document.createElement("li");
    const label = document.createElement("span");
    label.textContent = `${name} · ${drawings.length}`;
    const text = () => drawings.map((drawing) => row(drawing, name)).join("");
    item.append(
      label,
      button("Download", `Download ${name}`, () =>
        download(`${name}.ndjson`, text(), "application/x-ndjson"),
      ),
      button("Remove", `Remove ${name}`, () => {
        collection.remove(name);
        listKept();
      }),
    );
    return item;
  });
  at("kept").replaceChildren(...items);
}

function button(text, label, pressed) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", label);
  made.addEventListener("click", pressed);
  return made;
}

// ---- wiring

at("undo").addEventListener("click", () => pad.undo());
at("clear").addEventListener("click", () => pad.clear());
at("play").addEventListener("click", startGame);
at("skip").addEventListener("click", () => game.skip());
at("stop").addEventListener("click", endGame);
at("keep").addEventListener("submit", keep);
at("result").addEventListener("close", () => at("result").returnValue === "again" && startGame());
at("as-ndjson").addEventListener("click", () =>
  download("drawing.ndjson", row(simplify(pad.strokes)), "application/x-ndjson"),
);
at("as-svg").addEventListener("click", () =>
  download("drawing.svg", svg(simplify(pad.strokes)), "image/svg+xml"),
);
document.addEventListener("keydown", (event) => {
  if (event.target.matches("input:not([type=radio])") || pad.empty) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z") pad.undo();
  else if (event.key === "Delete") pad.clear();
  else return;
  event.preventDefault();
});

listKept();
show([], { top: [], attention: null });
offerPlaces();
document.body.dataset.ready = "true";
