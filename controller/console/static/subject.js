// The subject's screen: what to do, a mirror, the countdown, and a button that stops. It knows a code and no name.

import { Api } from "/static/api.js";
import { attribute, show, text } from "/static/dom.js";
import { EXAMPLES, exampleOf } from "/static/shoot/examples.js";
import { secondsLeft, spaced } from "/static/shoot/model.js";
import { Store } from "/static/store.js";

const VIEW_MS = 250;
const GHOST_STEP = 0.1;

const $ = (id) => document.getElementById(id);
const store = new Store("/stream/screen", () => paint());
const api = new Api(() => store.serverNow(), () => store.connected);
let endsAt = 0;
let counted;
let frame = -1;
let looking = false;
let stopped = false;
let ghost = Number(localStorage.getItem("mien-ghost") ?? 0.35);

const WORDS = {
  wait: ["One moment, please", ""],
  none: ["Welcome", "The session begins in a moment."],
  ended: ["This is the end", "Nothing more is photographed. Thank you!"],
  paused: ["A pause", "Take your time. The operator goes on when you are ready."],
  done: ["That was all", "Thank you!"],
};

function phaseOf(state) {
  if (!store.connected || !state.session) return "wait";
  return state.session === "open" ? state.phase : state.session;
}

function paint() {
  if (!store) return;
  const { state } = store;
  const phase = phaseOf(state);
  attribute(document.body, "data-phase", phase);
  const [title, told] = WORDS[phase] ?? [spaced(state.name), state.instruction];
  text($("name"), title);
  text($("instruction"), told);
  text($("count"), WORDS[phase] ? "" : `${state.position} of ${state.of}`);
  text($("code"), state.code ?? "");
  show($("pictures"), !WORDS[phase]);
  show($("stop"), state.session === "open" && store.connected);
  paintExample(state);
  paintGhost(state);
  if (state.countdown?.id !== counted) {
    counted = state.countdown?.id;
    endsAt = state.countdown ? performance.now() + state.countdown.ends_in_ms : 0;
  }
  paintBig(phase);
}

function paintExample({ name, instruction }) {
  const known = EXAMPLES.has(name);
  show($("example-figure"), known);
  show($("example"), known);
  if (known && $("example").getAttribute("src") !== exampleOf(name)) {
    $("example").src = exampleOf(name);
    $("example").alt = `Example: ${instruction}`;
  }
}

function paintGhost({ camera, neutral }) {
  const address = camera && neutral ? `/api/subject-screen/neutral.jpg?camera=${encodeURIComponent(camera)}&photograph=${neutral}` : undefined;
  if ($("ghost").getAttribute("src") !== (address ?? null)) attribute($("ghost"), "src", address);
  show($("ghost"), address);
  $("ghost").style.opacity = String(ghost);
}

function paintBig(phase = phaseOf(store.state)) {
  const left = secondsLeft(endsAt);
  const counts = phase === "countdown" && left > 0;
  show($("number"), counts);
  text($("number"), counts ? left : "");
  const words = { countdown: counts ? "" : "Hold still", hold: "Hold still", relax: "Thank you, relax" };
  text($("big"), words[phase] ?? "");
}

/** A new frame of the mirror, when there is one. Live view rests while a take is fired. */
async function look() {
  const { camera } = store.state;
  const phase = phaseOf(store.state);
  if (looking || document.hidden || !camera || !["idle", "countdown", "relax"].includes(phase)) return;
  looking = true;
  try {
    const seen = await api.post("/api/subject-screen/view", { camera });
    const there = seen.frame !== null && seen.frame !== undefined;
    if (there && seen.frame !== frame) await load(camera, seen.frame);
    show($("mirror-figure"), there);
  } catch {
    show($("mirror-figure"), false);
  } finally {
    looking = false;
  }
}

async function load(camera, number) {
  const next = new Image();
  next.src = `/api/subject-screen/live.jpg?camera=${encodeURIComponent(camera)}&frame=${number}`;
  await next.decode().catch(() => undefined);
  if (!next.naturalWidth) return;
  frame = number;
  next.id = "live";
  next.alt = "You, as in a mirror";
  $("live").replaceWith(next);
}

async function stop() {
  if (stopped || store.state.session !== "open") return;
  stopped = true;
  text($("stop"), "Stopping …");
  try {
    await api.post("/api/subject-screen/stop");
  } catch (error) {
    text($("big"), `Please tell the operator: ${error.message}`);
  } finally {
    stopped = false;
    $("stop").replaceChildren(Object.assign(document.createElement("kbd"), { textContent: "Esc" }), " Stop");
  }
}

$("stop").addEventListener("click", stop);
document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" || event.key.toLowerCase() === "s") stop();
  if (event.key === "+" || event.key === "-") {
    ghost = Math.min(0.8, Math.max(0, ghost + (event.key === "+" ? GHOST_STEP : -GHOST_STEP)));
    localStorage.setItem("mien-ghost", String(ghost));
    paint();
  }
});
store.subscribe(() => paint());
setInterval(() => paintBig(), 100);
setInterval(look, VIEW_MS);
document.body.dataset.ready = "yes";
