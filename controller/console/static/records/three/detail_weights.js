// Equations 7 and 8 of FaceScape (TPAMI 2023, section 4.3) over a rig's vertices, and what returns key expressions exactly.
// The farm's own are processing/animation/detail_equations.py and key_blend.py; a test holds these to those.

/** (U x V) how far each unit moves each vertex, of the farthest that it moves any. shapes: (V, 1 + U, 3), the neutral first. */
export function activations(shapes, vertices, units) {
  const out = new Float32Array(units * vertices);
  for (let unit = 0; unit < units; unit += 1) {
    let most = 0;
    for (let vertex = 0; vertex < vertices; vertex += 1) {
      const rest = 3 * vertex * (1 + units);
      const at = rest + 3 * (1 + unit);
      const moved = Math.hypot(shapes[at] - shapes[rest], shapes[at + 1] - shapes[rest + 1], shapes[at + 2] - shapes[rest + 2]);
      out[unit * vertices + vertex] = moved;
      if (moved > most) most = moved;
    }
    if (most > 0) for (let vertex = 0; vertex < vertices; vertex += 1) out[unit * vertices + vertex] /= most;
  }
  return out;
}

/**
 * M_1, M_2, ... of each vertex, `stride` numbers apart, the first one 0: M_0 = max(0, 1 - their sum) is the shader's.
 * keys: (E) of (U) weights, the neutral's first. share: what of them is taken.
 */
export function weightMasks(active, vertices, keys, weights, share, stride, out = new Float32Array(stride * vertices)) {
  out.fill(0);
  if (share <= 0) return out;
  weights.forEach((weight, unit) => {
    if (!weight) return;
    for (let key = 1; key < keys.length; key += 1) {
      const factor = weight * keys[key][unit];
      if (!factor) continue;
      for (let vertex = 0; vertex < vertices; vertex += 1) out[vertex * stride + key] += factor * active[unit * vertices + vertex];
    }
  });
  return out;
}

const apart = (a, b) => Math.sqrt(a.reduce((sum, value, unit) => sum + (value - b[unit]) ** 2, 0));
const SHAVED = 1 - 1e-9;

/** What of each key's map is added as it is, (E): a bump over the weights, 1 at the key's own and 0 from the nearest other on. */
export class KeyBlend {
  constructor(keys) {
    this.count = keys.length;
    this.bumps = []; // {centre, members, radius}
    keys.forEach((key, number) => {
      const same = this.bumps.find((bump) => bump.centre.every((value, unit) => value === key[unit]));
      if (!same) this.bumps.push({ centre: key, members: [number] });
      else if (same.members[0] !== 0) same.members.push(number); // beside the neutral's none has a say
    });
    for (const bump of this.bumps) {
      const others = this.bumps.filter((one) => one !== bump).map((one) => apart(one.centre, bump.centre));
      const nothing = Math.hypot(...bump.centre);
      if (nothing > 0) others.push(nothing);
      bump.radius = Math.min(Infinity, ...others) * SHAVED;
    }
  }

  shares(weights) {
    const near = this.bumps.map((bump) => {
      const left = Math.min(1, Math.max(0, 1 - apart(bump.centre, weights) / bump.radius));
      return left * left * (3 - 2 * left);
    });
    const total = Math.max(1, near.reduce((a, b) => a + b, 0));
    const out = new Float64Array(this.count);
    this.bumps.forEach((bump, k) => bump.members.forEach((number) => (out[number] += near[k] / total / bump.members.length)));
    return out;
  }
}
