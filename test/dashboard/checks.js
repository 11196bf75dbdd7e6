// What the scripts have in common. Each thing that is looked at is a line of JSON: {"name", "ok", "what"}.
"use strict";

let failed = 0;

function check(name, ok, what) {
  if (!ok) failed++;
  console.log(JSON.stringify({ name, ok: !!ok, what: String(what) }));
}

// eventually polls until f is true, for at most a minute.
async function eventually(name, f) {
  let last;
  for (const end = Date.now() + 60000; Date.now() < end; await new Promise((r) => setTimeout(r, 50))) {
    last = await f();
    if (last === true) return check(name, true, "");
  }
  check(name, false, last);
}

// run runs main, and ends with status 1 if something was not as it should.
function run(main) {
  main().catch((e) => check("the run", false, e.stack)).finally(() => process.exit(failed ? 1 : 0));
}

module.exports = { check, eventually, run };
