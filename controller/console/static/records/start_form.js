// A session's start: what it will be, what lacks, and the decision to begin all the same.

import { el, show, text } from "/static/dom.js";
import { asking, field, tick } from "/static/records/parts.js";

/** Ask how a session of this subject begins, and begin it; its code, or undefined. subject: as /api/subjects has it. */
export async function startSession(app, subject) {
  const first = await app.attempt(() => app.api.get("/api/sessions/start"));
  if (!first) return undefined;
  if (first.open) {
    app.toast(`${first.open} is open: pause or close it first`, "look");
    return undefined;
  }
  return asking(`Start a session of ${subject.code}`, (close) => {
    const protocol = el("select", {}, first.protocols.map((one) => el("option", { value: `${one.name} ${one.version}` }, `${one.name} ${one.version} · ${one.expressions} expressions`)));
    const usual = [...first.protocols].reverse().find((one) => one.name === "facescape20");
    if (usual) protocol.value = `${usual.name} ${usual.version}`;
    const profile = el("select", {}, first.profiles.map((name) => el("option", { value: name }, name)));
    const lacks = el("div", { class: "lacks" });
    const later = tick("The form is signed later (recorded; nothing is handed on until it is)");
    const needsLater = subject.standing !== "given";
    const confirm = el("button", { class: "primary" }, "Start");
    const problem = el("p", { class: "stop", role: "alert", hidden: true });
    let boxes = [];
    const settle = () => {
      confirm.disabled = boxes.some(([, box]) => !box.checked) || (needsLater && !later.box.checked);
      text(confirm, boxes.some(([, box]) => box.checked) ? "Start all the same" : "Start");
    };
    const paint = (lacking) => {
      boxes = Object.entries(lacking).map(([name, why]) => {
        const made = tick(`Without ${name}: ${why}`);
        made.box.addEventListener("change", settle);
        return [name, made.box, made.row];
      });
      lacks.replaceChildren(
        boxes.length ? el("p", { class: "look" }, "It lacks the following. Mend it, or tick what the session is to begin without; that is recorded.") : el("p", { class: "good" }, "Nothing lacks that a session needs."),
        ...boxes.map(([, , row]) => row),
      );
      settle();
    };
    profile.addEventListener("change", async () => {
      const again = await app.attempt(() => app.api.get(`/api/sessions/start?profile=${encodeURIComponent(profile.value)}`));
      if (again) paint(again.lacking);
    });
    later.box.addEventListener("change", settle);
    paint(first.lacking);
    const send = async (event) => {
      event.preventDefault();
      const [name, version] = protocol.value.split(" ");
      const without = boxes.filter(([, box]) => box.checked).map(([what]) => what);
      try {
        const made = await app.api.post("/api/sessions", { subject: subject.code, protocol: name, version: Number(version), profile: profile.value, without, consent_later: later.box.checked });
        app.toast(`${made.session} is open`, "good");
        close(made.session);
      } catch (error) {
        text(problem, error.message);
        show(problem, true);
      }
    };
    return [
      el("h2", {}, `Start a session of ${subject.code}`),
      el(
        "form", { class: "stacked", onsubmit: send },
        el("div", { class: "fields" }, field("Protocol", protocol), field("Settings profile", profile)),
        lacks,
        needsLater ? el("div", {}, el("p", { class: "look" }, `No consent of ${subject.code} is recorded that counts today.`), later.row) : null,
        problem,
        el("div", { class: "row" }, confirm, el("button", { type: "button", onclick: () => close(undefined) }, "Cancel")),
      ),
    ];
  });
}
