/* "Draw me a ...": six words, twenty seconds each; a word is found once it is the first guess. */

const ROUNDS = 6;
const SECONDS = 20;

export class Game {
  /**
   * `view` shows the game: ask(word, round, rounds), tick(seconds), found(word), over(rounds).
   * `drawing` gives the simplified drawing of the moment.
   */
  constructor(view, drawing) {
    this.view = view;
    this.drawing = drawing;
    this.word = null;
  }

  get running() {
    return this.word !== null;
  }

  start(categories) {
    this.words = shuffled(categories).slice(0, ROUNDS);
    this.rounds = [];
    this.#next();
  }

  /** Hears of every guess. */
  hear(top) {
    if (this.running && !this.pause && top[0]?.category === this.word) this.#end(true);
  }

  skip() {
    if (!this.pause) this.#end(false);
  }

  stop() {
    clearInterval(this.timer);
    clearTimeout(this.pause);
    this.word = this.pause = null;
  }

  #next() {
    this.pause = null;
    this.word = this.words[this.rounds.length];
    this.left = SECONDS;
    this.view.ask(this.word, this.rounds.length + 1, this.words.length);
    this.view.tick(this.left);
    this.timer = setInterval(() => {
      this.left -= 1;
      this.view.tick(this.left);
      if (this.left === 0) this.#end(false);
    }, 1000);
  }

  #end(found) {
    clearInterval(this.timer);
    clearTimeout(this.pause);
    this.rounds.push({ word: this.word, drawing: this.drawing(), found });
    if (found) this.view.found(this.word);
    // A moment to be glad, or to see that the time is up.
    this.pause = setTimeout(() => this.#go(), found ? 1500 : 400);
  }

  #go() {
    if (this.rounds.length < this.words.length) return this.#next();
    this.stop();
    this.view.over(this.rounds);
  }
}

function shuffled(items) {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i -= 1) {
    const k = Math.floor(Math.random() * (i + 1));
    [order[i], order[k]] = [order[k], order[i]];
  }
  return order;
}
