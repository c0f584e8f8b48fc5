// One call to the studio, once; what it refuses is an Error with its words.

const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch {
    throw new Error("The studio does not answer");
  }
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return data;
  const told = data.error ?? (typeof data.detail === "string" ? data.detail : "");
  throw Object.assign(new Error(told || `The studio answered ${answer.status}`), { status: answer.status });
}

/** The page of this console to go to after the sign-in; never one of somebody else. */
export function after() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  const url = wanted.startsWith("/") ? new URL(wanted, location.origin) : new URL("/", location.origin);
  return url.origin === location.origin ? url.pathname + url.search + url.hash : "/";
}

/** Run what a form or a button asks for, and say what went wrong; its button is dead meanwhile. */
export async function doing(button, told, what) {
  if (button.disabled) return;
  button.disabled = true;
  told.textContent = "";
  delete told.dataset.tone;
  try {
    await what();
  } catch (error) {
    told.textContent = error.message;
  } finally {
    button.disabled = false;
  }
}
