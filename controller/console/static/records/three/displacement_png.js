// Displacement maps: 16-bit grey PNG, height_mm = (value - midpoint) / midpoint * scale_mm, with a mask of what was measured.
// A canvas would keep 8 of the 16 bits, which is less than the height of a pore.

/** {heights: Float32Array, valid: Uint8Array, size}; rows from the top. Throws for what is no such map. */
export async function readDisplacement(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x89504e47) throw new Error("not a PNG");
  const texts = {};
  const packed = [];
  let width = 0, height = 0;
  for (let at = 8; at + 8 <= view.byteLength; ) {
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...new Uint8Array(buffer, at + 4, 4));
    const bytes = new Uint8Array(buffer, at + 8, length);
    if (kind === "IHDR") {
      width = view.getUint32(at + 8);
      height = view.getUint32(at + 12);
      if (bytes[8] !== 16 || bytes[9] !== 0 || bytes[12] !== 0) throw new Error("not a 16-bit grey PNG");
    } else if (kind === "IDAT") packed.push(bytes);
    else if (kind === "tEXt" || kind === "zTXt") {
      const end = bytes.indexOf(0);
      const name = String.fromCharCode(...bytes.subarray(0, end));
      const value = kind === "tEXt" ? bytes.subarray(end + 1) : await inflate([bytes.subarray(end + 2)]);
      texts[name] = new TextDecoder("latin1").decode(value);
    }
    at += 12 + length;
  }
  const heights = unfilter(await inflate(packed), width, height, Number(texts.midpoint ?? 32768), Number(texts.scale_mm ?? 5));
  return { heights, valid: await mask(texts.valid_mask, width * height), size: width };
}

async function inflate(parts) {
  return new Uint8Array(await new Response(new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

function unfilter(raw, width, height, midpoint, scale) {
  const stride = width * 2;
  const heights = new Float32Array(width * height);
  const row = new Uint8Array(stride);
  const above = new Uint8Array(stride);
  for (let y = 0, at = 0; y < height; y += 1) {
    const filter = raw[at];
    at += 1;
    for (let x = 0; x < stride; x += 1) {
      const left = x >= 2 ? row[x - 2] : 0;
      const up = above[x];
      const corner = x >= 2 ? above[x - 2] : 0;
      let add = 0;
      if (filter === 1) add = left;
      else if (filter === 2) add = up;
      else if (filter === 3) add = (left + up) >> 1;
      else if (filter === 4) add = paeth(left, up, corner);
      row[x] = raw[at + x] + add;
    }
    at += stride;
    for (let x = 0; x < width; x += 1) heights[y * width + x] = (((row[2 * x] << 8) | row[2 * x + 1]) - midpoint) / midpoint * scale;
    above.set(row);
  }
  return heights;
}

function paeth(left, up, corner) {
  const guess = left + up - corner;
  const [a, b, c] = [Math.abs(guess - left), Math.abs(guess - up), Math.abs(guess - corner)];
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

async function mask(text, count) {
  const valid = new Uint8Array(count).fill(1);
  if (!text) return valid;
  const bits = await inflate([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  for (let i = 0; i < count; i += 1) valid[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
  return valid;
}
