// While the console is open: a session that has ended leads to the sign-in, and somebody at the page keeps it alive.

import { call } from "/static/account/call.js";

const ACTIVE_EVERY_MS = 300000;
const LOOK_EVERY_MS = 3000;

/** store: whose connection is watched; a studio that is away is no reason to sign in again. */
export function keepSignedIn(store) {
  let told = performance.now();
  const active = () => {
    if (!store.connected || performance.now() - told < ACTIVE_EVERY_MS) return;
    told = performance.now();
    call("/api/me/active", {}).catch(() => {});
  };
  for (const event of ["keydown", "pointerdown"]) document.addEventListener(event, active, { passive: true });
  setInterval(async () => {
    if (store.connected) return;
    const standing = await fetch("/sign-in/standing", { credentials: "same-origin" }).then((answer) => answer.json()).catch(() => undefined);
    if (standing && !standing.signed_in) location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.hash)}`);
  }, LOOK_EVERY_MS);
}
