// The dashboard: follows /v1/events and shows what they say.
"use strict";

const $ = (id) => document.getElementById(id);
const tables = { pools: new Map(), elements: new Map(), sides: new Map(), failovers: new Map(), drains: new Map(), registrations: new Map() };
const views = ["overview", "elements", "sessions", "failovers", "registrations"];
let view = "overview", summary = null, ahead = 0; // ahead: of the server's clock, in milliseconds
const now = () => Date.now() - ahead;

// --- Lists

let elements = [], failovers = [];
const has = (text, ...fields) => !text || fields.some((f) => String(f).toLowerCase().includes(text));

const elementList = new List("l-elements", ["Element", "Pool", "Address", "Health", "Sessions", "Load"], () => elements.length, (i) => {
  const e = elements[i];
  let load = "–";
  if (e.load !== null) {
    const fill = node("i", {});
    fill.style.width = Math.min(100, 100 * e.load) + "%";
    load = node("span", {}, node("span", { class: "load" }, fill), (100 * e.load).toFixed(1) + " %");
  }
  return [e.name, e.pool, e.address, state(e), whole.format(e.sessions), load];
}, (i) => openElement(elements[i]));

// state is an element's, for people: whether it is believed alive, and whether it is being drained.
function state(e) {
  const failed = e.failures > 1 ? `failed, ${e.failures} times` : "failed", both = node("span", {}, tag(e.alive ? "protected" : "ended", e.alive ? "alive" : failed));
  if (e.draining) both.append(" ", tag("moving", e.sessions ? "draining" : "drained"));
  return both;
}

const orders = { failed: (a, b) => b.failures - a.failures, sessions: (a, b) => b.sessions - a.sessions, load: (a, b) => (b.load ?? -1) - (a.load ?? -1) };

function filterElements() {
  const text = $("f-elements").value.trim().toLowerCase(), failed = $("f-failed").checked, draining = $("f-draining").checked;
  elements = [...tables.elements.values()].filter((e) => has(text, e.name, e.pool, e.address) && !(failed && e.alive) && !(draining && !e.draining));
  const order = orders[$("o-elements").value];
  if (order) elements.sort(order);
  const cut = summary && summary.elements > tables.elements.size ? `, of ${whole.format(summary.elements)} the first` : "";
  set("c-elements", `${whole.format(elements.length)} of ${whole.format(tables.elements.size)}${cut}`);
  elementList.later();
  updateElement();
}

// Sessions are asked for page by page, those that can be seen.
const pageSize = 100, pages = new Map();
let total = 0, asked = 0;

const sessionList = new List("l-sessions", ["Session", "Pool user", "Client", "Element", "Leg", "State", "Age", "From", "To", "Protection", "Reason"], () => total, (i) => {
  const p = Math.floor(i / pageSize);
  if (!pages.has(p)) fetchPage(p);
  const s = (pages.get(p) || [])[i % pageSize];
  return s ? [String(s.id), s.pool_user, s.client, s.element || "–", String(s.leg), s.leaves ? "leaving" : s.state, duration(now() - Date.parse(s.since)),
    bytes(s.from_client_bytes), bytes(s.to_client_bytes), tag(s.protection), s.stays ? `stays: ${s.stays}` : s.reason] : null;
});

async function fetchPage(p) {
  const number = asked;
  if (!pages.has(p)) pages.set(p, []);
  const query = new URLSearchParams({ offset: p * pageSize, limit: pageSize, protection: $("f-protection").value, find: $("f-sessions").value.trim() });
  try {
    const answer = await fetch("/v1/sessions?" + query);
    if (!answer.ok || number !== asked) return;
    const said = await answer.json();
    if (number !== asked) return;
    total = said.total;
    pages.set(p, said.sessions);
    set("c-sessions", `${whole.format(total)} of ${whole.format(summary ? summary.sessions : total)}`);
    sessionList.later();
  } catch { pages.delete(p); } // the events say that the connection is lost
}

