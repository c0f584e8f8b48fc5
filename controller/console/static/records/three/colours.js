// One scale for heights and distances: blue below, pale at nought, red above; grey where nothing was measured.

const STOPS = [[33, 102, 172], [103, 169, 207], [209, 229, 240], [247, 247, 247], [253, 219, 199], [239, 138, 98], [178, 24, 43]];
export const NOTHING = [92, 98, 104];

/** sRGB, 0 to 255, of a value on a scale from -most to most. */
export function colourOf(value, most) {
  if (!Number.isFinite(value)) return NOTHING;
  const place = ((Math.max(-1, Math.min(1, value / most)) + 1) / 2) * (STOPS.length - 1);
  const at = Math.min(STOPS.length - 2, Math.floor(place));
  return STOPS[at].map((from, i) => from + (STOPS[at + 1][i] - from) * (place - at));
}

const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
/** The same as linear light, 0 to 1. */
export const linearColourOf = (value, most) => colourOf(value, most).map((part) => linear(part / 255));
