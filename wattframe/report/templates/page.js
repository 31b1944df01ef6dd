"use strict";
// sorting: a click on a heading; values that are not known stay last
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.ariaSort !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.ariaSort = null;
      head.ariaSort = up ? "ascending" : "descending";
      const key = (row) => {
        const cell = row.cells[column];
        const value = cell.dataset.value ?? (cell.querySelector(".strong") ?? cell).textContent.replace(/[\u202f%+ ]/g, "");
        return value === "" || value === "\u2013" ? null : Number.isNaN(Number(value)) ? cell.textContent : Number(value);
      };
      const order = (a, b) => (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
      body.append(...[...body.rows].sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === null || right === null) return (left === null) - (right === null);
        return up ? order(left, right) : order(right, left);
      }));
    });
  });
}
// hints: what a mark stands for, on pointing, on touch and by the keyboard
const hint = document.createElement("div");
hint.className = "hint-box";
hint.hidden = true;
document.body.append(hint);
const show = (mark) => {
  const place = mark.getBoundingClientRect();
  hint.textContent = mark.dataset.hint;
  hint.hidden = false;
  const left = place.left + place.width / 2 - hint.offsetWidth / 2;
  hint.style.left = `${Math.max(4, Math.min(left, document.documentElement.clientWidth - hint.offsetWidth - 4)) + scrollX}px`;
  const above = place.top - hint.offsetHeight - 6;
  hint.style.top = `${(above > 4 ? above : Math.min(place.bottom, innerHeight - 60) + 6) + scrollY}px`;
};
for (const mark of document.querySelectorAll("svg .hint")) {
  mark.querySelector("title").remove();
  mark.setAttribute("tabindex", "0");
  mark.setAttribute("role", "img");
  mark.setAttribute("aria-label", mark.dataset.hint);
  for (const event of ["pointerenter", "focus", "click"]) mark.addEventListener(event, () => show(mark));
  for (const event of ["pointerleave", "blur"]) mark.addEventListener(event, () => { hint.hidden = true; });
}
// copying needs a page that the browser trusts, which a file is
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
    });
  }
}
