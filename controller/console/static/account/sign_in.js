// Signing in: by name and password, or by a passkey.

import { after, call, doing } from "/static/account/call.js";
import { possible, sign } from "/static/account/passkeys.js";

const $ = (id) => document.getElementById(id);

$("password-form").addEventListener("submit", (event) => {
  event.preventDefault();
  doing($("enter"), $("told"), async () => {
    try {
      await call("/sign-in/password", { name: $("name").value, password: $("password").value });
    } catch (error) {
      $("password").value = "";
      $("password").focus();
      throw error;
    }
    location.replace(after());
  });
});

$("passkey").hidden = !possible();
$("passkey").addEventListener("click", () => doing($("passkey"), $("told"), async () => {
  await call("/sign-in/passkey", { credential: await sign(await call("/sign-in/passkey/ask", {})) });
  location.replace(after());
}));

// A browser that came by a link from elsewhere kept its cookie back, though it is signed in.
if (document.referrer === "" || new URL(document.referrer).origin !== location.origin) {
  const me = await fetch("/sign-in/standing", { credentials: "same-origin" }).then((answer) => answer.json()).catch(() => ({}));
  if (me.signed_in) location.replace(after());
}
document.body.dataset.ready = "yes";
