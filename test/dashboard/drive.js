// Drives the dashboard at argv[2] in a headless chromium (argv[3]); screenshots go to the folder argv[4]; argv[5] is the token of the admin API.
"use strict";

const { chromium } = require("playwright-core");
const { check, eventually, run } = require("./checks.js");
const [url, executablePath, shots, secret] = process.argv.slice(2);

const shot = async (page, name) => page.screenshot({ path: `${shots}/dashboard-${name}.png` });

async function overview(page) {
  await eventually("all sessions are counted", async () => (await page.textContent("#t-sessions")) === "10,000" || (await page.textContent("#t-sessions")));
  await eventually("all elements are counted", async () => (await page.textContent("#n-elements")) === "1,003" || (await page.textContent("#n-elements")));
  await eventually("it says that it is live", async () => (await page.textContent("#live")) === "live");
  await eventually("reasons are shown", async () => (await page.textContent("#reasons")).includes("in a transaction since …") || page.textContent("#reasons"));
  await eventually("failovers are on the timeline", async () => await page.locator("#timeline circle").count() === 100 || page.locator("#timeline circle").count());
}

async function lists(page) {
  await page.locator("#legend button", { hasText: "unprotected" }).click();
  await eventually("the legend leads to its sessions", async () => (await page.textContent("#c-sessions")).startsWith("500 of") || page.textContent("#c-sessions"));
  await page.selectOption("#f-protection", "");
  await page.keyboard.press("Escape");
  await page.keyboard.press("2");
  await eventually("elements are listed", async () => (await page.textContent("#l-elements .row[data-index='0']")).includes("alive"));
  const rows = await page.locator("#l-elements .row").count();
  check("only what can be seen is in the page", rows > 10 && rows < 60, rows);
  await page.keyboard.press("End");
  await eventually("the last element is reached by a key", async () => await page.locator("#l-elements .row[data-index='1002'][aria-selected=true]").count() === 1);
  check("a name is text", await page.locator("#elements img").count() === 0 && (await page.textContent("#l-elements")).includes("<img src=x onerror=alert(1)>"), "");
  await page.keyboard.press("/");
  await page.keyboard.type("e-0777");
  await eventually("elements are found", async () => await page.locator("#l-elements .row").count() === 1);
  await page.keyboard.press("Escape");
  await eventually("Escape shows all again", async () => (await page.textContent("#c-elements")) === "1,003 of 1,003" && await page.locator("#l-elements .row").count() > 10);
  await page.focus("#l-elements");
  await page.keyboard.press("Home");
  await page.selectOption("#o-elements", "failed");
  await eventually("failed elements come first", async () => (await page.textContent("#l-elements .row[data-index='0']")).includes("failed, 5 times"));
  await page.selectOption("#o-elements", "pool");
  await eventually("or in the order of the pool", async () => (await page.textContent("#l-elements .row[data-index='0']")).startsWith("e-0000"));
  await shot(page, "elements");

  await page.keyboard.press("Escape");
  await page.keyboard.press("3");
  await eventually("sessions are listed", async () => (await page.textContent("#l-sessions .row[data-index='0']")).includes("192.0.2."));
  await shot(page, "sessions");
  const scrolled = () => page.evaluate(async () => {
    const box = document.getElementById("l-sessions");
    let worst = 0, before = performance.now();
    for (let i = 0; i < 100; i++) { // through all of them
      box.scrollTop = i * box.scrollHeight / 100;
      await new Promise(requestAnimationFrame);
      const now = performance.now();
      worst = Math.max(worst, now - before);
      before = now;
    }
    return worst;
  });
  // Once is enough: a machine that others load makes a frame late, and a page that is slow makes one so each time.
  await eventually("scrolling through 10,000 sessions does not stop for half a second", async () => {
    const took = await scrolled();
    return took < 500 || `${took.toFixed(0)} ms for the slowest frame`;
  });
  await page.focus("#l-sessions");
  await page.keyboard.press("End");
  await eventually("the last session is fetched", async () => (await page.textContent("#l-sessions .row[data-index='9999']")).startsWith("10000"));
  await page.selectOption("#f-protection", "unprotected");
  await eventually("sessions are chosen by protection", async () => (await page.textContent("#c-sessions")).startsWith("500 of") || page.textContent("#c-sessions"));
}

