// Pictures of the protocol's expressions on the built-in head; a protocol of a studio's own has none, and is told in words.

export const EXAMPLES = new Set([
  "neutral", "smile", "mouth_stretch", "anger", "jaw_left", "jaw_right", "jaw_forward", "mouth_left", "mouth_right", "dimpler", "chin_raiser",
  "lip_puckerer", "lip_funneler", "sadness", "lip_roll", "grin", "cheek_blowing", "eye_closed", "brow_raiser", "brow_lower",
]);

export const exampleOf = (name) => `/static/expressions/${name}.jpg`;
