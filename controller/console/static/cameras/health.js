// A camera's health as a word, a tone and a shape, and which of its figures is out of bounds.

export const SHAPES = { good: "●", wait: "▮", look: "▲", stop: "⬣", aside: "○" };
export const ORDER = ["stop", "look", "wait", "aside", "good"]; // the worst first
const PHASES = { armed: "ARMED", countdown: "ARMED", fired: "FIRED", safe: "SAFE", in: "IN" };
const STATES = { absent: "GONE", no_camera: "ASLEEP", connected: "WAKING" };

/** {tone, word, why: [text], marks: {figure: tone}} of a camera of the state. limits: the rig's. */
export function health(camera, limits = {}) {
  const marks = figureMarks(camera, limits);
  const unresolved = camera.unresolved ? [`the photograph of ${camera.unresolved} has not come: recover the camera, or write it off`] : [];
  const why = [...unresolved, ...(camera.problems ?? []), ...(camera.warnings ?? [])];
  const told = (tone, word) => ({ tone, word, why, marks });
  if (camera.aside) return { tone: "aside", word: "ASIDE", why: [camera.aside], marks: {} };
  if (camera.phase === "failed") return told("stop", "FAILED");
  if (!camera.ready) return told("stop", STATES[camera.state] ?? "FAULT");
  if (unresolved.length || Object.values(marks).includes("stop")) return told("stop", "FAULT");
  if (PHASES[camera.phase]) return told("wait", PHASES[camera.phase]);
  if (camera.check === "look") return told("look", "LOOK");
  if (Object.keys(marks).length || camera.warnings?.some((text) => !/real-time/.test(text))) return told("look", "LOOK");
  return told("good", "READY");
}

function figureMarks(camera, limits) {
  const marks = {};
  const mark = (name, tone, bad) => bad && (marks[name] = tone);
  mark("battery", "stop", camera.battery < limits.min_battery_percent);
  mark("photos_left", "stop", camera.photos_left < limits.frames);
  mark("uncertainty_ms", "stop", camera.uncertainty_ms > limits.max_clock_uncertainty_ms);
  mark("lag_drift_ms", "look", Math.abs(camera.lag_drift_ms) > limits.max_skew_ms / 2);
  mark("lateness_ms", "stop", camera.lateness_ms > limits.max_skew_ms);
  return marks;
}

/** How many cameras are of each tone: [[tone, count, word]], the worst first. */
export function counts(cameras, limits) {
  const found = new Map();
  for (const camera of Object.values(cameras)) {
    const { tone, word } = health(camera, limits);
    const key = `${tone} ${word}`;
    found.set(key, { tone, word, count: (found.get(key)?.count ?? 0) + 1 });
  }
  return [...found.values()].sort((a, b) => ORDER.indexOf(a.tone) - ORDER.indexOf(b.tone));
}

/** The cameras in the rig's order, then those that it does not know. */
export function inOrder(state) {
  const cameras = state.cameras ?? {};
  const known = (state.rig?.order ?? []).filter((name) => name in cameras);
  return [...known, ...Object.keys(cameras).filter((name) => !known.includes(name))];
}

export const signed = (value, digits = 1) => (value === undefined ? "–" : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits)}`);
