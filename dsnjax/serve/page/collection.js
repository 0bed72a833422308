/* Drawings that a person saved under names of their own; they stay in this browser. */

const KEY = "dsnjax.drawings";
const NAME = /^[\p{L}\p{N}_][\p{L}\p{M}\p{N}_ '-]{0,63}$/u;

export class Collection {
  constructor() {
    try {
      this.drawings = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    } catch {
      this.drawings = {}; // storage is blocked
    }
  }

  get names() {
    return Object.keys(this.drawings).sort();
  }

  /** Keeps a simplified drawing. Throws an Error that says what is wrong with the name. */
  add(name, drawing) {
    if (!NAME.test(name)) {
      throw new Error("A name has letters, digits and spaces, 64 at most.");
    }
    const before = Object.hasOwn(this.drawings, name) ? this.drawings[name] : [];
    this.#write({ ...this.drawings, [name]: [...before, drawing] });
  }

  remove(name) {
    const { [name]: _, ...rest } = this.drawings;
    this.#write(rest);
  }

  #write(drawings) {
    try {
      localStorage.setItem(KEY, JSON.stringify(drawings));
    } catch (error) {
      throw new Error(
        error.name === "QuotaExceededError"
          ? "This browser keeps no more drawings: download some and remove them."
          : "This browser keeps no drawings: let this page store data.",
      );
    }
    this.drawings = drawings;
  }
}
