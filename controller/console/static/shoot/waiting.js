// What to do while no session is open: resume a paused one, or begin one with a subject's code.

import { el, keyed, show, text } from "/static/dom.js";

export class Waiting {
  constructor(app) {
    this.app = app;
    this.title = el("h1", {});
    this.told = el("p", {});
    this.paused = el("ul", { class: "plain" });
    this.subject = el("input", { id: "shoot-subject", type: "text", autocomplete: "off", required: true, pattern: "[A-Za-z0-9_\\-]+", placeholder: "S012" });
    this.form = el("form", { class: "row", onsubmit: (event) => this.#start(event) },
      el("label", { for: "shoot-subject" }, "Begin a session of subject"), this.subject, el("button", { class: "primary" }, "Begin"));
    this.element = el("section", { class: "panel waiting", hidden: true, "aria-label": "No session is open" },
      this.title, this.told, this.paused, this.form, el("p", { class: "faint" }, "New subjects, consents and what a session may begin without: ", el("a", { href: "#sessions" }, "Sessions")));
  }

  update(state) {
    const { session, paused = [] } = state;
    text(this.title, session ? `${session.code} is ${session.state}` : paused.length ? "The session is paused" : "No session is open");
    text(this.told, this.app.me.role === "viewer" ? "" : session || paused.length ? "P resumes it." : "Type the subject's code: nothing else of the person is shown here.");
    const lines = session && session.state === "paused" ? [{ session: session.code }] : paused;
    keyed(this.paused, lines, (line) => line.session, (line) => this.#line(line.session), (item, line) => {
      text(item.lastChild, line.expressions === undefined ? "" : ` ${line.accepted} of ${line.expressions} accepted`);
    });
    show(this.form, !session && this.app.me.role !== "viewer");
  }

  #line(code) {
    const resume = () => this.app.attempt(() => this.app.api.post(`/api/sessions/${code}/resume`));
    return el("li", {}, el("button", { type: "button", disabled: this.app.me.role === "viewer", onclick: resume }, `Resume ${code}`), el("span", { class: "faint" }));
  }

  async #start(event) {
    event.preventDefault();
    const begun = await this.app.attempt(() => this.app.api.post("/api/sessions", { subject: this.subject.value.trim().toUpperCase() }));
    if (!begun) return;
    this.subject.value = "";
    this.subject.blur();
  }
}