// refreshSessions asks again for what is seen; the rest is forgotten.
function refreshSessions(anew) {
  if (view !== "sessions") return;
  if (anew) { asked++; pages.clear(); $("l-sessions").scrollTop = 0; }
  const top = Math.floor($("l-sessions").scrollTop / rowHeight / pageSize);
  for (const p of pages.keys()) if (p < top || p > top + 1) pages.delete(p);
  fetchPage(top);
  if (pages.has(top + 1)) fetchPage(top + 1);
}

const failoverList = new List("l-failovers", ["Time", "Kind", "Pool user", "Session", "From → to", "Cause", "Pause", "Steps"], () => failovers.length, (i) => {
  const f = failovers[i];
  return [new Date(f.time).toLocaleTimeString("en-GB"), tag(f.kind), f.pool_user, String(f.session), `${f.from || "–"} → ${f.to || "–"}`, f.cause,
    f.kind === "ended" ? "–" : duration(pause(f)), miniBar(f)];
}, (i) => openRecord(failovers[i]));

function filterFailovers() {
  const text = $("f-failovers").value.trim().toLowerCase();
  const chosen = failovers[failoverList.chosen];
  failovers = [...tables.failovers.values()].filter((f) => has(text, f.pool_user, f.from, f.to, f.cause, f.kind, f.session)).reverse();
  failoverList.chosen = chosen ? failovers.indexOf(chosen) : -1;
  set("c-failovers", `the last ${whole.format(tables.failovers.size)}`);
  failoverList.later();
}

function openRecord(f) {
  show("failovers");
  showRecord($("record"), f, () => { $("record").hidden = true; $("l-failovers").focus(); });
  failoverList.choose(failovers.indexOf(f), false);
}

// --- Overview

function showOverview() {
  const s = summary;
  if (!s) return;
  const share = s.sessions ? 100 * (s.protection.protected || 0) / s.sessions : 0;
  set("t-sessions", whole.format(s.sessions));
  set("t-protected", s.sessions ? +share.toFixed(1) + " %" : "–");
  set("t-protected-note", `${whole.format(s.sessions - (s.protection.protected || 0))} would not simply go on`);
  const all = [...tables.failovers.values()], paused = all.filter((f) => f.kind !== "ended").map(pause).sort((a, b) => a - b);
  set("t-pause", paused.length ? duration(paused[paused.length >> 1]) : "–");
  set("t-pause-note", `the last ${all.length} failovers, ${all.filter((f) => f.kind === "ended").length} ended`);
  set("about", `${s.version} · up ${duration(s.now - s.started)}`);
  set("n-sessions", whole.format(s.sessions));
  const kinds = ["protected", "degraded", "unprotected", "moving"];
  const stack = $("protection");
  if (!stack.children.length) stack.append(...kinds.map((k) => node("i", { "data-kind": k })));
  kinds.forEach((k, i) => {
    stack.children[i].style.flexGrow = s.protection[k] || 0;
    stack.children[i].hidden = !s.protection[k];
  });
  if (!$("legend").children.length) $("legend").append(...kinds.map((k) => node("li", { "data-kind": k }, node("button", { class: "link", title: "These sessions" }, k))));
  kinds.forEach((k, i) => cell($("legend").children[i].firstChild, `${k} ${whole.format(s.protection[k] || 0)}`));
  $("reasons").replaceChildren(...(s.reasons || []).map((r) => node("tr", {}, node("td", {}, r.protection ? tag(r.protection) : ""),
    node("td", {}, r.reason), node("td", { class: "n" }, whole.format(r.sessions)))));
  timeline($("timeline"), all, s.now, openRecord);
  updateElement();
}

