// A new subject, and a consent that was signed. The form itself never leaves this machine: its hash is sent.

import { el, show, text } from "/static/dom.js";
import { SCOPE_NAMES, asking, field, tick } from "/static/records/parts.js";

const LARGEST_FORM = 256 * 1024 * 1024;
const BLANK = new Set([32, 9, 13, 10, 12, 11, 0]);

const WHAT = {
  research_release: "Research release: scans, meshes and textures go to licensed researchers",
  publication: "Publication: photographs may leave too, and be shown in papers",
  eyes_mosaicked: "Eyes mosaicked: a condition of publication",
  statistical_model: "Statistical model: may be part of a model of many faces, which is given on",
};

/** SHA-256 of a signed form; throws what is wrong with it. */
export async function hashForm(file) {
  if (file.size > LARGEST_FORM) throw new Error(`The signed form has ${Math.round(file.size / 1e6)} MB: is that the form?`);
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (bytes.every((byte) => BLANK.has(byte))) throw new Error("The signed form is empty: nothing was signed there");
  if (!crypto.subtle) throw new Error("This browser hashes files only over https or on the studio's own machine");
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The fields of a signed form: {element, read()}; read gives the body of the request, or throws what lacks. */
export function consentFields() {
  const scopes = Object.keys(SCOPE_NAMES).map((name) => ({ name, ...tick(WHAT[name], { name: "scope", value: name }) }));
  const mosaic = scopes[2];
  const given = el("input", { type: "date", required: true, min: "1990-01-01" });
  const version = el("input", { type: "text", required: true, maxlength: 32, autocomplete: "off", placeholder: "2026-01" });
  const form = el("input", { type: "file", required: true });
  const guardian = tick("A guardian signed; who, stays on the form");
  const shared = el("input", { type: "text", maxlength: 200, autocomplete: "off", placeholder: "only where one form has several people" });
  const publication = scopes[1];
  const follow = () => {
    mosaic.box.disabled = !publication.box.checked;
    if (!publication.box.checked) mosaic.box.checked = false;
  };
  publication.box.addEventListener("change", follow);
  follow();
  const element = el(
    "div", { class: "consent-fields" },
    el("fieldset", {}, el("legend", {}, "What was allowed"), scopes.map((scope) => scope.row)),
    el("div", { class: "fields" }, field("Day of the signature", given), field("Version of the form", version)),
    field("The signed form", form, "Its hash is kept; the file stays where it is."),
    el("details", {}, el("summary", {}, "Guardian, form of several people"), guardian.row, field("Why others have the same form", shared)),
  );
  const read = async () => {
    const chosen = scopes.filter((scope) => scope.box.checked).map((scope) => scope.name);
    if (!chosen.length) throw new Error("Tick what was allowed");
    if (!given.value) throw new Error("The day on which it was signed is missing");
    if (!version.value.trim()) throw new Error("Which text was signed is missing, as in 2026-01");
    if (!form.files.length) throw new Error("The signed form is missing: choose its scan");
    const body = { scopes: chosen, given_on: given.value, form_version: version.value.trim(), document_sha256: await hashForm(form.files[0]), guardian: guardian.box.checked };
    return shared.value.trim() ? { ...body, shared_form: shared.value.trim() } : body;
  };
  return { element, read };
}

function formDialog(label, fill) {
  return asking(label, (close) => {
    const problem = el("p", { class: "stop", role: "alert", hidden: true });
    const say = (message) => {
      text(problem, message);
      show(problem, message);
    };
    return fill(close, problem, say);
  });
}

function told(app, answer) {
  for (const one of answer.told ?? []) app.toast(one, "look");
  if (answer.eyes_in?.length) app.toast(`Its eyes are to be seen in ${answer.eyes_in.join(", ")}: build the next version, and tell those who hold these`, "look");
}

/** Record a consent of a subject; true when it was. */
export function recordConsent(app, subject) {
  return formDialog(`Record a consent of ${subject}`, (close, problem, say) => {
    const fields = consentFields();
    const send = async (event) => {
      event.preventDefault();
      say("");
      try {
        const body = await fields.read();
        told(app, await app.api.post(`/api/subjects/${encodeURIComponent(subject)}/consents`, body));
        app.toast(`${subject} consents: recorded`, "good");
        close(true);
      } catch (error) {
        say(error.message);
      }
    };
    return [
      el("h2", {}, `Record a consent of ${subject}`),
      el("p", { class: "faint" }, "It is written into the audit log under your name and is never changed: who thinks again withdraws."),
      el("form", { class: "stacked", onsubmit: send, novalidate: true }, fields.element, problem, buttons("Record", close)),
    ];
  });
}

/** Add a subject; its code, or undefined. manager: whether a consent may be recorded with it. */
export function addSubject(app, manager) {
  return formDialog("New subject", (close, problem, say) => {
    const age = el("input", { type: "number", min: 0, max: 120, inputmode: "numeric" });
    const gender = el("select", {}, [["", "not said"], ["female", "female"], ["male", "male"], ["other", "other"]].map(([value, name]) => el("option", { value }, name)));
    const signed = tick("The form is signed already: record it now");
    const fields = consentFields();
    show(fields.element, false);
    signed.box.addEventListener("change", () => show(fields.element, signed.box.checked));
    const send = async (event) => {
      event.preventDefault();
      say("");
      try {
        const body = {};
        if (age.value !== "") body.age = Number(age.value);
        if (gender.value) body.gender = gender.value;
        if (signed.box.checked) body.consent = await fields.read();
        const answer = await app.api.post(body.consent ? "/api/subjects/consenting" : "/api/subjects", body);
        told(app, answer);
        app.toast(`${answer.subject} is added`, "good");
        close(answer.subject);
      } catch (error) {
        say(error.message);
      }
    };
    return [
      el("h2", {}, "New subject"),
      el("p", { class: "faint" }, "It gets the next free code. Names are kept elsewhere, if at all. Age and gender are voluntary."),
      el(
        "form", { class: "stacked", onsubmit: send, novalidate: true },
        el("div", { class: "fields" }, field("Age, years", age), field("Gender", gender)),
        manager ? signed.row : el("p", { class: "faint" }, "A manager records the consent."),
        fields.element, problem, buttons("Add", close),
      ),
    ];
  });
}

function buttons(action, close) {
  return el("div", { class: "row" }, el("button", { class: "primary" }, action), el("button", { type: "button", onclick: () => close(undefined) }, "Cancel"));
}
