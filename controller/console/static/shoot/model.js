// What the Shoot view makes of the studio's state: which expression and which take it shows. Pure functions.

const UNDER_WAY = new Set(["planned", "fired"]);
const WHOLE = new Set(["captured", "accepted", "superseded"]);

/** "mouth_left" as "mouth left". */
export const spaced = (name) => (name ?? "").replaceAll("_", " ");

/** Cameras of the rig in the order of their views, those that photograph the subject. */
export function cameraOrder(state) {
  const cameras = state.cameras ?? {};
  return (state.rig?.order ?? Object.keys(cameras))
    .filter((name) => (cameras[name]?.view ?? -1) >= 0)
    .sort((one, other) => cameras[one].view - cameras[other].view);
}

/** Frontal cameras first, the most frontal before all, then the others. */
export function largeOrder(state) {
  const order = cameraOrder(state);
  const frontal = order.filter((name) => state.rig?.frontal?.includes(name));
  const ahead = (name) => state.cameras[name].direction?.[2];
  const known = frontal.filter((name) => ahead(name) !== undefined);
  const first = known.length
    ? known.reduce((best, name) => (ahead(name) < ahead(best) ? name : best))
    : frontal[Math.floor(frontal.length / 2)];
  const rest = order.filter((name) => !frontal.includes(name));
  return [...(first ? [first] : []), ...frontal.filter((name) => name !== first), ...rest];
}

/**
 * The position of the expression that is shown; undefined without a session. pinned: one that the operator chose.
 * Otherwise: the one that is counted down or under way, one whose take waits to be decided or has failed, then what is next.
 */
export function shownPosition(state, pinned) {
  const { session, take, countdown } = state;
  if (!session) return undefined;
  if (countdown?.position !== undefined) return countdown.position;
  if (pinned !== undefined && session.expressions[pinned]) return pinned;
  const line = take && session.takes[take.code];
  if (line && UNDER_WAY.has(line.state)) return line.position;
  if (session.undecided.length) {
    const code = session.undecided.includes(take?.code) ? take.code : session.undecided[0];
    return session.takes[code].position;
  }
  if (line && line.state === "failed" && ["failed", "next"].includes(session.expressions[line.position]?.state)) {
    return line.position;
  }
  if (session.next !== undefined) return session.next;
  return [...session.order].reverse().find((position) => session.expressions[position].takes.length) ?? session.order[0];
}

/** The code of the take that is shown of an expression; undefined without one. chosen: one that the operator chose. */
export function shownTake(state, position, chosen) {
  const line = state.session?.expressions[position];
  if (!line || !line.takes.length) return undefined;
  if (line.takes.includes(chosen)) return chosen;
  if (line.takes.includes(state.take?.code)) return state.take.code;
  return line.shown ?? line.takes.at(-1);
}

/** How a take stands for its operator: "under_way", "whole", "look", "accepted", "beside" or "failed". */
export function standing(state, code, seen) {
  const line = state.session?.takes[code];
  if (!line || UNDER_WAY.has(line.state)) return "under_way";
  if (line.state === "accepted") return "accepted";
  if (line.state === "superseded") return "beside";
  if (!WHOLE.has(line.state)) return "failed";
  return deserveLook(line, seen).length ? "look" : "whole";
}

/** What deserves a look before the take is accepted: {camera?, reason}. */
export function deserveLook(line, seen) {
  const found = (seen?.review?.checks ?? []).filter((check) => check.state === "advice");
  const cameras = found.filter((check) => check.camera);
  const checks = [...cameras, ...found.filter((check) => !check.camera && !cameras.some((other) => other.check === check.check))];
  const flags = line?.flagged ? [{ reason: line.problem ?? "over a limit" }] : [];
  if (!checks.length && line?.checks && !seen?.review) flags.push({ reason: `${line.checks} results of its checks deserve a look` });
  return [...flags, ...checks];
}

/** Whether the checks of a whole take have been made. */
export const checked = (line, seen) => line?.checks !== undefined || seen?.review !== undefined;

/** Whole ones, and when: seconds as "3". */
export const secondsLeft = (endsAt) => Math.max(0, Math.ceil((endsAt - performance.now()) / 1000 - 0.02));
