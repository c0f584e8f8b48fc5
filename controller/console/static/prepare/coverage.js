// What each camera has seen of the board: a grid of its picture, filled where corners were found; its last picture otherwise.

import { settled } from "/static/cameras/actions.js";
import { attribute, el, keyed, show, text } from "/static/dom.js";

const MANY = 24; // beyond so many cameras each gets less room

export class Coverage {
  root = el("div", { class: "coverage" });

  /** job: as GET /api/rig/shoot gives it. */
  update(job) {
    const cameras = Object.entries(job.cameras ?? {});
    attribute(this.root, "data-many", cameras.length > MANY ? "yes" : undefined);
    keyed(this.root, cameras, ([name]) => name, ([name]) => makeCamera(name), (element, [name, one]) => {
      const board = job.kind === "board";
      attribute(element, "data-tone", one.problem ? "stop" : !board ? (one.picture ? "good" : "wait") : one.enough ? "good" : one.seen === false ? "look" : "wait");
      attribute(element, "title", one.problem ?? one.lacks);
      text(element.mark, one.problem ? "⬣" : board ? (one.enough ? "●" : "▲") : one.picture ? "●" : "▮");
      text(element.count, board ? `${one.poses ?? 0}` : "");
      show(element.grid, board);
      if (board) fill(element.grid, one.cells ?? "");
      const picture = !board && one.picture && settled(job);
      show(element.picture, picture);
      attribute(element.picture, "src", picture ? `/api/rig/shoot/pictures/${one.picture}.jpg` : undefined);
      attribute(element, "aria-label", `${name}: ${one.problem ?? (board ? `seen in ${one.poses ?? 0} poses, ${Math.round((one.covered ?? 0) * 100)} % of its picture; ${one.enough ? "enough" : one.lacks ?? "more is needed"}` : one.picture ? "photographed" : "no photograph yet")}`);
    });
  }
}

function makeCamera(name) {
  const element = el("div", { class: "covered-camera", role: "img", data: { camera: name } });
  element.mark = el("span", { class: "covered-mark" });
  element.count = el("span", { class: "covered-count" });
  element.grid = el("span", { class: "cells" }, Array.from({ length: 12 }, () => el("i")));
  element.picture = el("img", { alt: "", loading: "lazy", hidden: true });
  element.append(el("span", { class: "covered-head" }, element.mark, el("span", {}, name), element.count), element.grid, element.picture);
  return element;
}

function fill(grid, cells) {
  [...grid.children].forEach((cell, index) => attribute(cell, "data-seen", cells[index] === "1" ? "yes" : undefined));
}
