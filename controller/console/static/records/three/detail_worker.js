// Reads displacement maps beside the page, and makes them as small as they are drawn: heights as half floats, rows from below.

import { DataUtils } from "/static/vendor/three/three.module.js";
import { readDisplacement } from "/static/records/three/displacement_png.js";

self.onmessage = async ({ data: { id, address, size } }) => {
  try {
    const answer = await fetch(address, { credentials: "same-origin" });
    if (!answer.ok) throw Object.assign(new Error(`the studio answered ${answer.status}`), { status: answer.status });
    const map = await readDisplacement(await answer.arrayBuffer());
    const heights = reduced(map, size);
    self.postMessage({ id, heights }, [heights.buffer]);
  } catch (error) {
    self.postMessage({ id, problem: error.message, status: error.status });
  }
};

/** (size x size), each the mean of what it covers. */
function reduced({ heights, size: from }, size) {
  const out = new Uint16Array(size * size);
  const step = from / size;
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      let sum = 0, count = 0;
      for (let j = Math.floor(y * step); j < Math.max(Math.floor(y * step) + 1, Math.floor((y + 1) * step)); j += 1) {
        for (let i = Math.floor(x * step); i < Math.max(Math.floor(x * step) + 1, Math.floor((x + 1) * step)); i += 1) {
          sum += heights[Math.min(j, from - 1) * from + Math.min(i, from - 1)];
          count += 1;
        }
      }
      out[(size - 1 - y) * size + x] = DataUtils.toHalfFloat(sum / count);
    }
  }
  return out;
}
