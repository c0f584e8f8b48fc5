// One session: its expressions with their takes, what was decided, and what may still be decided.

import { el, keyed, show } from "/static/dom.js";
import { closeSession } from "/static/records/closing.js";
import { frontalPictures } from "/static/records/frontal.js";
import { asking, badge, count, field, named, watching } from "/static/records/parts.js";

const STANDINGS = {
  accepted: ["accepted", "good"], captured: ["to decide", "look"], superseded: ["beside", ""], dropped: ["dropped", ""],
  failed: ["failed", "stop"], planned: ["under way", "wait"], fired: ["coming in", "wait"],
};
const WHOLE = ["captured", "accepted", "superseded"];

/** {element, open(code), refresh()}; changed: called when something was done to the session. */
export function sessionDetail(app, changed) {
  let code = "";
  let data = null;
  const differs = watching();
  let picture = () => undefined;
  const head = el("div", { class: "session-head" });
  const notes = el("div", { class: "session-notes" });
  const list = el("div", { class: "expressions" });
  const element = el("section", { class: "panel session-detail", hidden: true, "aria-label": "Session" }, head, notes, list);

  async function refresh() {
    if (!code) return;
    const asked = code;
    const [session, shown] = await Promise.all([
      app.attempt(() => app.api.get(`/api/sessions/${asked}`)),
      frontalPictures(app, asked),
    ]);
    if (asked !== code || !session) return;
    if (!differs("session", [session, Object.keys(app.store.state.cameras ?? {})]) && data) return void show(element, true);
    data = session;
    picture = shown;
    paint();
  }

  async function act(what, said) {
    const answer = await app.attempt(what);
    if (answer === undefined) return;
    if (said) app.toast(typeof said === "function" ? said(answer) : said, "good");
    await refresh();
    changed();
  }

  const post = (path, body) => app.api.post(`/api/sessions/${code}/${path}`, body);

  function paint() {
    show(element, true);
    const takes = data.expressions.flatMap((line) => line.takes);
    const accepted = takes.filter((take) => take.state === "accepted").length;
    const tone = data.state === "open" ? "good" : data.state === "paused" ? "look" : "";
    head.replaceChildren(
      el("h2", {}, data.session, " ", badge(data.state, tone)),
      el("span", { class: "faint" }, `${data.subject} · ${accepted} of ${data.expressions.length} accepted · ${count(takes.length, "take")} · profile ${data.profile}`),
      el("span", { class: "gap" }),
      ...actions(),
    );
    const without = Object.entries(data.without ?? {});
    notes.replaceChildren(
      ...[
        data.consent.told ? el("p", { class: "look" }, data.consent.told) : null,
        without.length ? el("p", { class: "faint" }, `Begun by decision without ${without.map(([name, why]) => `${name} (${why})`).join("; ")}`) : null,
        ...(data.state === "closed" ? handOff(data.farm) : []),
      ].filter(Boolean),
    );
    keyed(list, data.expressions, (line) => line.position, makeLine, paintLine);
  }

  function actions() {
    if (app.me.role === "viewer") return [];
    const button = (label, fn, kind) => el("button", { type: "button", class: kind, onclick: fn }, label);
    const decidable = data.state !== "closed";
    return [
      data.state === "open" && button("Pause", () => act(() => post("pause"), `${code} is paused: the rig is free`)),
      data.state === "paused" && button("Resume", () => act(() => post("resume"), `${code} goes on`), "primary"),
      decidable && button("Undo", () => act(() => post("undo", {}), (answer) => undone(answer.undone)), undefined),
      decidable && button("Close …", async () => (await closeSession(app, data)) && (await refresh(), changed())),
      !decidable && button("Reopen", () => act(() => post("reopen"), `${code} is open again`)),
      button("Calibrate", calibrate),
      el("a", { class: "button", href: `#three-d/${code}` }, "3-D"),
    ].filter(Boolean);
  }

  const undone = (what) => `Taken back: ${what.text}`;

  async function calibrate() {
    const sure = await app.confirmed(`Every take of ${code} that has no calibration gets the rig's nearest in time. That is recorded, and not taken back.`, "Calibrate");
    if (sure) await act(() => post("calibrate", {}), (answer) => (answer.served.length ? `${count(answer.served.length, "take")} calibrated` : "No take lacks a calibration"));
  }

  function makeLine(line) {
    const element = el("article", { class: "expression" }, el("header", {}), el("div", { class: "takes" }));
    element.dataset.position = line.position;
    return element;
  }

  function paintLine(element, line) {
    const [header, takes] = element.children;
    const standing = line.takes.find((take) => take.state === "accepted");
    element.dataset.state = standing ? "accepted" : line.skipped ? "skipped" : line.takes.length ? "open" : "none";
    const open = data.state === "open" && app.me.role !== "viewer";
    header.replaceChildren(
      el("span", { class: "expression-number" }, String(line.position)), el("strong", {}, named(line.name)),
      line.skipped ? badge(`skipped: ${line.skipped}`, "") : "",
      open && line.skipped ? el("button", { type: "button", class: "small", onclick: () => act(() => post("skip", { expression: line.reference })) }, "Ask for it") : "",
      open && !line.skipped && !line.takes.some((take) => WHOLE.slice(0, 2).includes(take.state)) ? el("button", { type: "button", class: "small", onclick: () => skip(line) }, "Skip") : "",
    );
    keyed(takes, line.takes, (take) => take.code, makeTake, (card, take) => paintTake(card, take, line));
  }

  async function skip(line) {
    const reason = await app.asked(`Skip ${named(line.name)}. Why?`, "Skip");
    if (reason) await act(() => post("skip", { expression: line.reference, reason }), `${named(line.name)} is skipped`);
  }

  function makeTake() {
    return el("div", { class: "take-card" }, el("img", { alt: "", loading: "lazy", decoding: "async" }), el("div", { class: "take-words" }));
  }

  function paintTake(card, take, line) {
    const [image, words] = card.children;
    const address = picture(take.code);
    if (address && image.getAttribute("src") !== address) image.src = address;
    if (!address) image.removeAttribute("src");
    image.alt = address ? `${take.code}, frontal` : "";
    show(image, address);
    const [standing, tone] = STANDINGS[take.standing] ?? [take.standing, ""];
    const decidable = data.state !== "closed" && app.me.role !== "viewer";
    const button = (label, fn) => el("button", { type: "button", class: "small", onclick: fn }, label);
    words.replaceChildren(
      el("p", {}, el("code", {}, take.code), " ", badge(standing, tone)),
      el("p", { class: "faint" }, facts(take)),
      ...(take.problem ? [el("p", { class: take.flagged ? "look clipped" : "stop clipped", title: take.problem }, take.problem)] : []),
      ...(take.checks ? [el("p", { class: "look" }, `${count(take.checks, "check")} to look at`)] : []),
      el(
        "div", { class: "row" },
        ...[
          decidable && data.state === "open" && take.state === "captured" && button("Accept", () => act(() => post("accept", { take: take.code }), `${take.code} is accepted`)),
          decidable && take.state === "superseded" && button("Choose", () => act(() => post("choose", { take: take.code }), `${take.code} stands for ${named(line.name)}`)),
          decidable && WHOLE.includes(take.state) && button("Move …", () => move(take, line)),
        ].filter(Boolean),
      ),
    );
  }

  function facts(take) {
    const parts = [count(take.frames, "photograph")];
    if (take.command_skew_ms !== null) parts.push(`command ${take.command_skew_ms.toFixed(2)} ms`);
    if (take.exposure_skew_ms !== null) parts.push(`exposure ${take.exposure_skew_ms.toFixed(2)} ms`);
    if (take.absent.length) parts.push(`without ${take.absent.map((one) => one.camera).join(", ")}`);
    if (take.former.length) parts.push(`was ${take.former.join(", ")}`);
    return parts.join(" · ");
  }

  async function move(take, line) {
    const others = data.expressions.filter((other) => other !== line);
    const chosen = await asking(`Move ${take.code}`, (close) => {
      const which = el("select", {}, others.map((other) => el("option", { value: other.reference }, `${other.position} ${named(other.name)}`)));
      return [
        el("h2", {}, `Move ${take.code}`),
        el("p", {}, `It was fired for ${named(line.name)} and shows another expression: it gets a new code there, keeps the old one as a former one, and waits to be accepted. Undo takes it back.`),
        el("form", { class: "stacked", onsubmit: (event) => (event.preventDefault(), close(which.value)) }, field("The expression it shows", which), el("div", { class: "row" }, el("button", { class: "primary" }, "Move"), el("button", { type: "button", onclick: () => close(undefined) }, "Cancel"))),
      ];
    });
    if (chosen) await act(() => post("reassign", { take: take.code, expression: chosen }), (answer) => `${answer.reassigned.was} is ${answer.reassigned.take} now`);
  }

  return {
    element,
    refresh,
    get code() {
      return code;
    },
    async open(wanted) {
      if (wanted !== code) {
        code = wanted;
        data = null;
        list.keyedChildren?.clear();
        list.replaceChildren();
        show(element, false);
      }
      await refresh();
    },
  };
}

function handOff(farm) {
  if (!farm) return [];
  const lines = [];
  if (farm.ready?.length) lines.push(el("p", { class: "good" }, `${count(farm.ready.length, "take")} ready for the farm`));
  for (const held of farm.held ?? []) lines.push(el("p", { class: "look" }, `Not ready: ${held.takes.join(", ")}: ${held.why}. ${held.do}`));
  return lines;
}
