// The state of the studio as this page knows it: a snapshot at every connect, then changes (RFC 7396 merge patches).

const LOST_AFTER_MS = 3500; // the server says something each second

/** apply(state, patch): a merge patch. Objects that a patch does not touch stay the same objects. */
export function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merge(result[key], value);
  }
  return result;
}

export class Store {
  state = {};
  revision = -1;
  connected = false;
  #heard = performance.now();
  #serverAhead = 0; // the server's clock less this page's, ms
  #listeners = new Set();
  #changed = new Set();
  #scheduled = false;
  #source = null;

  /** address: of the stream. connection: called with true or false when contact is made or lost. */
  constructor(address, connection) {
    this.address = address;
    this.connection = connection;
    this.#connect();
    setInterval(() => this.#watch(), 250);
  }

  /** How old what is shown may be: since the server was heard last, ms. */
  age_ms() {
    return performance.now() - this.#heard;
  }

  /** Now by the server's clock, ms since the epoch. */
  serverNow() {
    return Date.now() + this.#serverAhead;
  }

  /** fn(state, changed): at most once a frame, with the set of top-level keys that changed. Called once at once. */
  subscribe(fn) {
    this.#listeners.add(fn);
    fn(this.state, new Set(Object.keys(this.state)));
    return () => this.#listeners.delete(fn);
  }

  #connect() {
    this.#source?.close();
    const source = new EventSource(this.address);
    this.#source = source;
    source.addEventListener("snapshot", (event) => {
      const { revision, state, at } = JSON.parse(event.data);
      const keys = new Set([...Object.keys(this.state), ...Object.keys(state)]);
      this.state = state;
      this.revision = revision;
      if (at) this.#serverAhead = at - Date.now();
      this.#hear();
      this.#tell(keys);
    });
    source.addEventListener("change", (event) => {
      const { revision, patch } = JSON.parse(event.data);
      this.state = merge(this.state, patch);
      this.revision = revision;
      this.#hear();
      this.#tell(Object.keys(patch));
    });
    source.addEventListener("beat", () => this.#hear());
    // A browser tries again by itself unless the answer was final (signed out, or the studio is starting): then we do.
    source.addEventListener("error", () => {
      if (source.readyState === EventSource.CLOSED && source === this.#source) {
        setTimeout(() => source === this.#source && this.#connect(), 1000);
      }
    });
  }

  #hear() {
    this.#heard = performance.now();
    if (!this.connected) {
      this.connected = true;
      this.connection(true);
    }
  }

  #watch() {
    if (this.connected && this.age_ms() > LOST_AFTER_MS) {
      this.connected = false;
      this.connection(false);
      this.#connect(); // a connection that is silent may be half dead
    } else if (!this.connected && this.age_ms() > LOST_AFTER_MS && this.#source.readyState === EventSource.CLOSED) {
      this.#connect();
    }
  }

  #tell(keys) {
    for (const key of keys) this.#changed.add(key);
    if (this.#scheduled) return;
    this.#scheduled = true;
    const tell = () => {
      if (!this.#scheduled) return;
      this.#scheduled = false;
      const changed = this.#changed;
      this.#changed = new Set();
      for (const listener of this.#listeners) listener(this.state, changed);
    };
    if (document.hidden) setTimeout(tell, 100); // no frames are drawn for a page in the background
    else requestAnimationFrame(tell);
  }
}
