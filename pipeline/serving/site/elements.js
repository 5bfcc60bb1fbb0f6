/** Small things that every page needs: elements, numbers as people read them. */

/** An element with properties and children; strings become text, never markup. */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A share as a percentage; what is not quite 100 % or 0 % does not look like it. */
export function percent(share) {
  if (share < 0.0005 && share > 0) return "< 0.1 %";
  if (share > 0.9995 && share < 1) return "> 99.9 %";
  return `${(100 * share).toFixed(1)} %`;
}

/** Bytes as megabytes or kilobytes of 10^6 and 10^3. */
export function size(bytes) {
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
  return `${Math.max(1, Math.round(bytes / 1e3))} kB`;
}

export function plural(count, one, many) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}
