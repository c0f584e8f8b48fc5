// 3-D: scan, registered mesh, displacement and distances of a session's expressions, side by side under one camera.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { badge, day, named, polling, size } from "/static/records/parts.js";
import { VERDICTS, portrait, worst } from "/static/records/take_pictures.js";

const EVERY_MS = 3000; // consent is asked again
const MOST_PANES = 4;
const KEPT_MODELS = 8;
const ASK_BYTES = 150e6; // from here on somebody is asked before a scan is loaded
const LOOKS = [
  ["texture", "Mesh", "Texture", "t"], ["plain", "Mesh", "Shape", "g"], ["relief", "Mesh", "Relief", "r"], ["displacement", "Mesh", "Displacement", "d"],
  ["distance", "Mesh", "Distance", "h"], ["normals", "Mesh", "Normals", "n"], ["colour", "Scan", "Colour", "c"], ["shape", "Scan", "Shape", "x"], ["scanNormals", "Scan", "Normals", ""],
  ["rig", "Rig", "Expressions", "e"],
];

export function mount(root, app) {
  let sessions = [];
  const taken = new Map(); // session -> its takes
  let panes = []; // {session, take, generation}
  let active = 0;
  let look = "texture";
  let wired = false;
  let stage = null;
  let three = null; // the module of the models, loaded when it is needed first
  const models = new Map(); // take -> TakeModel
  const rigs = new Map(); // session -> what its rig is made of
  const faces = new Map(); // session -> promise of its MovingFace
  const refused = new Set(); // scans that somebody did not want to load

  const chooser = el("select", { "aria-label": "Session", onchange: () => chooseSession(chooser.value) });
  const list = el("ul", { class: "three-list", "aria-label": "Expressions" });
  const canvas = el("canvas", { tabindex: 0, "aria-label": "Three-dimensional view: drag to turn, wheel to zoom" });
  const heads = el("div", { class: "pane-heads" });
  const legend = el("div", { class: "legend", hidden: true }, el("span", {}), el("span", { class: "ramp", "aria-hidden": "true" }), el("span", {}), el("span", { class: "faint legend-text" }));
  const message = el("p", { class: "three-message", role: "status", hidden: true });
  const lookButtons = LOOKS.map(([name, , title, key]) => el("button", { type: "button", data: { look: name }, onclick: () => setLook(name), title: key ? `Key ${key.toUpperCase()}` : undefined }, title));
  const group = (surface) => el("div", { class: "looks", role: "group", "aria-label": surface }, el("span", { class: "faint" }, surface), lookButtons.filter((_, i) => LOOKS[i][1] === surface));
  const wire = el("button", { type: "button", "aria-pressed": "false", onclick: () => toggleWire() }, "Wireframe");
  const beside = el("button", { type: "button", onclick: () => addPane() }, "Beside");
  const side = el("aside", { class: "panel three-side" }, chooser, list);
  const bar = el(
    "div", { class: "three-bar" },
    group("Mesh"), group("Scan"), group("Rig"), wire,
    el("div", { class: "looks", role: "group", "aria-label": "Look from" }, [["Front", 0], ["Half", 40], ["Side", 90]].map(([name, yaw]) => el("button", { type: "button", onclick: () => stage?.front(yaw) }, name))),
    beside,
  );
  const screen = el("div", { class: "three-screen" }, canvas, heads, legend, message);
  const units = el("div", { class: "three-units-place", hidden: true });
  let sliders = null; // of the active pane's rig
  root.replaceChildren(side, el("div", { class: "three-main" }, bar, el("div", { class: "three-stage" }, screen, units)));

  for (const [name, , title, key] of LOOKS) if (key) app.keys.bind("three-d", key, `${title} (${LOOKS.find((one) => one[0] === name)[1].toLowerCase()})`, () => setLook(name));
  app.keys.bind("three-d", "ArrowRight", "Next expression", () => step(1));
  app.keys.bind("three-d", "ArrowLeft", "Expression before", () => step(-1));
  app.keys.bind("three-d", "ArrowDown", "Next way of looking", () => setLook(LOOKS[(lookIndex() + 1) % LOOKS.length][0]));
  app.keys.bind("three-d", "ArrowUp", "Way of looking before", () => setLook(LOOKS[(lookIndex() + LOOKS.length - 1) % LOOKS.length][0]));
  app.keys.bind("three-d", "w", "Wireframe", () => toggleWire());
  app.keys.bind("three-d", "b", "Another expression beside", () => addPane());
  app.keys.bind("three-d", "f", "From the front", () => stage?.front(0));

  const lookIndex = () => LOOKS.findIndex(([name]) => name === look);
  const takesOf = (session) => (taken.get(session) ?? []).filter((take) => Object.keys(take.models).length);
  const found = (pane) => taken.get(pane.session)?.find((take) => take.take === pane.take);

  /** What the session's subject is moved by; asked again while it is shown, as consents may end. */
  async function readRig(session) {
    const answer = await app.attempt(() => app.api.get(`/api/artefacts/rig/${encodeURIComponent(session)}`));
    if (!answer) return;
    const before = rigs.get(session);
    rigs.set(session, answer);
    if (before && JSON.stringify(before) !== JSON.stringify(answer)) forgetFace(session);
  }

  function forgetFace(session) {
    faces.get(session)?.then((face) => face.dispose(), () => {});
    faces.delete(session);
    panes.forEach((pane, index) => {
      if (pane.session !== session || look !== "rig") return;
      pane.generation = (pane.generation ?? 0) + 1;
      pane.drawn = "";
      stage?.show(index, undefined);
    });
  }

  async function faceOf(session, note) {
    if (!rigs.has(session)) await readRig(session);
    const made = rigs.get(session);
    if (!made?.rig) throw new Error("the farm has made no rig of its takes, or it may not be shown");
    const moving = await import("/static/records/three/moving_face.js");
    const load = moving.toLoad(made);
    if (load > ASK_BYTES && !faces.has(session) && !(await mayLoad({ take: `rig ${session}`, label: "" }, load, "The rig and its displacement maps have"))) throw new Error(`not loaded: ${size(load)}`);
    if (!faces.has(session)) {
      const loading = moving.MovingFace.load(made, (share) => note(`loading ${Math.round(100 * share)} %`));
      loading.catch(() => faces.delete(session));
      faces.set(session, loading);
    }
    return faces.get(session);
  }

  /** The sliders of the face in the active pane. */
  async function paintUnits() {
    const session = panes[active]?.session;
    const loaded = look === "rig" && panes[active]?.drawn && faces.has(session) ? await faces.get(session).catch(() => null) : null;
    if (session !== panes[active]?.session) return;
    show(units, loaded);
    if (!loaded) return;
    if (!sliders) {
      const { UnitSliders } = await import("/static/records/three/unit_sliders.js");
      sliders ??= new UnitSliders({
        changed: (weights) => { sliders.face.move(weights); stage.draw(); },
        looked: (looks) => { sliders.face.look(looks); stage.draw(); },
      });
      units.replaceChildren(sliders.element);
    }
    sliders.of(loaded);
    show(sliders.element, true);
  }

  /** Load the modules and make the canvas ready; false where this browser cannot. */
  async function begin() {
    if (stage) return true;
    const [drawing, made] = await Promise.all([import("/static/records/three/stage.js"), import("/static/records/three/models.js")]);
    three = made;
    if (stage) return true;
    if (!drawing.canDraw()) {
      say("This browser draws nothing in three dimensions (it has no WebGL). The pictures of each take are in Night; a browser with WebGL shows more.");
      return false;
    }
    stage = new drawing.Stage(canvas);
    stage.count = panes.length;
    return true;
  }

  function say(words) {
    text(message, words);
    show(message, words);
  }

  async function refresh() {
    const all = await app.attempt(() => app.api.get("/api/artefacts"));
    if (!all) return;
    sessions = all.sessions;
    keyed(chooser, sessions, (one) => one.session, (one) => el("option", { value: one.session }), (option, one) => text(option, `${one.session} · ${day(one.opened_at)} · ${one.shown ? `${one.takes} takes` : "consent withdrawn"}`));
    if (!sessions.length) return void say("The farm has made nothing yet. It begins with a session when it is closed.");
    const wanted = new Set([...panes.map((pane) => pane.session), ...(panes.length ? [] : [sessions.find((one) => one.shown)?.session ?? sessions[0].session])]);
    for (const session of wanted) await readSession(session);
    if (look === "rig") for (const session of wanted) if (rigs.has(session)) await readRig(session);
    if (!panes.length) openFromAddress() || openSession([...wanted][0]);
    forgetWithdrawn();
    paint();
  }

  async function readSession(session) {
    const answer = await app.attempt(() => app.api.get(`/api/artefacts/of/${encodeURIComponent(session)}`));
    if (answer) taken.set(session, answer.takes);
  }

  /** What may not be shown any more goes at once: from the canvas and from the memory. */
  function forgetWithdrawn() {
    panes.forEach((pane, index) => {
      const take = found(pane);
      if (take && take.shown && Object.keys(take.models).length) return;
      models.get(pane.take)?.dispose();
      models.delete(pane.take);
      if (take && !take.shown) {
        rigs.delete(pane.session);
        forgetFace(pane.session);
      }
      pane.generation = (pane.generation ?? 0) + 1;
      pane.drawn = "";
      stage?.show(index, undefined);
      pane.note = take && !take.shown ? `${take.subject}'s consent does not stand: nothing of it is shown` : "nothing was made of it yet";
    });
  }

  /** #three-d/S001-1/S001-1-E02-1 opens that take. */
  function openFromAddress() {
    const [, session, take] = location.hash.slice(1).split("/");
    if (!session || !sessions.some((one) => one.session === session)) return false;
    openSession(session, take);
    return true;
  }

  async function openSession(session, take) {
    if (!taken.has(session)) await readSession(session);
    const made = takesOf(session);
    const first = made.find((one) => one.take === take) ?? made[0];
    panes = first ? [{ session, take: first.take }] : [{ session, take: "" }];
    const other = take ? made.find((one) => one !== first && one.label.startsWith("1_")) : made[1];
    if (other && innerWidth >= 1200) take ? panes.unshift({ session, take: other.take }) : panes.push({ session, take: other.take });
    active = panes.findIndex((pane) => pane.take === (first?.take ?? ""));
    if (stage) stage.count = panes.length;
    paint();
  }

  async function chooseSession(session) {
    if (panes.length < 2) return openSession(session);
    if (!taken.has(session)) await readSession(session);
    const before = found(panes[active] ?? {});
    const made = takesOf(session);
    const same = made.find((take) => take.label === before?.label) ?? made[0];
    panes[active] = { session, take: same?.take ?? "" };
    forgetWithdrawn();
    paint();
  }

  function step(by) {
    const pane = panes[active];
    if (!pane) return;
    const made = takesOf(pane.session);
    const at = made.findIndex((take) => take.take === pane.take);
    if (made.length) choose(made[(at + by + made.length) % made.length].take);
  }

  function choose(take) {
    panes[active] = { session: panes[active].session, take };
    paint();
  }

  function addPane() {
    if (!panes.length || panes.length >= MOST_PANES) return void app.toast(`${MOST_PANES} at most`, "look");
    const made = takesOf(panes[active].session);
    const free = made.find((take) => !panes.some((pane) => pane.take === take.take)) ?? made[0];
    if (!free) return;
    panes.push({ session: panes[active].session, take: free.take });
    active = panes.length - 1;
    if (stage) stage.count = panes.length;
    for (const pane of panes) pane.drawn = "";
    paint();
  }

  function removePane(index) {
    if (panes.length < 2) return;
    panes.splice(index, 1);
    active = Math.min(active, panes.length - 1);
    if (stage) stage.count = panes.length;
    for (const pane of panes) pane.drawn = "";
    paint();
  }

  function setLook(name) {
    look = name;
    paint();
  }

  function toggleWire() {
    wired = !wired;
    attribute(wire, "aria-pressed", String(wired));
    if (stage) stage.wireframe = wired;
  }

  function paint() {
    if (!sessions.length) return;
    say("");
    const pane = panes[active];
    if (pane && chooser.value !== pane.session) chooser.value = pane.session;
    paintList(pane);
    paintHeads();
    for (const button of lookButtons) attribute(button, "aria-pressed", String(button.dataset.look === look));
    attribute(beside, "disabled", panes.length >= MOST_PANES ? "" : undefined);
    beside.disabled = panes.length >= MOST_PANES;
    paintLegend();
    paintUnits();
    draw();
  }

  function paintList(pane) {
    keyed(list, pane ? (taken.get(pane.session) ?? []) : [], (take) => take.take, makeItem, (item, take) => {
      const [button] = item.children;
      const [image, name, place] = button.children;
      const address = take.shown ? portrait(take) : undefined;
      if (address) attribute(image, "src", address);
      else image.removeAttribute("src");
      text(name, named(take.label));
      attribute(button, "aria-current", panes.some((one) => one.take === take.take) ? (pane.take === take.take ? "true" : "page") : undefined);
      button.disabled = !Object.keys(take.models).length;
      const verdict = worst(take);
      if (place.dataset.verdict !== String(verdict)) {
        place.dataset.verdict = String(verdict);
        place.replaceChildren(...(verdict ? [badge(...VERDICTS[verdict])] : []));
      }
    });
  }

  function makeItem(take) {
    return el("li", {}, el("button", { type: "button", onclick: () => choose(take.take) }, el("img", { alt: "", loading: "lazy" }), el("span", {}), el("span", {})));
  }

  function paintHeads() {
    keyed(heads, panes.map((pane, index) => ({ pane, index })), ({ index }) => index, makeHead, (head, { pane, index }) => {
      const take = found(pane);
      const [button, close] = head.firstChild.children;
      text(button, take ? `${take.subject} · ${look === "rig" ? "rig" : named(take.label)}` : pane.session);
      attribute(button, "aria-pressed", String(index === active));
      attribute(head, "data-active", index === active && panes.length > 1 ? "yes" : undefined);
      attribute(head, "data-drawn", pane.drawn ? pane.drawn.split(" ").at(-1) : undefined);
      show(close, panes.length > 1);
      text(head.lastChild, pane.note ?? "");
      show(head.lastChild, pane.note);
    });
  }

  function makeHead({ index }) {
    const pick = () => {
      active = index;
      paint();
    };
    return el("div", { class: "pane-head" }, el("div", { class: "row" }, el("button", { type: "button", class: "small", onclick: pick }), el("button", { type: "button", class: "small", onclick: () => removePane(index), "aria-label": "Remove this one" }, "×")), el("p", { class: "pane-note", role: "status", hidden: true }));
  }

  function paintLegend() {
    const scale = three?.LOOKS[look]?.scale;
    show(legend, scale || look === "relief");
    for (const part of [...legend.children].slice(0, 3)) show(part, scale);
    text(legend.children[3], look === "relief" ? `relief drawn ${three?.RELIEF_TIMES} times as high as it is` : "");
    if (!scale) return;
    text(legend.children[0], `−${scale} mm`);
    text(legend.children[2], `+${scale} mm`);
    text(legend.children[3], look === "distance" ? "where the scan lies from the mesh with its relief; grey: no scan" : "relief over the mesh; grey: not measured");
  }

  async function draw() {
    if (!(await begin())) return;
    panes.forEach((pane, index) => drawPane(pane, index));
  }

  async function drawPane(pane, index) {
    const take = found(pane);
    if (!take?.shown || !Object.keys(take.models).length) return;
    const wanted = `${index} ${pane.take} ${look}`;
    if (pane.drawn === wanted || pane.loading === wanted) return;
    const note = (words) => {
      pane.note = words;
      paintHeads();
    };
    if (look === "rig") return void (await drawRig(pane, index, wanted, note));
    const model = modelOf(take);
    if (!model.can(look)) {
      pane.drawn = wanted;
      stage.show(index, undefined);
      return void note(`not made of it: ${three.LOOKS[look].needs.filter((name) => !(name in take.models)).join(", ")}`);
    }
    const load = model.toLoad(look);
    if (load > ASK_BYTES && !(await mayLoad(take, load))) {
      stage.show(index, undefined);
      return void note(`not loaded: ${size(load)}`);
    }
    pane.loading = wanted;
    const generation = pane.generation;
    note("loading …");
    try {
      const object = await model.object(look, (share) => note(`loading ${Math.round(100 * share)} %`));
      if (panes[index] !== pane || pane.loading !== wanted || pane.generation !== generation) return;
      stage.show(index, object);
      pane.drawn = wanted;
      const figures = look === "distance" ? await model.distanceFigures() : null;
      note(figures ? `median ${figures.median.toFixed(3)} mm, 95 % below ${figures.p95.toFixed(2)} mm` : "");
    } catch (error) {
      note(`cannot be shown: ${error.message}`);
      if (error.status === 410) await refresh();
    } finally {
      if (pane.loading === wanted) pane.loading = "";
    }
  }

  async function drawRig(pane, index, wanted, note) {
    pane.loading = wanted;
    const generation = pane.generation;
    note("loading …");
    try {
      const face = await faceOf(pane.session, note);
      if (panes[index] !== pane || pane.loading !== wanted || pane.generation !== generation) return;
      stage.show(index, face.object());
      pane.drawn = wanted;
      note(rigs.get(pane.session)?.stands === false ? "of takes that are not the accepted ones any more" : "");
    } catch (error) {
      stage.show(index, undefined);
      pane.drawn = wanted;
      note(`cannot be shown: ${error.message}`);
      if (error.status === 410) await refresh();
    } finally {
      if (pane.loading === wanted) pane.loading = "";
    }
    await paintUnits();
  }

  async function mayLoad(take, bytes, what = `${named(take.label)}: the scan has`) {
    if (refused.has(take.take)) return false;
    const loads = await app.confirmed(`${what} ${size(bytes)}. It is held in this browser's memory while it is shown.`, "Load it");
    if (!loads) refused.add(take.take);
    return loads;
  }

  function modelOf(take) {
    let model = models.get(take.take);
    if (model && JSON.stringify(model.models) !== JSON.stringify(take.models)) {
      model.dispose();
      model = undefined;
    }
    models.delete(take.take);
    model ??= new three.TakeModel(take.models);
    models.set(take.take, model);
    for (const [code, old] of [...models].slice(0, -KEPT_MODELS)) {
      if (panes.some((pane) => pane.take === code)) continue;
      old.dispose();
      models.delete(code);
    }
    return model;
  }

  const asking = polling(refresh, EVERY_MS);
  let visible = false;
  addEventListener("hashchange", () => visible && location.hash.startsWith("#three-d/") && openFromAddress());
  return {
    update() {},
    shown() {
      visible = true;
      if (panes.length && location.hash.startsWith("#three-d/")) openFromAddress();
      asking.start();
    },
    hidden() {
      visible = false;
      asking.stop();
    },
  };
}