// lag measures how long the page is busy at once while everything changes each second.
async function lag(page) {
  for (const view of ["1", "2", "3"]) {
    await page.keyboard.press("Escape");
    await page.keyboard.press(view);
    let figures = "";
    await eventually(`view ${view}: everything changes each second, and nothing takes half a second at once`, async () => {
      const [longest, busy] = await page.evaluate(() => new Promise((done) => {
        let longest = 0, busy = 0;
        const watch = new PerformanceObserver((all) => all.getEntries().forEach((e) => { longest = Math.max(longest, e.duration); busy += e.duration; }));
        watch.observe({ type: "longtask" });
        setTimeout(() => { watch.disconnect(); done([longest, busy]); }, 5000);
      }));
      figures = `tasks of more than 50 ms in 5 s: ${busy.toFixed(0)} ms together, the longest ${longest.toFixed(0)} ms`;
      return longest < 500 || figures;
    });
    check(`view ${view}: figures`, true, figures);
  }
}

async function records(page) {
  await page.keyboard.press("Escape");
  await page.keyboard.press("4");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await eventually("a record opens by keys", async () => await page.locator("#record .bar rect").count() >= 5);
  const text = await page.textContent("#record");
  check("the record has its facts", text.includes("heartbeats") && text.includes("first reply") && text.includes("elements tried"), text);
  await shot(page, "failover");
  await page.keyboard.press("Escape");
  await eventually("Escape closes it", () => page.locator("#record").isHidden());
  await page.keyboard.press("1");
  await page.locator("#timeline circle").last().click();
  await eventually("the timeline opens records", () => page.locator("#record").isVisible());
  await page.keyboard.press("Escape");
  await page.keyboard.press("5");
  await eventually("sources have age and alarm", async () => (await page.textContent("#sources")).includes("too old") || page.textContent("#sources"));
  await eventually("registrations are shown", async () => (await page.textContent("#enrolled")).includes("nobody does") || page.textContent("#enrolled"));
  await shot(page, "sources");
}

