// Sessions: subjects and their consents, the session that is open, those that wait, and what became of each.

import { attribute, el, keyed, show, text } from "/static/dom.js";
import { closeSession } from "/static/records/closing.js";
import { addSubject, recordConsent } from "/static/records/consent_form.js";
import { artefact, badge, count, day, minute, polling, scopeName, settling, watching } from "/static/records/parts.js";
import { sessionDetail } from "/static/records/session_detail.js";
import { startSession } from "/static/records/start_form.js";
import { VERDICTS } from "/static/records/take_pictures.js";

const STANDING = {
  given: ["consents", "good"], not_yet: ["consents later", "look"], none: ["no consent", "look"],
  withdrawn: ["withdrawn", "stop"], erased: ["erased", ""],
};
const STATE_TONE = { open: "good", paused: "look", closed: "" };

export function mount(root, app) {
  const runs = app.me.role !== "viewer";
  const manages = app.me.role === "manager";
  let subjects = [];
  let sessions = [];
  let chosen = "";
  const differs = watching();

  const now = el("section", { class: "panel now", "aria-label": "Now" });
  const filter = el("input", { type: "search", placeholder: "S012, no consent, …", "aria-label": "Find subjects", oninput: () => paintSubjects() });
  const add = el("button", { type: "button", onclick: newSubject }, "New subject");
  const list = el("ul", { class: "subject-list", "aria-label": "Subjects" });
  const told = el("p", { class: "faint" });
  const people = el("section", { class: "panel subjects", "aria-label": "Subjects of the study" }, el("div", { class: "row" }, el("h2", {}, "Subjects"), el("span", { class: "gap" }), runs ? add : null), filter, told, list);
  const rig = el("figure", { class: "rig-sheet", hidden: true, "aria-label": "Rig" });
  const subject = el("section", { class: "panel subject", "aria-label": "Subject" });
  const detail = sessionDetail(app, refresh);
  root.classList.add("records");
  root.replaceChildren(el("div", { class: "sessions-left" }, now, people), el("div", { class: "sessions-right" }, subject, detail.element));

  async function refresh() {
    const [all, known] = await Promise.all([app.attempt(() => app.api.get("/api/sessions")), runs ? app.attempt(() => app.api.get("/api/subjects")) : { subjects: [] }]);
    if (all) sessions = all.sessions;
    if (known) subjects = known.subjects;
    if (!chosen) chosen = app.store.state.session?.subject ?? sessions[0]?.subject ?? subjects.at(-1)?.code ?? "";
    if (!differs("all", [subjects, sessions, chosen])) return void detail.refresh();
    paintSubjects();
    paintNow();
    paintSubject();
  }

  async function newSubject() {
    const code = await addSubject(app, manages);
    if (!code) return;
    chosen = code;
    await refresh();
  }

  function paintSubjects() {
    const wanted = filter.value.trim().toLowerCase();
    const words = (one) => `${one.code} ${STANDING[one.standing][0]}`.toLowerCase();
    const shown = subjects.filter((one) => words(one).includes(wanted)).reverse();
    text(told, !runs ? "Subjects are shown to operators." : shown.length === subjects.length ? count(subjects.length, "subject") : `${shown.length} of ${count(subjects.length, "subject")}`);
    keyed(list, shown, (one) => one.code, makeSubject, (item, one) => {
      const [button] = item.children;
      const [code, age, standing, held] = button.children;
      text(code, one.code);
      text(age, one.age === null ? "" : `${one.age} years`);
      text(standing, STANDING[one.standing][0]);
      attribute(standing, "data-tone", STANDING[one.standing][1]);
      text(held, one.sessions.length ? count(one.sessions.length, "session") : "");
      attribute(button, "aria-current", one.code === chosen ? "true" : undefined);
    });
  }

  function makeSubject(one) {
    const choose = () => {
      chosen = one.code;
      paintSubjects();
      paintSubject();
    };
    return el("li", {}, el("button", { type: "button", onclick: choose }, el("strong", {}), el("span", { class: "faint" }), el("span", { class: "badge" }), el("span", { class: "faint" })));
  }

  function paintNow() {
    const open = sessions.find((one) => one.state === "open");
    const paused = sessions.filter((one) => one.state === "paused");
    const line = (one) =>
      el(
        "div", { class: "row session-line", data: { session: one.session } },
        badge(one.state, STATE_TONE[one.state]), el("strong", {}, one.session), el("span", { class: "faint" }, `${one.accepted} of ${one.expressions} accepted`), el("span", { class: "gap" }),
        ...(runs ? acts(one) : []),
      );
    now.replaceChildren(
      el("h2", {}, "Now"),
      open ? line(open) : el("p", { class: "faint" }, "No session is open. Choose a subject to start one."),
      ...paused.map(line),
    );
  }

  function acts(one) {
    const button = (label, fn, kind) => el("button", { type: "button", class: kind, onclick: fn, "aria-label": `${label} ${one.session}` }, label);
    const post = async (path) => {
      if (await app.attempt(() => app.api.post(`/api/sessions/${one.session}/${path}`))) await refreshAll();
    };
    return [
      button("Show", () => pick(one), undefined),
      one.state === "open" ? button("Pause", () => post("pause")) : button("Resume", () => post("resume"), "primary"),
      button("Close …", async () => {
        const data = await app.attempt(() => app.api.get(`/api/sessions/${one.session}`));
        if (data && (await closeSession(app, data))) await refreshAll();
      }),
    ];
  }

  async function refreshAll() {
    await refresh();
    await detail.refresh();
  }

  function pick(one) {
    chosen = one.subject;
    paintSubjects();
    paintSubject(one.session);
  }

  function paintSubject(wanted) {
    const one = subjects.find((other) => other.code === chosen);
    const held = sessions.filter((session) => session.subject === chosen);
    if (!chosen) {
      subject.replaceChildren(el("h2", {}, "No subject yet"), el("p", { class: "faint" }, "The first one is added under Subjects; a session is then started here."));
      return;
    }
    const [word, tone] = STANDING[one?.standing ?? "none"];
    const code = wanted ?? (held.some((session) => session.session === detail.code) ? detail.code : held[0]?.session);
    const record = el("button", { type: "button", onclick: async () => (await recordConsent(app, chosen)) && refresh() }, "Record a consent");
    const start = el("button", { type: "button", class: "primary", onclick: begin, disabled: one && ["withdrawn", "erased"].includes(one.standing) }, "Start a session");
    subject.replaceChildren(
      el(
        "div", { class: "row" },
        el("h2", {}, chosen), one ? badge(word, tone) : "", one?.age != null ? el("span", { class: "faint" }, `${one.age} years`) : "", el("span", { class: "gap" }),
        manages && one?.standing !== "erased" ? record : "", runs ? start : "",
      ),
      one ? consents(one) : "",
      rig,
      held.length ? el("ul", { class: "session-tabs", "aria-label": `Sessions of ${chosen}` }, held.map((session) => tab(session, code))) : el("p", { class: "faint" }, "No session yet."),
    );
    if (runs) paintRig(chosen);
    if (code) detail.open(code);
    else show(detail.element, false);
  }

  async function paintRig(code) {
    if (rig.dataset.subject !== code) rig.replaceChildren();
    rig.dataset.subject = code;
    const answer = await app.attempt(() => app.api.get(`/api/subjects/${code}/rig`));
    if (!answer || rig.dataset.subject !== code) return;
    const found = answer.rig;
    show(rig, found);
    if (!found) return void rig.replaceChildren();
    const [word, tone] = VERDICTS[found.verdict] ?? [found.state, found.state === "done" ? "" : "look"];
    const words = found.state === "done" ? `of ${count(found.takes.length, "expression")} of ${found.session}${found.stands ? "" : "; they have changed since"}` : found.reason;
    rig.replaceChildren(
      el("figcaption", {}, el("strong", {}, "Rig"), " ", badge(word, tone), el("span", { class: "faint" }, ` ${words}`)),
      ...(found.reasons.length ? [el("ul", {}, found.reasons.map((reason) => el("li", {}, reason)))] : []),
      ...(found.picture ? [el("a", { href: artefact(found.picture), target: "_blank" }, el("img", { src: artefact(found.picture), alt: `The 52 units of ${code}`, loading: "lazy" }))] : []),
    );
  }

  function consents(one) {
    if (!one.consents.length) return el("p", { class: one.standing === "erased" ? "faint" : "look" }, one.standing === "erased" ? "Erased: nothing of it is kept but its code." : `No consent is recorded${manages ? "" : "; a manager records it"}.`);
    return el(
      "table", { class: "consents" },
      el("thead", {}, el("tr", {}, ["Allowed", "Since", "Form", "Kept until", "Standing"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, one.consents.map((consent) =>
        el(
          "tr", {},
          el("td", {}, scopeName(consent.scope)), el("td", {}, day(consent.given_on)),
          el("td", {}, `${consent.form_version ?? "–"}${consent.guardian ? ", by a guardian" : ""}`),
          el("td", {}, consent.kept_until ? day(consent.kept_until) : "no term"),
          el("td", {}, consent.withdrawn_on ? badge(`withdrawn ${day(consent.withdrawn_on)}`, "stop") : consent.ended ? badge("past its term", "look") : badge("stands", "good")),
        ),
      )),
    );
  }

  function tab(session, code) {
    const open = () => paintSubject(session.session);
    return el(
      "li", {},
      el(
        "button", { type: "button", onclick: open, "aria-current": session.session === code ? "true" : undefined },
        el("strong", {}, session.session), " ", badge(session.state, STATE_TONE[session.state]), " ",
        el("span", { class: "faint" }, `${minute(session.opened_at)} · ${session.accepted} of ${session.expressions}${session.skipped ? `, ${session.skipped} skipped` : ""}`),
      ),
    );
  }

  async function begin() {
    const one = subjects.find((other) => other.code === chosen) ?? { code: chosen, standing: "none" };
    const code = await startSession(app, one);
    if (!code) return;
    await refresh();
    paintSubject(code);
  }

  const slow = polling(refresh, 30000); // what other machines record meanwhile
  const soon = settling(refreshAll, 600);
  let seen = "";
  return {
    update(state, changed) {
      if (!changed.has("session") && !changed.has("paused")) return;
      const takes = Object.values(state.session?.takes ?? {}).map((take) => take.state);
      const mark = JSON.stringify([state.session?.code, state.session?.state, state.session?.consent, takes, state.paused]);
      if (mark === seen) return;
      const first = seen === "";
      seen = mark;
      if (!first) soon();
    },
    shown() {
      chosen = app.store.state.session?.subject ?? chosen; // who sits there is who something is to be done about
      slow.start();
    },
    hidden: () => slow.stop(),
  };
}
