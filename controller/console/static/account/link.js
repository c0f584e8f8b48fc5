// A link that works once: the first account, a new password, or the subject's screen.

import { call, doing } from "/static/account/call.js";

const $ = (id) => document.getElementById(id);
const token = location.hash.slice(1);
history.replaceState(null, "", location.pathname); // it opens something: nobody reads it over a shoulder, or in the history

const TITLES = { first: "The first account of this studio", account: "Welcome", screen: "The subject's screen" };

try {
  if (!token) throw new Error("This address is only half a link: copy all of it, with what stands after the #");
  const link = await call("/sign-in/link/look", { token });
  $("title").textContent = TITLES[link.kind];
  const form = link.kind === "screen" ? $("screen") : $("person");
  form.hidden = false;
  if (link.name) {
    $("name").value = link.name;
    $("name").readOnly = true;
    $("title").textContent = `Welcome, ${link.name}`;
  }
  form.querySelector("input:not([readonly]), button").focus();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    doing(form.querySelector("button"), $("told"), async () => {
      if (link.kind !== "screen" && $("password").value !== $("again").value) throw new Error("The two passwords differ");
      const given = link.kind === "screen" ? {} : { name: $("name").value, password: $("password").value };
      await call("/sign-in/link", { token, ...given });
      location.replace(link.kind === "screen" ? "/subject" : "/");
    });
  });
} catch (error) {
  $("told").textContent = error.message;
}
document.body.dataset.ready = "yes";