function showPools() {
  const all = [...tables.pools.values()];
  $("pools").replaceChildren(...all.map((p) => {
    const up = node("i", { "data-kind": "protected" }), down = node("i", { "data-kind": "ended" });
    up.style.flexGrow = p.alive; down.style.flexGrow = p.elements - p.alive;
    up.hidden = !p.alive; down.hidden = p.alive === p.elements;
    const kind = p.alarm || !p.alive ? "ended" : p.problem || p.alive < p.elements ? "degraded" : "protected";
    const card = node("button", { class: "pool", "data-kind": kind }, node("strong", {}, p.handle), node("small", {}, `${p.policy} · ${p.mapping}${p.source ? " · " + p.source : ""}`),
      node("div", { class: "stack" }, up, down), node("small", {}, `${whole.format(p.alive)} of ${whole.format(p.elements)} alive · ${whole.format(p.sessions)} sessions${p.alarm ? " · source too old" : p.problem ? " · source fails" : ""}`));
    card.addEventListener("click", () => { $("f-elements").value = p.handle; show("elements"); filterElements(); });
    return card;
  }));
  const alive = all.reduce((n, p) => n + p.alive, 0), known = all.reduce((n, p) => n + p.elements, 0);
  set("t-elements", `${whole.format(alive)} / ${whole.format(known)}`);
  const alarms = all.filter((p) => p.alarm).length;
  set("t-elements-note", `in ${all.length === 1 ? "1 pool" : all.length + " pools"}${alarms === 1 ? ", 1 source is too old" : alarms ? `, ${alarms} sources are too old` : ""}`);
  set("n-elements", whole.format(known));
  $("sources").replaceChildren(...all.filter((p) => p.source).map((p) => node("tr", {}, node("td", {}, p.handle), node("td", {}, p.source),
    node("td", { class: "n" }, whole.format(p.elements)), node("td", { class: "n" }, p.age === null ? "never told" : duration(1000 * p.age)),
    node("td", {}, tag(p.alarm ? "ended" : p.problem ? "degraded" : "protected", p.alarm ? "too old" : p.problem ? "fails" : "ok"), " ", p.problem))));
}

function showSides() {
  const all = [...tables.sides.values()], users = all.filter((s) => s.side === "pool_user").length;
  rows($("sides"), all.map((s) => [s.side + "\0" + s.name, [s.side, s.name, s.listen, s.to, s.well ? s.what : tag("ended", s.what), whole.format(s.sessions),
    s.side === "pool_element" ? whole.format(s.held) : "–", s.side === "pool_element" ? drainButton(s.name, s.drained) : ""]]), ["", "", "", "", "", "n", "n", "n"]);
  set("t-sessions-note", users ? `at ${users === 1 ? "1 pool_user" : users + " pool_users"}` : "");
}

function showRegistrations() {
  const all = [...tables.registrations.values()], wrong = all.filter((r) => r.problem).length;
  set("n-registrations", all.length ? (wrong ? `${wrong} !` : String(all.length)) : "");
  $("enrolled").replaceChildren(...all.map((r) => node("tr", {}, node("td", {}, r.pool_element), node("td", {}, r.pool), node("td", {}, r.source),
    node("td", {}, r.name), node("td", {}, r.address), node("td", { class: "n" }, r.load === null ? "–" : (100 * r.load).toFixed(1) + " %"),
    node("td", {}, tag(r.state === "registered" && !r.problem ? "protected" : "degraded", r.state), ` for ${duration(now() - Date.parse(r.since))}${r.problem ? ": " + r.problem : ""}`))));
}

const changed = { drains: showDrains, pools: showPools, elements: filterElements, sides: showSides, registrations: showRegistrations,
  failovers: () => { filterFailovers(); set("n-failovers", tables.failovers.size ? String(tables.failovers.size) : ""); showOverview(); } };

// --- Events

const pending = new Set();
function redraw(what) { // many events come at once; all of them are one frame
  if (!pending.size) requestAnimationFrame(() => { const all = [...pending]; pending.clear(); all.forEach((f) => f()); });
  pending.add(what);
}

function live(state, text) { $("live").dataset.state = state; set("live", text); }

function follow() {
  const events = new EventSource("/v1/events");
  for (const [name, table] of Object.entries(tables)) {
    events.addEventListener(name, (e) => {
      const said = JSON.parse(e.data);
      if (said.reset) table.clear();
      for (const key of said.gone) table.delete(key);
      for (const [key, row] of said.rows) table.set(key, row);
      redraw(changed[name]);
    });
  }
  events.addEventListener("overview", (e) => {
    const could = mayChange();
    summary = JSON.parse(e.data);
    if (could !== mayChange()) redraw(showDrains);
    ahead = Date.now() - summary.now;
    live("live", "live");
    redraw(showOverview);
    refreshSessions(false);
  });
  events.addEventListener("error", () => live("lost", events.readyState === EventSource.CLOSED ? "no connection" : "reconnecting"));
}

