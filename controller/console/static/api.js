// Calls to the studio's API: the one that the commands use. Each command goes out once: nothing is sent again by itself.

export class ApiError extends Error {
  constructor(message, status, exitCode) {
    super(message);
    this.status = status;
    this.exitCode = exitCode;
  }
}

/** This page among others: who holds the trigger is known by it. It lasts as long as its tab. */
export const consoleId = (() => {
  const kept = sessionStorage.getItem("mien-console");
  if (kept) return kept;
  const made = crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
  sessionStorage.setItem("mien-console", made);
  return made;
})();

const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export class Api {
  /** now: the time by the server's clock, ms. alive: whether the server is heard; without it nothing is sent. */
  constructor(now, alive) {
    this.now = now;
    this.alive = alive;
  }

  get(path) {
    return this.#call("GET", path);
  }

  /** Raises ApiError; also, at once, while the connection is lost. */
  post(path, body = {}) {
    if (!this.alive()) throw new ApiError("The studio does not answer: nothing was sent", 0, 3);
    return this.#call("POST", path, body);
  }

  async #call(method, path, body) {
    const headers = { "X-Console": consoleId };
    if (body !== undefined) {
      headers["Content-Type"] = "application/json";
      headers["X-CSRF-Token"] = csrf;
      headers["Idempotency-Key"] = crypto.randomUUID ? crypto.randomUUID() : `${consoleId}-${performance.now()}`;
      headers["X-Issued-At"] = String(Math.round(this.now()));
    }
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin" });
    } catch (error) {
      throw new ApiError(`The studio did not answer (${error.message}): look whether it was done`, 0, 3);
    }
    const data = await answer.json().catch(() => ({}));
    if (answer.status === 401) location.assign("/sign-in");
    if (!answer.ok) {
      const told = data.error ?? (typeof data.detail === "string" ? data.detail : JSON.stringify(data.detail ?? ""));
      throw new ApiError(told || `the studio answered ${answer.status}`, answer.status, data.exit_code);
    }
    return data;
  }
}
