// What is done with the cameras that are selected: each act says, camera by camera, what came of it.

import { el } from "/static/dom.js";
import { askAside } from "/static/cameras/aside_dialog.js";

const STEP_WAIT_S = 10;

/** Whether all that was photographed of a job is here and was looked at; then its pictures can be had. */
export function settled(job) {
  const { fired = [], in: here = [], lacking = {} } = job.pose ?? {};
  return job.state !== "running" && !job.looking && fired.every((camera) => here.includes(camera) || camera in lacking);
}

/** acts(app, log): the acts by name. Each takes the names of cameras. log(camera, text, tone): a line for the operator. */
export function acts(app, log) {
  const path = (camera, what) => `/api/rig/cameras/${encodeURIComponent(camera)}/${what}`;

  /** Ask for each camera at once; every answer and every refusal is a line. */
  async function each(cameras, doing, ask) {
    for (const camera of cameras) log(camera, `${doing} …`, "wait");
    await Promise.all(cameras.map(async (camera) => {
      try {
        log(camera, (await ask(camera)) ?? "done", "good");
      } catch (error) {
        log(camera, error.message, "stop");
      }
    }));
  }

  async function recoverOne(camera) {
    let answer = await app.api.post(path(camera, "recover"));
    let told = 0;
    for (;;) {
      for (const step of answer.steps.slice(told)) {
        const tone = step.outcome === "answers" ? "good" : step.outcome === "begun" ? "wait" : "look";
        log(camera, step.line, tone);
      }
      told = answer.steps.length;
      if (answer.done) break;
      answer = await app.api.get(`/api/rig/recoveries/${answer.recovery}?after=${told}&wait_s=${STEP_WAIT_S}`);
    }
    if (!answer.answers) throw new Error("it does not answer: look at its power and its cable, or set it aside");
    return answer.often || "recovered";
  }

  return {
    identify: (cameras) => each(cameras, "gives a sign", async (camera) => (await app.api.post(path(camera, "identify"))).told),

    async focus(cameras, drive = "auto", step = 1) {
      const words = drive === "auto" ? "focus by its autofocus" : `move its lens ${drive} by ${step}`;
      const whose = cameras.length === 1 ? cameras[0] : `${cameras.length} cameras`;
      if (drive === "auto" && !(await app.confirmed(`${whose}: ${words}?\nA lens that has moved is another camera to the calibration: photograph the board again afterwards.`, "Focus"))) return;
      await each(cameras, words, async (camera) => (await app.api.post(path(camera, "focus"), { drive, step })).told);
    },

    async aside(cameras) {
      const problems = cameras.flatMap((camera) => app.store.state.cameras[camera]?.problems ?? []);
      const given = await askAside(cameras, problems[0]?.slice(0, 200) ?? "", Boolean(app.store.state.session));
      if (given && (await app.attempt(() => app.api.post("/api/rig/aside", { cameras, ...given })))) {
        for (const camera of cameras) log(camera, `set aside: ${given.reason}`, "good");
      }
    },

    async back(cameras) {
      const aside = cameras.filter((camera) => app.store.state.cameras[camera]?.aside);
      if (!aside.length) return app.toast("None of these cameras is aside", "look");
      const answer = await app.attempt(() => app.api.post("/api/rig/back", { cameras: aside }));
      for (const camera of answer ? aside : []) {
        const problems = answer.problems[camera] ?? [];
        log(camera, problems.length ? `back, and not ready: ${problems.join("; ")}` : "back", problems.length ? "look" : "good");
      }
    },

    recover: (cameras) => each(cameras, "recovery", recoverOne),

    async writeOff(cameras) {
      for (const camera of cameras) {
        const reason = await app.asked(`Give up the photograph of ${camera} that has not come? What turns up later is kept as a stray. Why will it not come?`, "Write it off");
        if (reason) await each([camera], "write-off", async () => `the photograph of ${(await app.api.post(path(camera, "write-off"), { reason })).take} is written off`);
      }
    },

    /** A photograph that belongs to no take. shown(job): called as it comes in. */
    async shot(cameras, shown) {
      for (const camera of cameras) log(camera, "test shot …", "wait");
      let job = await app.attempt(() => app.api.post("/api/rig/shoot", { kind: "test", cameras }));
      const told = new Set();
      while (job) {
        for (const [camera, one] of Object.entries(job.cameras ?? {})) {
          const said = one.problem || (one.picture ? "photographed" : "");
          if (!said || told.has(camera)) continue;
          told.add(camera);
          log(camera, said, one.problem ? "stop" : "good");
        }
        shown(job);
        if (settled(job)) break;
        await new Promise((resolve) => setTimeout(resolve, 400));
        job = await app.attempt(() => app.api.get("/api/rig/shoot"));
      }
      if (job?.told) app.toast(job.told, job.state === "done" ? "good" : "stop");
    },
  };
}

/** The list of what was done, newest first; `line` adds to it. */
export class ActLog {
  #list = el("ul", {});
  root = el("div", { class: "act-log", role: "log", "aria-label": "What was done" }, this.#list);

  line(camera, said, tone) {
    const at = new Date().toLocaleTimeString([], { hour12: false });
    this.#list.prepend(el("li", { data: { tone, camera } }, el("time", {}, at), " ", el("strong", {}, camera), " ", el("span", {}, said)));
    while (this.#list.children.length > 60) this.#list.lastChild.remove();
  }
}