// --- Views, colours, keys

function show(name) {
  view = name;
  for (const v of views) $(v).hidden = v !== name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    tab.setAttribute("aria-selected", tab.dataset.view === name);
    tab.tabIndex = tab.dataset.view === name ? 0 : -1;
  }
  if (location.hash.slice(1) !== name) history.replaceState(null, "", "#" + name);
  if (name === "sessions") refreshSessions(true);
  ({ elements: elementList, sessions: sessionList, failovers: failoverList })[name]?.show();
}

const themes = ["auto", "light", "dark"];
function theme(to) {
  document.documentElement.dataset.theme = to;
  set("theme", "◐ " + to);
  try { localStorage.setItem("theme", to); } catch { /* it is forgotten with the page */ }
}

function key(e) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "Escape") {
    if (e.target.type === "search") { // browsers that empty it by themselves do not always say so
      e.preventDefault();
      e.target.value = "";
      e.target.dispatchEvent(new Event("input"));
    }
    $("record").hidden = true;
    if (!$("element").hidden) closeElement();
    document.activeElement.blur?.();
    return;
  }
  if (e.target.closest("input, select, dialog")) return;
  if (e.key >= "1" && e.key <= String(views.length)) {
    show(views[e.key - 1]);
    $("l-" + view)?.focus();
  } else if (e.key === "/" && $("f-" + view)) { e.preventDefault(); $("f-" + view).focus(); }
  else if (e.key === "d" && view === "elements" && elements[elementList.chosen]) {
    e.preventDefault();
    const chosen = elements[elementList.chosen];
    if (mayChange()) askDrain(chosen.name, !chosen.draining);
    else openElement(chosen); // which says how else
  } else if (e.key === "t") theme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]);
  else if (e.key === "?") $("keys").showModal();
  else if (e.target.getAttribute?.("role") === "tab" && (e.key === "ArrowRight" || e.key === "ArrowLeft")) {
    show(views[(views.indexOf(view) + (e.key === "ArrowRight" ? 1 : views.length - 1)) % views.length]);
    document.querySelector("[role=tab][aria-selected=true]").focus();
  }
}

// openSessions lists the sessions of one protection.
function openSessions(protection) {
  $("f-protection").value = protection;
  show("sessions");
  $("l-sessions").focus();
}

function begin() {
  let kept = "auto";
  try { kept = localStorage.getItem("theme") || "auto"; } catch { /* it may not be read: auto */ }
  theme(themes.includes(kept) ? kept : "auto");
  for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => show(tab.dataset.view));
  document.addEventListener("keydown", key);
  $("theme").addEventListener("click", () => theme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % 3]));
  $("help").addEventListener("click", () => $("keys").showModal());
  $("close").addEventListener("click", () => $("keys").close());
  $("f-elements").addEventListener("input", filterElements);
  $("f-failed").addEventListener("change", filterElements);
  $("f-draining").addEventListener("change", filterElements);
  $("legend").addEventListener("click", (e) => { const of = e.target.closest("li"); if (of) openSessions(of.dataset.kind); });
  $("lock").addEventListener("click", () => { remember(""); say("The token is forgotten."); });
  $("drain-not").addEventListener("click", () => $("drain").close());
  $("drain-do").addEventListener("click", doDrain);
  $("token").addEventListener("keydown", (e) => { if (e.key === "Enter") doDrain(); });
  $("o-elements").addEventListener("change", filterElements);
  $("f-failovers").addEventListener("input", filterFailovers);
  $("f-protection").addEventListener("change", () => refreshSessions(true));
  let typing = 0;
  $("f-sessions").addEventListener("input", () => { clearTimeout(typing); typing = setTimeout(() => refreshSessions(true), 150); });
  show(views.includes(location.hash.slice(1)) ? location.hash.slice(1) : "overview");
  follow();
}

begin();
