// Photographs and checks of takes: those of the take that is told of come by the stream, those of others are asked for once.

export class TakePictures {
  #asked = new Map(); // code -> {key, pictures, review}

  /** changed: called when what was asked for has come. */
  constructor(api, changed) {
    this.api = api;
    this.changed = changed;
  }

  /** {pictures: camera -> {thumbnail, photograph}, review?, faults, phase?} of a take; empty while it is not known. */
  of(state, code) {
    if (!code || state.session?.consent?.standing === "withdrawn") return { pictures: {}, faults: {} };
    const take = state.take;
    if (take?.code === code) return { pictures: take.pictures ?? {}, review: take.review, faults: take.faults ?? {}, phase: take.phase };
    const line = state.session?.takes[code];
    const key = `${line?.state} ${line?.frames} ${line?.checks}`;
    const known = this.#asked.get(code);
    if (known?.key !== key) this.#ask(state.session.code, code, key, known);
    return { pictures: {}, faults: {}, ...this.#asked.get(code)?.found };
  }

  async #ask(session, code, key, before) {
    this.#asked.set(code, { key, found: before?.found ?? {} });
    try {
      const [photographs, checks] = await Promise.all([
        this.api.get(`/api/sessions/${session}/takes/${code}/photographs`),
        this.api.get(`/api/takes/${code}/checks`),
      ]);
      this.#asked.set(code, { key, found: { pictures: pictured(photographs.photographs), review: checks.review ?? undefined } });
      this.changed();
    } catch {
      this.#asked.delete(code); // asked for again when it is shown again
    }
  }
}

const pictured = (hashes) => Object.fromEntries(Object.entries(hashes).map(([name, hash]) => [name, { thumbnail: hash, photograph: hash }]));
