// Live view of one camera in a picture's place: asked for each second while it is looked at, a new frame when there is one.

const ASK_MS = 1000;
const FRAME_MS = 250;

export class LivePicture {
  #camera = undefined;
  #asked = 0;
  #frame = -1;
  #busy = false;

  /** image: an <img>. told(problem): why there is no frame, "" when there is one. ask: whether this page may ask for live view. */
  constructor(image, api, told, ask = true) {
    this.image = image;
    this.api = api;
    this.told = told;
    this.ask = ask;
    setInterval(() => this.#look(), FRAME_MS);
  }

  /** camera: whose, or undefined to end. */
  show(camera) {
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.#frame = -1;
    this.#asked = 0;
    this.image.hidden = true;
    this.image.removeAttribute("src");
  }

  async #look() {
    const camera = this.#camera;
    if (camera === undefined || this.#busy || document.hidden || this.image.parentElement?.offsetParent === null) return;
    this.#busy = true;
    try {
      const due = this.ask && performance.now() - this.#asked > ASK_MS;
      if (due) this.#asked = performance.now();
      const seen = due ? await this.api.post("/api/rig/view", { cameras: [camera], every_ms: 300 }) : await this.api.get("/api/rig/view");
      const found = seen.cameras.find((one) => one.camera === camera);
      if (camera !== this.#camera) return;
      const frame = found?.frame ?? -1;
      if (frame >= 0 && frame !== this.#frame) {
        this.#frame = frame;
        await this.#load(`/api/rig/cameras/${encodeURIComponent(camera)}/preview.jpg?frame=${frame}`, camera);
      }
      this.told(frame >= 0 ? "" : found?.problem || "live view comes up …");
    } catch (error) {
      if (camera === this.#camera) this.told(error.message);
    } finally {
      this.#busy = false;
    }
  }

  async #load(address, camera) {
    const next = new Image();
    next.src = address;
    await next.decode().catch(() => undefined);
    if (camera !== this.#camera || !next.naturalWidth) return;
    next.className = this.image.className;
    next.alt = this.image.alt;
    next.draggable = false;
    this.image.replaceWith(next); // itself, since a frame is not to be kept and would be asked for again
    this.image = next;
  }
}
