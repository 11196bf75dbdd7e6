// Draining: the dialog that asks for the token, the panel of an element, and the drains that are under way.
"use strict";

let token = ""; // of the admin API: it is nowhere but here, and gone with the page

const mayChange = () => summary !== null && summary.changes !== "";
const command = (name, on) => `poolproxy ${on ? "drain" : "undrain"} ${/^[\w.-]+$/.test(name) ? name : "'" + name.replaceAll("'", "'\\''") + "'"}`;

function remember(text) {
  token = text;
  $("lock").hidden = !text;
}

let saying = 0;
function say(text) { // for some seconds
  set("toast", text);
  $("toast").hidden = false;
  clearTimeout(saying);
  saying = setTimeout(() => { $("toast").hidden = true; }, 6000);
}

// --- The dialog

const asking = { name: "", on: false };

// askDrain asks whether an element is to be drained, or is not to be any more.
function askDrain(name, on) {
  if (!mayChange()) return;
  Object.assign(asking, { name, on });
  const members = [...tables.elements.values()].filter((e) => e.name === name), pools = members.map((e) => e.pool);
  const n = members.reduce((sum, e) => sum + e.sessions, 0), alone = pools.filter((p) => ![...tables.elements.values()]
    .some((e) => e.pool === p && e.name !== name && e.alive && !e.draining));
  set("drain-title", `${on ? "Drain" : "Undrain"} ${name}?`);
  set("drain-what", on ? `It gets no new sessions, and ${n === 1 ? "its session leaves" : `its ${whole.format(n)} sessions leave`} as each comes to a quiet point. Clients see nothing of it.`
    : "It gets sessions again. Those that have left do not come back by themselves.");
  set("drain-warning", on && alone.length ? `No other element of ${alone.join(", ")} is alive: sessions stay there, and new ones wait.`
    : pools.length > 1 ? `It is in several pools: ${pools.join(", ")}.` : "");
  set("drain-do", on ? "Drain" : "Undrain");
  wantToken("");
  $("drain").showModal();
  ($("drain-token").hidden ? $("drain-do") : $("token")).focus();
}

// wantToken shows the place for the token if it is not known, and what is wrong.
function wantToken(wrong) {
  set("drain-wrong", wrong);
  $("drain-token").hidden = summary.changes !== "token" || token !== "";
  $("drain-do").disabled = false;
}

async function doDrain() {
  const { name, on } = asking, given = token || $("token").value.trim();
  if (summary.changes === "token" && !given) {
    set("drain-wrong", "The token is missing: it is in the file that admin.token_file names.");
    $("token").focus();
    return;
  }
  $("drain-do").disabled = true;
  try {
    const answer = await fetch("/v1/drains/" + encodeURIComponent(name), { method: on ? "PUT" : "DELETE", cache: "no-store",
      headers: given ? { Authorization: "Bearer " + given } : {} });
    if (answer.status === 401) {
      remember("");
      wantToken("That is not the token.");
      $("token").select();
      return;
    }
    const said = await answer.json();
    if (!answer.ok) return wantToken(said.error ? said.error.message : `The proxy answers ${answer.status}.`);
    remember(summary.changes === "token" ? given : "");
    $("token").value = "";
    $("drain").close();
    const left = Math.max(said.sessions.length, said.legs);
    say(!on ? `${name} gets sessions again.` : left ? `${name} is being drained.` : `${name} is drained: nobody is left.`);
  } catch (e) { // the token has letters that no header may have, or there is no connection
    wantToken(e instanceof TypeError && !/fetch/i.test(e.message) ? "That is not the token." : "The proxy does not answer.");
  }
}

// drainButton begins or ends a drain; without the right to do so it is not there.
function drainButton(name, draining) {
  const b = node("button", { class: "small" }, draining ? "Undrain" : "Drain");
  b.addEventListener("click", (e) => { e.stopPropagation(); askDrain(name, !draining); });
  return mayChange() ? b : "";
}

// --- What is being drained

const stillThere = (d) => Math.max(d.sessions, d.legs);

function showDrains() {
  const all = [...tables.drains.values()];
  $("drains-card").hidden = !all.length;
  rows($("drains"), all.map((d) => [d.element, [node("strong", {}, d.element), node("span", {}, d.pools.join(", ") || "pool_element of this process"),
    d.why, stillThere(d) ? tag("moving", `${whole.format(stillThere(d))} left`) : tag("protected", "nobody is left"), reasonsOf(d), drainButton(d.element, true)]]));
  filterElements();
  showSides();
  updateElement();
}

function reasonsOf(d) {
  const all = d.reasons.map((r) => `${whole.format(r.sessions)} × ${r.reason}`);
  if (d.legs > d.sessions) all.push("its pool users' sidecars know why");
  return node("div", {}, ...all.map((text) => node("div", {}, text)));
}

// --- The panel of an element

let opened = ""; // the key of the element in it

function openElement(e) {
  opened = e.pool + "\0" + e.name;
  const shut = node("button", {}, "Close"), act = node("button", { id: "act" });
  shut.addEventListener("click", closeElement);
  act.addEventListener("click", () => { const now = tables.elements.get(opened); if (now) askDrain(now.name, !now.draining); });
  $("element").replaceChildren(node("header", {}, node("span", { id: "element-state" }), node("strong", {}, e.name), node("span", {}, `${e.pool} · ${e.address}`), act, shut),
    node("dl", { id: "element-facts" }), node("div", { id: "element-left" }, node("table", {}, node("caption", { id: "element-caption" }), node("tbody", { id: "element-rows" }))));
  $("element").hidden = false;
  updateElement();
}

function closeElement() {
  opened = "";
  $("element").hidden = true;
  $("l-elements").focus();
}

function updateElement() {
  const e = tables.elements.get(opened);
  if (!opened || !e || $("element").hidden) return;
  cell($("element-state"), state(e));
  $("act").hidden = !mayChange();
  set("act", e.draining ? "Undrain" : "Drain");
  const drain = tables.drains.get(e.name);
  const facts = [["health", e.alive ? "alive" : e.failures > 1 ? `failed ${e.failures} times in a row` : "failed"],
    ["sessions", `${whole.format(e.sessions)} of this sidecar`], ["load", e.load === null ? "not read by the pool's policy" : (100 * e.load).toFixed(1) + " %"],
    ["drain", e.draining || "no"]];
  if (!mayChange() && summary) facts.push([e.draining ? "to end that" : "to drain it", `${command(e.name, !e.draining)} · or set admin.token_file, and do it here`]);
  cell($("element-facts"), node("div", { class: "facts" }, ...facts.flatMap(([name, text]) => [node("dt", {}, name), node("dd", {}, text)])));
  $("element-left").hidden = !e.draining;
  if (e.draining) showStaying(e, drain);
}

// showStaying lists the first of those that have not left.
async function showStaying(e, drain) {
  set("element-caption", drain && stillThere(drain) ? `Who has not left, and why (${whole.format(stillThere(drain))})` : "Nobody is left");
  if (!drain || !drain.sessions) return rows($("element-rows"), []);
  const of = opened;
  try {
    const answer = await fetch("/v1/sessions?" + new URLSearchParams({ leaving: e.name, limit: 50 }));
    if (!answer.ok || of !== opened) return;
    const said = await answer.json();
    if (of !== opened) return;
    rows($("element-rows"), said.sessions.map((s) => [String(s.id), [String(s.id), s.pool_user, s.client, duration(now() - Date.parse(s.since)), s.stays || "it is about to leave"]]));
  } catch { /* the events say that the connection is lost */ }
}
