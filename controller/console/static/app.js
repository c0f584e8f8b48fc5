// The console: one stream, one bar, seven views.

import { Api, ApiError, consoleId } from "/static/api.js";
import { Bar } from "/static/bar.js";
import { attribute, el, keyed, show, text } from "/static/dom.js";
import { Keys } from "/static/keys.js";
import { Sounds } from "/static/sounds.js";
import { Store } from "/static/store.js";
import { faultList } from "/static/faults.js";
import { keepSignedIn } from "/static/account/standing.js";
import { mount as shoot } from "/static/views/shoot.js";
import { mount as cameras } from "/static/views/cameras.js";
import { mount as prepare } from "/static/views/prepare.js";
import { mount as sessions } from "/static/views/sessions.js";
import { mount as night } from "/static/views/night.js";
import { mount as threeD } from "/static/views/three_d.js";
import { mount as release } from "/static/views/release.js";

const VIEWS = [
  ["shoot", "Shoot", shoot], ["cameras", "Cameras", cameras], ["prepare", "Prepare", prepare],
  ["sessions", "Sessions", sessions], ["night", "Night", night], ["three-d", "3-D", threeD], ["release", "Release", release],
];
const SIREN_EVERY_MS = 5000;

const $ = (id) => document.getElementById(id);
const me = { name: document.body.dataset.person ?? "", role: document.body.dataset.role ?? "operator" };
const bar = new Bar($("bar"));
const sounds = new Sounds();
const store = new Store(`/stream?console=${encodeURIComponent(consoleId)}`, onConnection);
const api = new Api(() => store.serverNow(), () => store.connected);
const keys = new Keys(() => store.connected, $("help"));
keys.mayAct = me.role !== "viewer";
let lastSiren = 0;
let wasLost = false;

/** Tell something for some seconds; tone: "good", "look" or "stop". */
function toast(message, tone = "stop") {
  const told = el("p", { class: "toast", data: { tone }, role: tone === "stop" ? "alert" : "status" }, message);
  $("toasts").append(told);
  setTimeout(() => told.remove(), tone === "stop" ? 9000 : 4000);
}

/** Do what may be refused, and say so when it is; undefined then. */
async function attempt(what) {
  try {
    return await what();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast(error.message);
    return undefined;
  }
}

/** Ask before something that is not taken back; true when it was confirmed. */
function confirmed(question, action = "Do it") {
  const dialog = $("question");
  return new Promise((resolve) => {
    const yes = el("button", { class: "danger", value: "yes" }, action);
    dialog.replaceChildren(el("p", {}, question), el("form", { method: "dialog" }, yes, el("button", { value: "no" }, "No")));
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
    dialog.showModal();
  });
}

/** Ask for a line of text; null when nothing was given. */
function asked(question, action = "OK", given = "") {
  const dialog = $("question");
  return new Promise((resolve) => {
    const line = el("input", { id: "answer", type: "text", autocomplete: "off", value: given, required: true });
    const form = el("form", { method: "dialog" }, line, el("button", { class: "primary", value: "yes" }, action), el("button", { value: "no", formnovalidate: true }, "Cancel"));
    dialog.replaceChildren(el("label", { for: "answer" }, question), form);
    dialog.returnValue = "";
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? line.value.trim() || null : null), { once: true });
    dialog.showModal();
    line.focus();
  });
}

const app = { store, api, keys, sounds, toast, attempt, confirmed, asked, go, me, consoleId };
const mounted = new Map();
let current = "";

function go(name) {
  if (name === current || !VIEWS.some(([known]) => known === name)) return;
  mounted.get(current)?.hidden?.();
  current = name;
  keys.view = name;
  for (const [known] of VIEWS) {
    show($(`view-${known}`), known === name);
    attribute($(`tab-${known}`), "aria-current", known === name ? "page" : undefined);
  }
  if (!mounted.has(name)) {
    mounted.set(name, VIEWS.find(([known]) => known === name)[2]($(`view-${name}`), app));
    mounted.get(name).update?.(store.state, new Set(Object.keys(store.state)));
  }
  mounted.get(name).shown?.();
  if (location.hash.slice(1).split("/")[0] !== name) history.replaceState(null, "", `#${name}`);
}

function onConnection(heard) {
  attribute(document.body, "data-lost", heard ? undefined : "yes");
  if (heard && wasLost) toast("The studio is heard again", "good");
  wasLost = !heard;
  paintBar();
}

function paintBar() {
  const lost = store && !store.connected && store.revision >= 0 ? store.age_ms() : undefined;
  bar.update(store?.state.bar, lost);
  if (lost !== undefined && performance.now() - lastSiren > SIREN_EVERY_MS) {
    lastSiren = performance.now();
    sounds.play("lost");
  }
}

function paintTrigger(state) {
  const trigger = state.trigger ?? {};
  const mine = trigger.holder === consoleId;
  attribute(document.body, "data-trigger", mine ? "mine" : trigger.holder ? "other" : "free");
  text($("trigger-text"), mine ? "this screen holds the trigger" : trigger.holder ? `${trigger.person || "another screen"} holds the trigger` : "nobody holds the trigger");
  const asks = trigger.asked_by;
  show($("trigger-take"), !mine && me.role !== "viewer");
  text($("trigger-take"), !trigger.holder ? "Take the trigger" : trigger.lost ? "Take the trigger" : asks?.console === consoleId ? "Asked for" : "Ask for the trigger");
  show($("trigger-grant"), mine && asks);
  if (asks) text($("trigger-grant"), `Give the trigger to ${asks.person || "the other screen"}`);
}

$("trigger-take").addEventListener("click", () => attempt(() => api.post(store.state.trigger?.holder ? "/api/trigger/ask" : "/api/trigger/take")));
$("trigger-grant").addEventListener("click", () => attempt(() => api.post("/api/trigger/grant")));
$("mute").addEventListener("click", () => {
  sounds.mute = !sounds.muted;
  paintMute();
});
$("keys").addEventListener("click", () => keys.help());

function paintMute() {
  text($("mute"), sounds.muted ? "Sound off" : "Sound on");
  attribute($("mute"), "aria-pressed", String(!sounds.muted));
}

VIEWS.forEach(([name, title], index) => {
  $(`tab-${name}`).addEventListener("click", (event) => {
    event.preventDefault();
    go(name);
  });
  keys.bind("*", String(index + 1), title, () => go(name), { always: true });
});
keys.bind("*", "?", "These keys", () => keys.help(), { always: true });
keys.bind("*", "m", "Sound on or off", () => $("mute").click(), { always: true });

store.subscribe((state, changed) => {
  if (changed.has("bar")) paintBar();
  if (changed.has("trigger")) paintTrigger(state);
  if (changed.has("faults")) faultList($("faults"), state, app);
  if (changed.has("server")) document.title = `Mien · ${state.server?.rig ?? ""}`;
  mounted.get(current)?.update?.(state, changed);
});
setInterval(paintBar, 500);
keepSignedIn(store);
paintMute();
addEventListener("hashchange", () => go(location.hash.slice(1).split("/")[0]));
go(location.hash.slice(1).split("/")[0] || "shoot");
if (!current) go("shoot");
document.body.dataset.ready = "yes";
window.mien = { store, sounds }; // for whoever looks from the browser's own console
