// Night: what the farm has done, does and could not do; each take's pictures and verdict; another chance for failed runs.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { badge, command, count, minute, named, polling, span, watching } from "/static/records/parts.js";
import { showLog } from "/static/records/run_log.js";
import { VERDICTS, portrait, showTake, worst } from "/static/records/take_pictures.js";

const EVERY_MS = 4000;
const SILENT_S = 60;
const STATES = ["done", "leased", "queued", "failed", "parked"];
const STATE_NAMES = { done: "done", leased: "runs", queued: "waits", failed: "failed", parked: "parked" };
const STATE_TONES = { done: "good", leased: "wait", queued: "", failed: "stop", parked: "stop" };

export function mount(root, app) {
  const runs = app.me.role !== "viewer";
  let shownTake = "";
  const tiles = el("div", { class: "night-tiles" });
  const stages = el("section", { class: "panel", "aria-label": "Stages" });
  const working = el("section", { class: "panel", "aria-label": "Running now" });
  const troubles = el("section", { class: "panel troubles", "aria-label": "What went wrong" });
  const filter = el("select", { "aria-label": "Which takes", onchange: () => paintTakes() }, [["", "All takes"], ["look", "To look at or do again"], ["open", "Not ready yet"]].map(([value, name]) => el("option", { value }, name)));
  const takes = el("div", { class: "night-takes" });
  const none = el("p", { class: "faint" });
  let found = null;
  const differs = watching();
  root.classList.add("records");
  root.replaceChildren(
    tiles,
    el("div", { class: "night-columns" }, el("div", { class: "night-side" }, stages, working, troubles), el("section", { class: "panel", "aria-label": "Takes" }, el("div", { class: "row" }, el("h2", {}, "Takes"), el("span", { class: "gap" }), filter), none, takes)),
  );

  async function refresh() {
    const answer = await app.attempt(() => app.api.get("/api/farm"));
    if (!answer) return;
    found = answer;
    if (differs("tiles", [answer.counts, answer.verdicts, answer.running, answer.hour, answer.left_s])) paintTiles();
    if (differs("stages", answer.stages)) paintStages();
    if (differs("working", [answer.running, answer.counts])) paintWorking();
    paintTroubles();
    paintTakes();
  }

  function paintTiles() {
    const { counts, verdicts, running } = found;
    const waiting = counts.ready + counts.later + counts.blocked;
    const silent = running.length > 0 && running.every((run) => run.silent_s > SILENT_S);
    const idle = !running.length && waiting > 0;
    const left = found.left_s !== null ? `about ${span(found.left_s)} left` : idle || silent ? "nobody works on it" : waiting ? "how long is not known yet" : counts.total ? "nothing waits" : "nothing was asked for yet";
    const tile = (name, value, note, tone) => el("div", { class: "fact-tile", data: { tone: tone ?? "" } }, el("span", { class: "fact-name" }, name), el("strong", {}, value), el("span", { class: "faint" }, note));
    tiles.replaceChildren(
      tile("Done", `${counts.done} of ${counts.total}`, `${found.hour} in the last hour`, counts.total && counts.done === counts.total ? "good" : ""),
      tile("Runs now", String(counts.running), silent ? "its workers are silent" : running.length ? count(new Set(running.map((run) => run.worker)).size, "worker") : "no worker", silent ? "stop" : counts.running ? "wait" : ""),
      tile("Waits", String(waiting), left, idle || silent ? "look" : ""),
      tile("Went wrong", String(counts.failed + counts.parked), counts.failed + counts.parked ? `${counts.failed} failed, ${counts.parked} parked` : "nothing", counts.failed + counts.parked ? "stop" : "good"),
      tile("Verdicts", `${verdicts.accept ?? 0} good`, `${verdicts.review ?? 0} to look at, ${verdicts.redo ?? 0} to do again`, verdicts.redo ? "stop" : verdicts.review ? "look" : verdicts.accept ? "good" : ""),
    );
  }

  function paintStages() {
    const rows = Object.entries(found.stages);
    stages.replaceChildren(
      el("h2", {}, "Stages"),
      rows.length
        ? el(
            "table", { class: "stages" },
            el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Stage"), STATES.map((state) => el("th", { scope: "col", class: "figure" }, STATE_NAMES[state])))),
            el("tbody", {}, rows.map(([stage, states]) => el("tr", {}, el("th", { scope: "row" }, stage), STATES.map((state) => el("td", { class: `figure ${states[state] && (state === "failed" || state === "parked") ? "stop" : ""}` }, states[state] ? String(states[state]) : "–"))))),
          )
        : el("p", { class: "faint" }, "No run was ever asked for. The farm begins with a session when it is closed."),
    );
  }

  function paintWorking() {
    const { counts, running } = found;
    const waiting = counts.ready + counts.later;
    show(working, running.length || waiting);
    working.replaceChildren(
      el("h2", {}, "Now"),
      ...running.map((run) => el("p", { class: run.silent_s > SILENT_S ? "look" : "" }, el("strong", {}, run.label || run.key.slice(0, 12)), ` ${run.stage} for ${span(run.seconds)}`, el("span", { class: "faint" }, ` by ${run.worker}${run.attempt > 1 ? `, attempt ${run.attempt}` : ""}${run.silent_s > SILENT_S ? `, silent for ${span(run.silent_s)}` : ""}`))),
      ...(!running.length && waiting ? [el("p", { class: "look" }, `${count(waiting, "run waits", "runs wait")} and nobody works on it. To begin: `), command("mien farm run", app)] : []),
    );
  }

  function paintTroubles() {
    const all = found.troubles;
    show(troubles, all.length);
    let head = troubles.querySelector(".trouble-head");
    if (!head) {
      head = el("div", { class: "row trouble-head" }, el("h2", {}, "Went wrong"), el("span", { class: "gap" }), runs ? el("button", { type: "button", onclick: () => retry([]) }, "Try all again") : null);
      troubles.replaceChildren(head, el("ul", {}));
    }
    keyed(troubles.querySelector("ul"), all, (run) => run.key, makeTrouble, (item, run) => {
      item.run = run;
      text(item.querySelector("strong"), run.label || run.key.slice(0, 12));
      text(item.querySelector(".what"), `${run.stage}, ${run.state} after ${count(run.attempts, "attempt")}, ${minute(run.at)}`);
      text(item.querySelector(".run-why"), run.reason || "no reason was recorded");
    });
  }

  function makeTrouble() {
    const item = el(
      "li", {},
      el("div", { class: "row" }, el("strong", {}), el("span", { class: "faint what" }), el("span", { class: "gap" }), el("button", { type: "button", class: "small", onclick: () => showLog(app, item.run) }, "Log"), runs ? el("button", { type: "button", class: "small", onclick: () => retry([item.run.key]) }, "Try again") : null),
      el("p", { class: "run-why stop" }),
    );
    return item;
  }

  async function retry(keys) {
    const answer = await app.attempt(() => app.api.post("/api/farm/retry", { keys }));
    if (!answer) return;
    app.toast(answer.retried ? `${count(answer.retried, "run is", "runs are")} queued again; the farm takes it up` : "Nothing was queued: what a withdrawal stopped stays stopped", answer.retried ? "good" : "look");
    await refresh();
  }

  function paintTakes() {
    if (!found) return;
    const wanted = filter.value;
    const shown = found.takes.filter((take) => wanted === "" || (wanted === "look" ? ["review", "redo"].includes(worst(take)) : take.runs.some((run) => run.state !== "done")));
    text(none, shown.length ? "" : found.takes.length ? "None of them." : "Nothing was made yet.");
    show(none, !shown.length);
    keyed(takes, shown, (take) => take.take, makeTake, paintTake);
  }

  function makeTake(take) {
    const card = el(
      "article", { class: "night-take" },
      el("button", { type: "button", class: "portrait", onclick: () => open(card.take) }, el("img", { alt: "", loading: "lazy", decoding: "async" }), el("span", { class: "faint" }, "no picture yet")),
      el("div", { class: "night-words" }, el("p", { class: "row" }, el("strong", {}), el("span", { class: "verdict-place" })), el("code", {}), el("div", { class: "chips" }), el("p", { class: "clipped" })),
    );
    card.take = take;
    return card;
  }

  async function open(take) {
    shownTake = take.take;
    await showTake(app, take);
    shownTake = "";
  }

  function paintTake(card, take) {
    card.take = take;
    const address = take.shown ? portrait(take) : undefined;
    const [image, instead] = card.querySelector(".portrait").children;
    show(image, address);
    show(instead, !address);
    text(instead, take.shown ? "no picture yet" : "consent withdrawn: nothing is shown");
    if (address) attribute(image, "src", address);
    else image.removeAttribute("src");
    image.alt = `${take.subject} ${named(take.label)}`;
    attribute(card.querySelector(".portrait"), "data-empty", address ? undefined : "yes");
    attribute(card.querySelector(".portrait"), "aria-label", address ? `Pictures of ${take.take}` : undefined);
    text(card.querySelector("strong"), `${take.subject} ${named(take.label)}`);
    text(card.querySelector("code"), take.take);
    const verdict = worst(take);
    const place = card.querySelector(".verdict-place");
    if (place.dataset.verdict !== (verdict ?? "")) {
      place.dataset.verdict = verdict ?? "";
      place.replaceChildren(...(verdict ? [badge(...VERDICTS[verdict])] : []));
    }
    keyed(card.querySelector(".chips"), take.runs, (run) => run.stage, (run) => el("span", { class: "chip" }, run.stage), (chip, run) => {
      attribute(chip, "data-tone", STATE_TONES[run.state]);
      attribute(chip, "title", `${run.stage}: ${STATE_NAMES[run.state]}${run.reason ? `: ${run.reason}` : ""}`);
      text(chip, run.state === "done" ? run.stage : `${run.stage} ${STATE_NAMES[run.state]}`);
    });
    const reasons = take.runs.flatMap((run) => (run.verdict && run.verdict !== "accept" ? run.reasons : []));
    const words = card.querySelector(".clipped");
    text(words, reasons[0] ?? "");
    attribute(words, "title", reasons.join("\n") || undefined);
    attribute(words, "class", `clipped ${verdict === "redo" ? "stop" : "look"}`);
    // What is shown large goes too when a consent is withdrawn meanwhile.
    if (shownTake === take.take && !take.shown) document.querySelector("dialog.records-dialog")?.close();
  }

  const ticking = polling(refresh, EVERY_MS);
  return { update() {}, shown: () => ticking.start(), hidden: () => ticking.stop() };
}
