// The bar: the worst of everything in words, shape and colour, legible from three metres.

import { attribute, show, text } from "/static/dom.js";

const SHAPES = { circle: "●", bars: "▮▮", triangle: "▲", octagon: "⬣", lost: "✖" };
const ANNOUNCED_MS = 700; // a screen reader hears a state that lasts, not each count

export class Bar {
  #spoken = "";
  #timer = 0;

  constructor(root) {
    this.root = root;
    this.shape = root.querySelector("[data-part=shape]");
    this.word = root.querySelector("[data-part=word]");
    this.text = root.querySelector("[data-part=text]");
    this.spoken = root.querySelector("[data-part=spoken]");
  }

  /** bar: the state's `bar`. lost: since how many ms the studio is silent, undefined while it is heard. */
  update(bar, lost) {
    const shown =
      lost === undefined
        ? (bar ?? { word: "CONNECTING", text: "", tone: "wait", shape: "bars" })
        : { word: "STUDIO LOST", text: `what is shown is ${Math.round(lost / 1000)} s old`, tone: "lost", shape: "lost" };
    attribute(this.root, "data-tone", shown.tone);
    text(this.shape, SHAPES[shown.shape] ?? "");
    text(this.word, shown.word);
    text(this.text, shown.text);
    show(this.text, shown.text);
    const said = lost === undefined ? `${shown.word} ${shown.text ?? ""}` : "STUDIO LOST";
    if (said !== this.#spoken) {
      this.#spoken = said;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => text(this.spoken, said), ANNOUNCED_MS);
    }
  }
}
