// Lists of which only those rows are in the page that can be seen, and small helpers. Everything that is shown goes through textContent.
"use strict";

const rowHeight = 34;

// node makes an element; what is a string among the children becomes text.
function node(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

function draw(tag, attributes, text) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

const tag = (kind, text) => node("span", { class: "tag", "data-kind": kind }, text || kind);
const whole = new Intl.NumberFormat("en");

// duration writes milliseconds in three digits and one unit.
function duration(ms) {
  if (ms < 0) return "0 s";
  if (ms < 1) return (ms * 1000).toFixed(0) + " µs";
  if (ms < 1000) return +ms.toPrecision(3) + " ms";
  if (ms < 60e3) return +(ms / 1000).toPrecision(3) + " s";
  if (ms < 3600e3) return Math.floor(ms / 60e3) + " min";
  if (ms < 48 * 3600e3) return Math.floor(ms / 3600e3) + " h";
  return Math.floor(ms / 86400e3) + " d";
}

function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return (i ? n.toFixed(1) : n) + " " + units[i];
}

// set changes a text only if it is another one, so that nothing is laid out for nothing.
function set(id, text) {
  const e = document.getElementById(id);
  if (e.textContent !== text) e.textContent = text;
}

// cell puts content into an element if it is another one: what is clicked, or chosen as text, stays in place.
function cell(e, content) {
  const next = typeof content === "string" ? document.createTextNode(content) : content;
  if (e.childNodes.length !== 1 || !e.firstChild.isEqualNode(next)) e.replaceChildren(next);
}

// rows makes the rows of a table: [key, cells]. Rows and cells that there were are used again.
const keyed = new WeakMap();
function rows(body, all, classes = []) {
  const had = keyed.get(body) || new Map(), has = new Map();
  for (const [key, cells] of all) {
    const row = had.get(key) || node("tr", {}, ...cells.map((_, i) => node("td", classes[i] ? { class: classes[i] } : {})));
    cells.forEach((c, i) => cell(row.children[i], c));
    has.set(key, row);
  }
  keyed.set(body, has);
  const now = [...has.values()];
  if (now.length !== body.children.length || now.some((row, i) => row !== body.children[i])) body.replaceChildren(...now);
}

// List shows count() rows; cells(i) are the cells of one, or null while it is not known.
class List {
  constructor(id, heads, count, cells, open) {
    this.box = document.getElementById(id);
    this.count = count; this.cells = cells; this.open = open;
    this.chosen = -1;
    this.head = node("div", { class: "head", role: "row" }, ...heads.map((h) => node("span", { role: "columnheader" }, h)));
    this.space = node("div", { class: "space" });
    this.none = node("div", { class: "none", hidden: "" }, "nothing to show");
    this.box.append(this.head, this.space, this.none);
    this.box.addEventListener("scroll", () => this.later(), { passive: true });
    this.box.addEventListener("keydown", (e) => this.key(e));
    this.box.addEventListener("click", (e) => {
      const row = e.target.closest(".row");
      if (row) this.choose(+row.dataset.index, true);
    });
    new ResizeObserver(() => this.later()).observe(this.box);
    this.rows = new Map();
  }

  later() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.show(); });
  }

  show() {
    if (!this.box.clientHeight) return; // it cannot be seen
    const n = this.count();
    this.none.hidden = n > 0;
    this.space.style.height = n * rowHeight + "px";
    this.box.setAttribute("aria-rowcount", n);
    const first = Math.max(0, Math.floor(this.box.scrollTop / rowHeight) - 5);
    const last = Math.min(n, Math.ceil((this.box.scrollTop + this.box.clientHeight) / rowHeight) + 5);
    for (const [i, row] of this.rows) if (i < first || i >= last) { row.remove(); this.rows.delete(i); }
    for (let i = first; i < last; i++) {
      let row = this.rows.get(i);
      if (!row) {
        row = node("div", { class: "row", role: "row", "data-index": i, "aria-rowindex": i + 1 });
        row.style.top = (i + 1) * rowHeight + "px";
        this.rows.set(i, row);
        this.box.append(row);
      }
      const cells = this.cells(i);
      (cells || ["…"]).forEach((c, k) => {
        const place = row.children[k] || row.appendChild(node("span", { role: "gridcell" }));
        cell(place, c);
        place.title = typeof c === "string" ? c : c.title || "";
      });
      while (row.children.length > (cells || ["…"]).length) row.lastChild.remove();
      row.setAttribute("aria-selected", i === this.chosen);
    }
  }

  choose(i, open) {
    const n = this.count();
    if (!n) return;
    this.chosen = Math.max(0, Math.min(n - 1, i));
    const top = this.chosen * rowHeight, room = this.box.clientHeight - 2 * rowHeight;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top > this.box.scrollTop + room) this.box.scrollTop = top - room;
    this.show();
    if (open && this.open) this.open(this.chosen);
  }

  key(e) {
    const page = Math.max(1, Math.floor(this.box.clientHeight / rowHeight) - 2);
    const to = { ArrowDown: this.chosen + 1, j: this.chosen + 1, ArrowUp: this.chosen - 1, k: this.chosen - 1, Home: 0, End: this.count() - 1,
      PageDown: this.chosen + page, PageUp: this.chosen - page }[e.key];
    if (to !== undefined) { e.preventDefault(); this.choose(to, false); }
    if (e.key === "Enter" && this.chosen >= 0 && this.open) { e.preventDefault(); this.open(this.chosen); }
  }
}