// drains drains an element and a pool_element by their buttons, for which the token is asked once; and ends it again.
async function drains(page, asked) {
  await page.keyboard.press("2");
  await page.fill("#f-elements", "e-0777");
  await eventually("the element is found", async () => await page.locator("#l-elements .row").count() === 1);
  await page.focus("#l-elements");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  check("an element opens", (await page.textContent("#element")).includes("10 of this sidecar"), await page.textContent("#element"));
  await page.keyboard.press("d");
  await eventually("the dialog has the place for the token", async () => await page.evaluate(() => document.activeElement.id) === "token");
  check("it says what will happen", (await page.textContent("#drain-what")).includes("its 10 sessions leave"), await page.textContent("#drain-what"));
  await page.keyboard.press("Enter");
  await eventually("without a token nothing is asked", async () => (await page.textContent("#drain-wrong")).includes("is missing"));
  await page.keyboard.type("ünknown");
  await page.keyboard.press("Enter");
  await eventually("a token that cannot be one is told", async () => (await page.textContent("#drain-wrong")) === "That is not the token." || page.textContent("#drain-wrong"));
  await page.fill("#token", secret.slice(1) + "x");
  await page.keyboard.press("Enter");
  await eventually("a wrong token is told", async () => (await page.textContent("#drain-wrong")) === "That is not the token." && !await page.locator("#drain-do").isDisabled());
  await shot(page, "drain");
  await page.fill("#token", secret);
  await page.keyboard.press("Enter");
  await eventually("the right one drains", async () => !await page.locator("#drain").isVisible() && (await page.textContent("#toast")).includes("e-0777 is being drained"));
  await eventually("those who stay are listed with the reason", async () => await page.locator("#element-rows tr").count() === 3 && (await page.textContent("#element-rows")).includes("in a transaction since"));
  await eventually("the element is marked", async () => (await page.textContent("#l-elements .row[data-index='0']")).includes("draining"));
  await page.keyboard.press("Escape");
  await page.fill("#f-elements", "");
  await page.check("#f-draining");
  await eventually("drained ones can be chosen", async () => await page.locator("#l-elements .row").count() === 1);
  await page.uncheck("#f-draining");
  await page.keyboard.press("Escape");
  await page.keyboard.press("1");
  await page.locator("#sides tr", { hasText: "web-a" }).getByRole("button").click();
  check("the token is asked for once", !await page.locator("#token").isVisible() && (await page.textContent("#drain-title")) === "Drain web-a?", await page.textContent("#drain-title"));
  await page.keyboard.press("Enter"); // the button has the focus
  await eventually("both are among the drains", async () => await page.locator("#drains tr").count() === 2);
  const text = await page.textContent("#drains");
  check("drains have reasons, added up", text.includes("3 left") && text.includes("2 × in a transaction since …") && text.includes("1 × a request is in flight (BLPOP)") && text.includes("sidecars know why"), text);
  await page.locator("#toast").waitFor({ state: "hidden", timeout: 30000 });
  await shot(page, "drains");
  const kept = await page.evaluate((s) => [JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie + location.href, document.body.innerHTML, document.getElementById("token").value].join().includes(s), secret);
  check("the token is nowhere to be read", !kept, "");
  check("it was sent to drains only", asked.length >= 3 && asked.every((r) => r.startsWith(url + "v1/drains/")), asked);
  for (const name of ["e-0777", "web-a"]) {
    await page.locator("#drains tr", { hasText: name }).getByRole("button").click();
    await page.click("#drain-do");
    await eventually(name + " is drained no more", async () => !(await page.textContent("#drains")).includes(name));
  }
  check("without drains nothing is shown of them", !await page.locator("#drains-card").isVisible(), "");
  await page.click("#lock");
  await page.locator("#sides tr", { hasText: "web-a" }).getByRole("button").click();
  check("a token can be forgotten", await page.locator("#token").isVisible(), "");
  await page.keyboard.press("Escape");
  check("Escape leaves the dialog", !await page.locator("#drain").isVisible(), "");
}

async function colours(page, browser) {
  const back = (p) => p.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await back(page);
  await page.keyboard.press("t"); // light
  await page.keyboard.press("t"); // dark
  check("there is a switch of colours", await back(page) !== light, light);
  await page.reload();
  await eventually("it is remembered", async () => await back(page) !== light);
  await page.keyboard.press("t"); // auto
  const dark = await browser.newPage({ colorScheme: "dark", viewport: { width: 1360, height: 860 } });
  await dark.goto(url);
  check("the system's colours are followed", await back(dark) !== light, light);
  await overview(dark);
  await shot(dark, "dark");
  await dark.close();
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ colorScheme: "light", viewport: { width: 1360, height: 860 } });
    const wrong = [], elsewhere = [], authorized = []; // what was sent with a token
    page.on("console", (m) => { if (m.type() === "error" && !m.text().includes("401")) wrong.push(m.text()); }); // a wrong token is tried
    page.on("request", (r) => { if (r.headers()["authorization"]) authorized.push(r.url()); });
    page.on("pageerror", (e) => wrong.push(String(e)));
    page.on("dialog", (d) => { wrong.push("dialog " + d.message()); d.dismiss(); });
    page.on("request", (r) => { if (!r.url().startsWith(url)) elsewhere.push(r.url()); });
    await page.goto(url);
    await overview(page);
    await shot(page, "light");
    await lists(page);
    await lag(page);
    await records(page);
    await drains(page, authorized);
    await colours(page, browser);
    check("nothing is asked for elsewhere", elsewhere.length === 0, elsewhere);
    check("the console has no errors", wrong.length === 0, wrong);
  } finally {
    await browser.close();
  }
}

run(main);
