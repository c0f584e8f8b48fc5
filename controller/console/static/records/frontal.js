// The photograph that stands for a take: that of the camera which looks most straight at the face.

import { thumbnail } from "/static/dom.js";

/** take -> address of its thumbnail, or undefined; nothing of a subject who has withdrawn. */
export async function frontalPictures(app, session) {
  const answer = await app.attempt(() => app.api.get(`/api/sessions/${session}/pictures`));
  const pictures = answer?.pictures ?? {};
  return (take) => {
    const of = pictures[take] ?? {};
    const cameras = app.store.state.cameras ?? {};
    const names = Object.keys(of);
    const known = names.filter((name) => cameras[name]?.direction).sort((a, b) => cameras[a].direction[2] - cameras[b].direction[2]);
    return thumbnail(of[known[0] ?? names[Math.floor(names.length / 2)]]); // the middle one, where no calibration tells
  };
}
