// Looks at the dashboard of real processes at argv[2] in a headless chromium (argv[3]); screenshots go to the folder argv[4]; argv[5] is the token. What the
// test does beside that it asks for by a line "do: …", and waits for a line of the answer.
"use strict";

const { createInterface } = require("readline");
const { chromium } = require("playwright-core");
const { check, eventually, run } = require("./checks.js");
const [url, executablePath, shots, secret] = process.argv.slice(2);

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
async function ask(what) {
  console.log("do: " + what);
  return (await answers.next()).value;
}

async function main() {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage({ colorScheme: "light", viewport: { width: 1360, height: 860 } });
    const wrong = [];
    page.on("pageerror", (e) => wrong.push(String(e)));
    await page.goto(url);
    await eventually("the sessions are there", async () => (await page.textContent("#t-sessions")) === "20" || page.textContent("#t-sessions"));
    await eventually("all elements live", async () => (await page.textContent("#t-elements")) === "3 / 3" || page.textContent("#t-elements"));

    // A real failover.
    await ask("kill a");
    await eventually("the failovers are on the timeline", async () => await page.locator("#timeline circle").count() > 0);
    await eventually("an element is not alive", async () => (await page.textContent("#t-elements")) === "2 / 3" || page.textContent("#t-elements"));
    await page.keyboard.press("4");
    await page.keyboard.press("Home");
    await page.keyboard.press("Enter");
    await eventually("the record is drawn", async () => await page.locator("#record .bar rect").count() > 0);
    const record = await page.textContent("#record");
    check("it says from where to where, and why", /from → toa → [bc]/.test(record) && record.includes("noticed by"), record);
    await page.screenshot({ path: `${shots}/dashboard-live-failover.png` });
    await page.keyboard.press("Escape");
    await ask("restart a");

    // A drain by the button, of the element at which a session is within a transaction.
    const at = await ask("transaction");
    await page.keyboard.press("2");
    await page.fill("#f-elements", "");
    await page.locator("#l-elements .row", { hasText: at }).first().click();
    await page.click("#act");
    await page.fill("#token", secret);
    await page.click("#drain-do");
    await eventually("it is being drained", async () => (await page.textContent("#element-state")).includes("draining"));
    await eventually("all have left but the one in a transaction", async () => await page.locator("#element-rows tr").count() === 1 && (await page.textContent("#element-rows")).includes("in a transaction since") ||
      page.textContent("#element-rows"));
    await page.screenshot({ path: `${shots}/dashboard-live-drain.png` });
    check("the command says the same", (await ask("stays")).includes("in a transaction since"), "");
    await ask("exec");
    await eventually("then nobody is left", async () => (await page.textContent("#element-caption")) === "Nobody is left" || page.textContent("#element-caption"));
    await page.click("#act");
    await page.click("#drain-do");
    await eventually("it gets sessions again", async () => !(await page.textContent("#element-state")).includes("drain"));

    // The sidecar comes again: so does the page.
    await ask("restart the sidecar");
    await eventually("the page is live again", async () => (await page.textContent("#live")) === "live" && (await page.textContent("#t-sessions")) === "0" || page.textContent("#t-sessions"));
    check("no script has failed", wrong.length === 0, wrong);
  } finally {
    await browser.close();
  }
}

run(main);
