"use strict";
// Galleries that can be filtered and ordered, and tables that can be sorted. Without this script the page
// shows the same, in the order in which it was written.
(() => {
  const STEP = 24;
  const announcements = document.getElementById("announcements");

  for (const gallery of document.querySelectorAll(".gallery.filterable")) {
    const list = gallery.querySelector("ul");
    const items = [...list.children];
    const count = gallery.querySelector(".count");
    const more = gallery.querySelector(".more");
    const filters = [...gallery.querySelectorAll("select[data-filter]")];
    const order = gallery.querySelector("select[data-order]");
    let limit = STEP;

    const matches = (item) =>
      filters.every((filter) => !filter.value || item.dataset[filter.dataset.filter] === filter.value);

    function show() {
      const sign = order.value === "rising" ? 1 : -1;
      const found = items
        .filter(matches)
        .sort((a, b) => sign * (a.dataset.confidence - b.dataset.confidence));
      for (const item of items) item.hidden = true;
      found.forEach((item, place) => { item.hidden = place >= limit; });
      list.append(...found);
      const shown = Math.min(limit, found.length);
      count.textContent = found.length
        ? `${shown} of ${found.length} images shown`
        : "No image of these classes";
      more.hidden = shown === found.length;
    }

    function restart() { limit = STEP; show(); }
    for (const control of [...filters, order]) {
      control.autocomplete = "off";
      control.addEventListener("change", restart);
    }
    more.firstElementChild.addEventListener("click", () => {
      const next = [...list.children].find((item) => item.hidden);
      limit += STEP;
      show();
      if (more.hidden && next) { next.tabIndex = -1; next.focus(); }  // the button that had it is gone
    });
    gallery.querySelector(".scripted").hidden = false;
    const region = gallery.querySelector(".list");
    region.removeAttribute("tabindex");
    region.removeAttribute("role");
    region.removeAttribute("aria-label");
    gallery.classList.add("live");
    show();
  }

  const SCALES = { thousand: 1e3, million: 1e6, billion: 1e9 };

  function number(text) {
    const found = text.replaceAll(",", "").replace("\u2212", "-").match(/[-+]?\d*\.?\d+(e[-+]?\d+)?/i);
    if (!found) return NaN;
    const scale = Object.keys(SCALES).find((word) => text.includes(word));
    return Number(found[0]) * (scale ? SCALES[scale] : 1);
  }

  // Cells without a number (a dash, an empty one) go last, whatever the order.
  function compare(a, b, numeric, sign) {
    if (!numeric) return sign * a.localeCompare(b, "en", { numeric: true });
    const [x, y] = [number(a), number(b)];
    if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
    return sign * (x - y);
  }

  // A row with a line above it begins another group (a sum, the references): rows stay in their group.
  function groups(body) {
    const found = [];
    for (const row of body.rows) {
      if (!found.length || row.classList.contains("separated")) found.push([]);
      found[found.length - 1].push(row);
    }
    return found;
  }

  for (const table of document.querySelectorAll("table")) {
    const body = table.tBodies[0];
    const parts = groups(body);
    if (!parts.some((rows) => rows.length > 2)) continue;
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        const rising = before ? before === "descending" : !numeric;
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        for (const rows of parts) {
          const separated = rows[0].classList.contains("separated");
          const cell = (row) => row.cells[column].textContent.trim();
          const sorted = [...rows].sort((a, b) => compare(cell(a), cell(b), numeric, rising ? 1 : -1));
          for (const row of rows) row.classList.remove("separated");
          if (separated) sorted[0].classList.add("separated");
          body.append(...sorted);
        }
        announcements.textContent =
          `Sorted by ${button.textContent.trim()}, ${rising ? "rising" : "falling"}`;
      });
    });
  }
})();
