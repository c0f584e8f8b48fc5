// The list of what is wrong: one line a cause and place, what to do about it, and the button that does it.

import { attribute, el, keyed, show, text } from "/static/dom.js";

// What a remedy's button says, and what it does. Actions without an entry are told in words alone.
export const ACTIONS = {
  recover: ["Recover", (app, fault) => each(app, fault, (camera) => app.api.post(`/api/rig/cameras/${camera}/recover`))],
  back: ["Bring back", (app, fault) => app.api.post("/api/rig/back", { cameras: targets(fault) })],
  aside: ["Set aside", async (app, fault) => {
    const reason = await app.asked(`Set ${targets(fault).join(", ")} aside for today. Why?`, "Set aside", fault.text);
    if (reason) await app.api.post("/api/rig/aside", { cameras: targets(fault), reason });
  }],
  preflight: ["Run the preflight", (app) => app.api.post("/api/preflight", app.store.state.session ? { profile: app.store.state.session.profile } : {})],
  resume: ["Resume", (app) => app.api.post(`/api/sessions/${app.store.state.paused[0].session}/resume`)],
  identify: ["Identify", (app, fault) => each(app, fault, (camera) => app.api.post(`/api/rig/cameras/${camera}/identify`))],
  live_view: ["Live view", (app) => app.go("cameras")],
  close: ["Sessions", (app) => app.go("sessions")],
  record_consent: ["Consent", (app) => app.go("sessions")],
  retake: ["To the take", (app) => app.go("shoot")],
  accept: ["To the takes", (app) => app.go("shoot")],
  close: ["To the session", (app) => app.go("sessions")],
  scene: ["Lights", (app) => app.go("prepare")],
  calibrate: ["Board", (app) => app.go("prepare")],
  lag: ["Shutter lag", (app) => app.go("prepare")],
};

const targets = (fault) => fault.remedy?.cameras ?? fault.cameras ?? [];

async function each(app, fault, ask) {
  for (const camera of targets(fault)) await ask(camera);
}

/** Fill the list with the state's faults, the worst first. */
export function faultList(list, state, app) {
  const faults = Object.entries(state.faults ?? {}).map(([id, fault]) => ({ id, ...fault })).sort((a, b) => (a.rank ?? 0) - (b.rank ?? 0));
  show(list, faults.length);
  keyed(list, faults, (fault) => fault.id, () => makeLine(app), (line, fault) => {
    line.fault = fault;
    attribute(line, "data-level", fault.level);
    text(line.querySelector(".fault-text"), fault.text);
    text(line.querySelector(".fault-remedy"), fault.remedy?.text);
    const button = line.querySelector("button");
    const action = ACTIONS[fault.remedy?.action];
    show(button, action && app.me.role !== "viewer");
    if (action) text(button, action[0]);
  });
}

function makeLine(app) {
  const button = el("button", { type: "button", onclick: () => app.attempt(() => ACTIONS[line.fault.remedy.action][1](app, line.fault)) });
  const line = el("li", {}, el("span", { class: "fault-text" }), " ", el("span", { class: "fault-remedy" }), " ", button);
  return line;
}
