// Accounts: one's own for everybody, all of them for managers.

import { call, doing } from "/static/account/call.js";
import { make, possible } from "/static/account/passkeys.js";
import { el, keyed, show, text } from "/static/dom.js";

const $ = (id) => document.getElementById(id);
const ROLES = ["viewer", "operator", "manager"];
const role = document.body.dataset.role;
const told = $("told");
// Links are for other devices: from the studio's own computer they lead to its address in the network, where it has one.
const network = document.body.dataset.network;
const origin = network && location.protocol === "http:" ? `https://${network}:${location.port}` : location.origin;

function said(words) {
  told.textContent = words;
  told.dataset.tone = "good";
}

function showLink(link, whose) {
  $("new-link-for").textContent = `${whose} It works once:`;
  $("new-link-text").value = origin + link;
  show($("new-link"), true);
  $("new-link-text").focus();
  $("new-link-text").select();
}

function day(at) {
  return at ? new Date(at).toLocaleDateString() : "never";
}

async function paintOwn() {
  const { account } = await call("/api/me");
  show($("own"), account);
  if (!account) return;
  show($("add-passkey"), possible());
  keyed($("passkeys"), account.passkeys, (key) => key.number, (key) => el("li", { class: "row" },
    el("span", {}, `${key.label}, for ${key.host}`), el("span", { class: "faint" }, `used last: ${day(key.last_used_at)}`),
    el("button", { type: "button", "aria-label": `Remove ${key.label}`, onclick: (event) => doing(event.currentTarget, told, async () => {
      await call(`/api/me/passkeys/${key.number}/remove`, {});
      await paintOwn();
    }) }, "Remove")), () => {});
}

function makeRow(account) {
  const act = (label, path, then) => el("button", { type: "button", data: { act: label }, onclick: (event) => doing(event.currentTarget, told, async () => {
    const done = await call(`/api/accounts/${encodeURIComponent(account.name)}/${path}`, {});
    if (then) then(done);
    else await paintAll();
  }) }, label);
  const choice = el("select", { "aria-label": `Role of ${account.name}`, onchange: (event) => doing(event.currentTarget, told, async () => {
    try {
      await call(`/api/accounts/${encodeURIComponent(account.name)}/role`, { role: choice.value });
    } finally {
      await paintAll();
    }
  }) }, ROLES.map((one) => el("option", { value: one }, one)));
  return el("tr", {}, el("th", { scope: "row" }, account.name), el("td", {}, choice), el("td", { class: "ways" }), el("td", { class: "standing" }),
    el("td", { class: "row" },
      act("Make a link", "link", (done) => showLink(done.link, `For ${account.name}, to choose a new password.`)),
      act("Sign out everywhere", "sign-out", (done) => said(`${account.name} was signed out of ${done.ended} browsers`)),
      act("Disable", "disable"), act("Enable", "enable")));
}

function paintRow(row, account) {
  row.querySelector("select").value = account.role;
  row.querySelector("select").disabled = account.disabled;
  const ways = [account.password && "a password", account.passkeys.length && (account.passkeys.length === 1 ? "a passkey" : `${account.passkeys.length} passkeys`)];
  text(row.querySelector(".ways"), ways.filter(Boolean).join(" and ") || "nothing yet: the link is open");
  text(row.querySelector(".standing"), account.disabled ? "disabled" : "may come in");
  for (const button of row.querySelectorAll("button")) show(button, button.dataset.act === "Enable" ? account.disabled : !account.disabled);
}

async function paintAll() {
  if (role !== "manager") return;
  const { accounts } = await call("/api/accounts");
  show($("all"), true);
  keyed($("accounts"), accounts, (account) => account.name, makeRow, paintRow);
}

function onSubmit(id, what) {
  $(id).addEventListener("submit", (event) => {
    event.preventDefault();
    doing($(id).querySelector("button"), told, what);
  });
}

onSubmit("add-passkey", async () => {
  const credential = await make(await call("/api/me/passkeys/ask", {}));
  await call("/api/me/passkeys", { credential, label: $("label").value });
  $("label").value = "";
  said("The passkey is kept");
  await paintOwn();
  await paintAll();
});
onSubmit("change-password", async () => {
  await call("/api/me/password", { former: $("former").value, wanted: $("wanted").value });
  location.reload(); // under the new session
});
onSubmit("add-account", async () => {
  const name = $("new-name").value.trim().toLowerCase();
  showLink((await call("/api/accounts", { name, role: $("new-role").value })).link, `For ${name}, to choose a password.`);
  $("new-name").value = "";
  await paintAll();
});
$("screen-link").addEventListener("click", (event) => doing(event.currentTarget, told, async () => showLink((await call("/api/me/screen", {})).link, "For the subject's screen.")));
$("copy").addEventListener("click", () => {
  $("new-link-text").select();
  navigator.clipboard?.writeText($("new-link-text").value).then(() => said("Copied"), () => {});
});
$("sign-out").addEventListener("click", (event) => doing(event.currentTarget, told, async () => {
  await call("/api/me/sign-out", {});
  location.replace("/sign-in");
}));

show($("screens"), role !== "viewer");
try {
  await paintOwn();
  await paintAll();
} catch (error) {
  told.textContent = error.message;
}
document.body.dataset.ready = "yes";
