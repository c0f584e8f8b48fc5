// A photograph that appears without a flash: its thumbnail at once, and the whole one when it is decoded.

import { attribute, el, photograph, thumbnail } from "/static/dom.js";

const decoded = new Map(); // hash -> an image that the browser holds decoded; the oldest goes first
const KEPT = 6;

/** Have a photograph ready to be painted. Resolves to its image, or to undefined when it cannot be had. */
export function preload(hash) {
  if (!hash) return Promise.resolve(undefined);
  const known = decoded.get(hash);
  if (known) return known;
  const image = new Image();
  image.src = photograph(hash);
  const ready = image.decode().then(() => image, () => {
    decoded.delete(hash);
    return undefined;
  });
  decoded.set(hash, ready);
  if (decoded.size > KEPT) decoded.delete(decoded.keys().next().value);
  return ready;
}

/** A place for one photograph at a time. */
export class Picture {
  #hash = undefined;

  constructor(label) {
    this.image = el("img", { alt: "", hidden: true, draggable: false });
    this.element = el("div", { class: "picture" }, this.image);
    this.label = label;
  }

  /** picture: {thumbnail, photograph} or undefined. alt: what it is of. */
  show(picture, alt) {
    attribute(this.image, "alt", picture ? alt : "");
    const hash = picture?.photograph;
    if (hash === this.#hash) return;
    this.#hash = hash;
    this.image.hidden = !hash;
    if (!hash) {
      this.image.removeAttribute("src");
      return;
    }
    this.image.src = thumbnail(picture.thumbnail);
    preload(hash).then((ready) => {
      if (ready && this.#hash === hash) this.image.src = ready.src;
    });
  }
}
