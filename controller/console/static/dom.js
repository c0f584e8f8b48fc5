// Building and patching of the page: text goes in as text, tiles are kept by their keys.

/** el("button", {class: "big", onclick: f, "aria-label": "Fire"}, "Fire"): an element. `false` and null children are left out. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/**
 * Make `container`'s children one for each item, in the items' order. A child that is there already is kept and updated,
 * so that focus, scroll and pictures stay. update(element, item) is called for each.
 */
export function keyed(container, items, keyOf, create, update) {
  const present = (container.keyedChildren ??= new Map());
  const wanted = new Set();
  let place = container.firstChild;
  for (const item of items) {
    const key = String(keyOf(item));
    wanted.add(key);
    let element = present.get(key);
    if (element === undefined) {
      element = create(item);
      present.set(key, element);
    }
    if (element === place) place = place.nextSibling;
    else container.insertBefore(element, place);
    update(element, item);
  }
  for (const [key, element] of present) {
    if (!wanted.has(key)) {
      element.remove();
      present.delete(key);
    }
  }
}

/** Set text only where it differs: nothing is painted for what stays. */
export function text(element, value) {
  const wanted = value === undefined || value === null ? "" : String(value);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Show or hide by the `hidden` attribute. */
export function show(element, shown) {
  if (element.hidden === Boolean(shown)) element.hidden = !shown;
}

/** Set an attribute only where it differs; undefined removes it. */
export function attribute(element, name, value) {
  if (value === undefined || value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
  } else if (element.getAttribute(name) !== String(value)) {
    element.setAttribute(name, String(value));
  }
}

/** The address of a thumbnail or a photograph by its hash; undefined without one. */
export const thumbnail = (hash) => (hash ? `/pictures/thumbnails/${hash}.jpg` : undefined);
export const photograph = (hash) => (hash ? `/pictures/photographs/${hash}.jpg` : undefined);

/** 1.234 as "1.23"; "–" for what is not known. */
export const figure = (value, digits = 2, unit = "") =>
  value === undefined || value === null ? "–" : `${value.toFixed(digits)}${unit}`;
