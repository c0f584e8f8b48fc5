// NumPy's .npz: a zip of .npy arrays, stored or deflated.

const END = 0x06054b50, ENTRY = 0x02014b50;
const TYPES = {
  "<f8": Float64Array, "<f4": Float32Array, "<i4": Int32Array, "<u4": Uint32Array, "<i2": Int16Array, "<u2": Uint16Array,
  "|i1": Int8Array, "|u1": Uint8Array, "|b1": Uint8Array, "<i8": BigInt64Array,
};

/** The arrays of a file's bytes by name: {data, shape}, of a text {text}; those of other kinds are left out. */
export async function readNpz(buffer, names) {
  const view = new DataView(buffer);
  const found = {};
  for (const entry of entries(view)) {
    const name = entry.name.replace(/\.npy$/, "");
    if (names && !names.includes(name)) continue;
    const array = readNpy(await content(buffer, view, entry));
    if (array) found[name] = array;
  }
  return found;
}

function entries(view) {
  let end = view.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== END) end -= 1;
  if (end < 0) throw new Error("not a zip");
  const found = [];
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left -= 1) {
    if (view.getUint32(at, true) !== ENTRY) throw new Error("damaged zip");
    const [name, extra, comment] = [28, 30, 32].map((offset) => view.getUint16(at + offset, true));
    found.push({
      method: view.getUint16(at + 10, true), bytes: view.getUint32(at + 20, true), start: view.getUint32(at + 42, true),
      name: new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, name)),
    });
    at += 46 + name + extra + comment;
  }
  return found;
}

async function content(buffer, view, entry) {
  const start = entry.start + 30 + view.getUint16(entry.start + 26, true) + view.getUint16(entry.start + 28, true);
  const packed = buffer.slice(start, start + entry.bytes);
  if (entry.method === 0) return packed;
  if (entry.method !== 8) throw new Error(`a zip of method ${entry.method}`);
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).arrayBuffer();
}

function readNpy(buffer) {
  const view = new DataView(buffer);
  const long = view.getUint8(6) > 1;
  const head = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const start = (long ? 12 : 10) + head;
  const text = new TextDecoder("latin1").decode(new Uint8Array(buffer, long ? 12 : 10, head));
  const letters = /'descr':\s*'<U(\d+)'/.exec(text);
  if (letters) {
    let words = "";
    for (const code of new Uint32Array(buffer.slice(start, start + 4 * Number(letters[1])))) if (code) words += String.fromCodePoint(code);
    return { text: words };
  }
  const type = TYPES[/'descr':\s*'([^']+)'/.exec(text)?.[1]];
  const shape = (/'shape':\s*\(([^)]*)\)/.exec(text)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number);
  if (!type || /'fortran_order':\s*True/.test(text)) return undefined;
  const data = new type(buffer.slice(start));
  return { data: type === BigInt64Array ? Int32Array.from(data, Number) : data, shape };
}
