// What is drawn of failovers: the timeline, and the record of one as a bar of its steps.
"use strict";

const stepNames = [["fence", "fence", "the old leg is certain to be dead"], ["choose", "choose", "an element is chosen"],
  ["connect", "connect", "its server is connected, or the leg resumed"], ["restored", "restore", "states and callbacks are done"],
  ["replayed", "replay", "all was sent again"], ["first", "first reply", "the first new byte for the client"]];

// steps are the parts of a failover, in milliseconds from noticing on; each begins where the one before ended.
function steps(f) {
  const parts = [];
  let at = 0;
  for (const [key, name, means] of stepNames) {
    if (f[key] > 0) {
      parts.push({ key, name, means, from: Math.min(at, f[key]), to: f[key] });
      at = Math.max(at, f[key]);
    }
  }
  return parts;
}

const pause = (f) => Math.max(f.connect, f.restored, f.replayed, f.first);

// miniBar is a bar for a row of the list.
function miniBar(f) {
  const bar = node("div", { class: "mini" }), all = steps(f).map((s) => ({ ...s, took: s.to - s.from }));
  const sum = all.reduce((n, s) => n + s.took, 0) || 1;
  for (const s of all) {
    const part = node("i", {});
    part.style.width = 100 * s.took / sum + "%";
    part.style.background = `var(--${{ fence: "bad", choose: "calm", connect: "main", restored: "warn", replayed: "step", first: "good" }[s.key]}, #1698a6)`;
    bar.append(part);
  }
  return bar;
}

// bar draws the steps under each other, each where it was in time; what it took to notice stands before 0.
function bar(f) {
  const parts = steps(f);
  if (f.detect > 0) parts.unshift({ key: "detect", name: "detect", means: "the failure is noticed, after the last sign of life", from: -f.detect, to: 0 });
  const width = 900, left = 96, right = 90, height = 22 * parts.length + 26;
  const from = f.detect > 0 ? -f.detect : 0, to = Math.max(...parts.map((p) => p.to), 0.001);
  const x = (ms) => left + (ms - from) / (to - from || 1) * (width - left - right);
  const ticks = f.detect > 0 ? [from, 0, to] : [0, to / 4, to / 2, 3 * to / 4, to]; // 0 is when the failure was noticed
  const svg = draw("svg", { class: "bar", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "steps of the failover" });
  for (const ms of ticks) {
    if (ms === to && x(to) - x(0) < 70 || ms === from && from < 0 && x(0) - x(from) < 70) continue; // it would lie on 0
    svg.append(draw("line", { class: "grid", x1: x(ms), x2: x(ms), y1: 0, y2: height - 18 }),
      draw("text", { x: x(ms), y: height - 4, "text-anchor": "middle" }, ms < 0 ? "−" + duration(-ms) : ms === 0 ? "0" : duration(ms)));
  }
  parts.forEach((p, i) => {
    const y = 22 * i + 3, rect = draw("rect", { class: "s-" + p.key, x: x(p.from), y, width: Math.max(2, x(p.to) - x(p.from)), height: 15, rx: 3 });
    rect.append(draw("title", {}, `${p.name}: ${p.means}`));
    svg.append(draw("text", { class: "value", x: left - 8, y: y + 12, "text-anchor": "end" }, p.name), rect,
      draw("text", { class: "value", x: x(p.to) + 5, y: y + 12 }, duration(p.to - p.from)));
  });
  return svg;
}

// showRecord fills the panel of one failover.
function showRecord(panel, f, close) {
  const facts = [["noticed by", f.detector + ": " + f.cause], ["pool user", `${f.pool_user}, session ${f.session}, leg ${f.leg}`],
    ["from → to", `${f.from || "–"} → ${f.to || "–"}`], ["elements tried", whole.format(f.tried)],
    ["sent again", `${whole.format(f.messages)} messages, ${bytes(f.bytes)}`], ["compared and dropped", bytes(f.discarded)],
    ["not fetched twice", bytes(f.saved)], ["answered by an error", whole.format(f.lost)], ["verdict", f.verdict || "the session goes on"]];
  const shut = node("button", {}, "Close");
  shut.addEventListener("click", close);
  panel.replaceChildren(node("header", {}, tag(f.kind), node("strong", {}, new Date(f.time).toLocaleString("en-GB")),
    node("span", {}, f.kind === "ended" ? "" : "pause " + duration(pause(f))), shut), f.kind === "ended" && !f.detect ? "" : bar(f),
  node("dl", {}, ...facts.flatMap(([name, text]) => [node("dt", {}, name), node("dd", {}, text)])));
  panel.hidden = false;
}

// timeline draws failovers by time (across) and pause (up, logarithmic: 1 ms to 100 s). What ended has none, and a line of its own.
function timeline(svg, all, now, open) {
  const width = 600, height = 150, left = 46, bottom = 44;
  const begin = Math.min(now - 60e3, ...all.map((f) => Date.parse(f.time)));
  const x = (t) => left + 6 + (t - begin) / (now - begin || 1) * (width - left - 14);
  const y = (ms) => 8 + (1 - Math.min(1, Math.max(0, Math.log10(Math.max(ms, 1)) / 5))) * (height - bottom - 16);
  const parts = [];
  for (const [ms, text] of [[1, "1 ms"], [100, "100 ms"], [10e3, "10 s"]]) {
    parts.push(draw("line", { class: "grid", x1: left, x2: width, y1: y(ms), y2: y(ms) }), draw("text", { x: left - 6, y: y(ms) + 4, "text-anchor": "end" }, text));
  }
  parts.push(draw("text", { x: left - 6, y: height - 23, "text-anchor": "end" }, "ended"), draw("text", { x: left, y: height - 4 }, duration(now - begin) + " ago"), draw("text", { x: width, y: height - 4, "text-anchor": "end" }, "now"));
  for (const f of all) {
    const dot = draw("circle", { cx: x(Date.parse(f.time)), cy: f.kind === "ended" ? height - 27 : y(pause(f)), r: 4.5, "data-kind": f.kind });
    dot.append(draw("title", {}, `${new Date(f.time).toLocaleTimeString()} ${f.kind}: ${f.from || "–"} → ${f.to || "–"}, ${duration(pause(f))}`));
    dot.addEventListener("click", () => open(f));
    parts.push(dot);
  }
  svg.replaceChildren(...parts);
}
