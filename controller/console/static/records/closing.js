// Closing a session: each whole take that nobody accepted is asked about, and what closing does is said before.

import { el, show, text } from "/static/dom.js";
import { frontalPictures } from "/static/records/frontal.js";
import { asking, count, named } from "/static/records/parts.js";

/** What closing needs to know of a session (the API's data): takes to decide, expressions without a take. */
export function openEnds(session) {
  const takes = new Map(session.expressions.flatMap((line) => line.takes.map((take) => [take.code, { ...take, line }])));
  const undecided = session.undecided.map((code) => takes.get(code));
  const missing = session.expressions.filter((line) => !line.skipped && !line.takes.some((take) => take.state === "accepted" || take.state === "captured"));
  return { undecided, missing, withdrawn: session.consent.standing === "withdrawn" };
}

/** Ask about everything that is open, then close; true when the session was closed. */
export async function closeSession(app, session) {
  const picture = await frontalPictures(app, session.session);
  const { undecided, missing, withdrawn } = openEnds(session);
  return asking(`Close ${session.session}`, (close) => {
    const asked = withdrawn ? [] : undecided;
    const choices = asked.map((take) => choice(take, asked, picture));
    const incomplete = missing.length > 0 || withdrawn;
    const confirm = el("button", { class: "danger" }, incomplete ? "Close it incomplete" : "Close the session");
    const problem = el("p", { class: "stop", role: "alert", hidden: true });
    const settle = () => (confirm.disabled = choices.some((one) => !one.value()));
    for (const one of choices) one.element.addEventListener("change", settle);
    settle();
    const send = async (event) => {
      event.preventDefault();
      const of = (what) => choices.filter((one) => one.value() === what).map((one) => one.take.code);
      const dropsAll = choices.some((one) => one.value() === "drop" && !choices.some((other) => other.value() === "keep" && other.take.line === one.take.line) && !one.take.line.takes.some((take) => take.state === "accepted"));
      try {
        const answer = await app.api.post(`/api/sessions/${session.session}/close`, { incomplete: incomplete || dropsAll, keep: of("keep"), drop: of("drop") });
        app.toast(answer.told.join("\n"), "good");
        close(true);
      } catch (error) {
        text(problem, error.message);
        show(problem, true);
      }
    };
    return [
      el("h2", {}, `Close ${session.session}`),
      withdrawn ? null : el("p", {}, "The farm takes over its accepted takes. It can be reopened until the farm has begun with it, and no later."),
      withdrawn ? el("p", { class: "look" }, `${session.subject} has withdrawn its consent: nothing of it is decided or handed on; what was fired stays in quarantine.`) : null,
      missing.length && !withdrawn
        ? el("p", { class: "look" }, `${count(missing.length, "expression")} without a take and not skipped: ${missing.slice(0, 8).map((line) => named(line.name)).join(", ")}${missing.length > 8 ? ` and ${missing.length - 8} more` : ""}. The session is closed without them.`)
        : null,
      el(
        "form", { class: "stacked", onsubmit: send },
        asked.length ? el("p", {}, `${count(asked.length, "whole take waits", "whole takes wait")}: keep it (it stands for its expression) or drop it (marked; its photographs stay).`) : null,
        el("div", { class: "closing-takes" }, choices.map((one) => one.element)),
        problem,
        el("div", { class: "row" }, confirm, el("button", { type: "button", onclick: () => close(undefined) }, "Not now")),
      ),
    ];
  });
}

function choice(take, all, picture) {
  const name = `decide-${take.code}`;
  const accepted = take.line.takes.find((other) => other.state === "accepted");
  const keep = el("input", { type: "radio", name, value: "keep" });
  const drop = el("input", { type: "radio", name, value: "drop" });
  // Of several takes of one expression one can stand: keeping this one drops the others.
  keep.addEventListener("change", () => {
    for (const other of all) {
      if (other !== take && other.line === take.line) document.querySelector(`input[name="decide-${CSS.escape(other.code)}"][value=drop]`)?.click();
    }
  });
  const address = picture(take.code);
  const element = el(
    "fieldset", { class: "closing-take" },
    el("legend", {}, `${take.code} · ${named(take.line.name)}`),
    address ? el("img", { src: address, alt: `${take.code}, frontal`, loading: "lazy" }) : null,
    el(
      "div", {},
      el("p", { class: "faint" }, `${count(take.frames, "photograph")}${accepted ? `, beside ${accepted.code}, which is accepted` : ""}`),
      take.checks ? el("p", { class: "look" }, `${count(take.checks, "check")} to look at`) : null,
      take.flagged ? el("p", { class: "look" }, take.problem) : null,
      el("div", { class: "row" }, el("label", { class: "tick" }, keep, el("span", {}, "Keep")), el("label", { class: "tick" }, drop, el("span", {}, "Drop"))),
    ),
  );
  return { take, element, value: () => (keep.checked ? "keep" : drop.checked ? "drop" : "") };
}
