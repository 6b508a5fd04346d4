"use strict";
// All text of programs, releases and reasons goes through textContent: nothing of it is ever HTML.

const UNDER_WAY = ["progressing", "paused"];
const ROWS = 60; // workers of a program that are drawn
const SHOWN_SECS = 300; // where nothing is under way
const REPORTS = 8; // of a rollout that is under way
const cards = new Map();
let status = null; // the last, with the browser's clock as it came
let number = null;

// Without the password that may stand in the page's own address: no fetch takes such a one.
const ask = (path, options) => fetch(location.origin + location.pathname + path, options);
const one = (id) => document.getElementById(id);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function made(tag, text, attributes = {}) {
  const svg = ["svg", "rect", "title"].includes(tag);
  const element = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  if (text) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// ---- words ----

const clock = (at) => new Date(at * 1000).toLocaleTimeString([], { hour12: false });
const moment = (at) => new Date(at * 1000).toLocaleString([], { hour12: false });
const count = (number, what) => `${number} ${what}${number === 1 ? "" : "s"}`;
// Without what Python itself does to import a module, and without its own mark of the place.
const brief = (text) =>
  text.split("\n").filter((line) => !/^\s+(File "<frozen importlib|[~^]+$)/.test(line)).join("\n");
const first = (text) => text.split("\n", 1)[0];

function secs(value) {
  if (value < 10) return `${value.toFixed(2)}\u00a0s`;
  if (value < 120) return `${Math.round(value)}\u00a0s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${Math.round(value / 3600)} h`;
}

const booted = (f) => `booted in ${secs(f.boot_secs)}${f.health ? `, health ${f.health}` : ""}`;

const SAYINGS = {
  began: (f) =>
    (f.strategy === "arbiter"
      ? `replaces the arbiter and its ${count(f.workers, "worker")}`
      : `rolls ${count(f.workers, "worker")} (surge ${f.max_surge}, unavailable ${f.max_unavailable})`) +
    (f.reasons.length ? `: ${f.reasons.join("; ")}` : ""),
  succeeded: (f) => `the successor ${f.new} starts beside arbiter ${f.old}`,
  arrived: (f) => `${f.done} of ${f.total}: worker ${f.pid} of the successor is ready, ${booted(f)}`,
  promoted: (f) => `arbiter ${f.new} took over; ${f.old} finishes its requests`,
  replaced: (f) => `${f.done} of ${f.total}: worker ${f.old} replaced by ${f.new}, ${booted(f)}`,
  left: (f) => `worker ${f.pid} exited on its own${f.why ? `: ${f.why}` : ""}`,
  stuck: (f) => `worker ${f.pid} has not left after ${secs(f.secs)}: sent it ${f.signal}`,
  warning: (f) => `warning: ${f.text}`,
  note: (f) => f.text,
  broken: (f) => `FAILING: ${first(f.why)}`,
  complete: (f) =>
    `complete: ${f.replaced} of ${count(f.total, "worker")} replaced in ${secs(f.secs)}, ` +
    `never fewer than ${f.min_ready} ready`,
  failed: (f) => `failed after ${secs(f.secs)}, ${f.replaced} of ${f.total} replaced: ${first(f.why)}`,
  aborted: (f) => `aborted after ${secs(f.secs)}, ${f.replaced} of ${f.total} replaced: ${f.why}`,
  refused: (f) => `refused, nothing was touched: ${f.why}`,
  skipped: (f) => `skipped: ${f.why}`,
  plan: planned,
};

function planned(f) {
  const lines = [];
  if (f.refused) lines.push(`It would be refused: ${f.refused}`);
  else {
    const all = f.strategy === "arbiter" ? "the arbiter and its " : "";
    lines.push(
      `It would replace ${all}${count(f.workers, "worker")}, with up to ${f.max_surge} more running` +
        ` and never fewer than ${Math.max(0, f.desired - f.max_unavailable)} of ${f.desired} ready.`,
    );
    const health = f.health ? `answer ${f.health}` : "accept";
    lines.push(`A new worker counts as ready once it can ${health}.`);
    if (f.boot_secs) lines.push(`It takes about ${secs(f.estimated_secs)}, at ${secs(f.boot_secs)} a boot.`);
  }
  if (f.reasons.length) lines.push(`Strategy ${f.strategy}: ${f.reasons.join("; ")}`);
  for (const [key, effect] of Object.entries(f.changes)) lines.push(`${key}= has changed (${effect}).`);
  for (const room of [f.memory, f.processes])
    if (room) lines.push(room.fits ? room.text : `${room.text}: THIS DOES NOT FIT`);
  if (f.preflight && !f.refused)
    lines.push(f.preflight.ok ? "The application loads." : `THE APPLICATION DOES NOT LOAD: ${f.preflight.text}`);
  return lines.join("\n");
}

function reported(report) {
  const item = made("li");
  item.append(made("time", clock(report.at)));
  const say = SAYINGS[report.kind];
  item.append(say ? say(report.facts) : `${report.kind} ${JSON.stringify(report.facts)}`);
  return item;
}

// ---- a worker's life as a bar, and how many were ready ----

const isReady = (life, at) =>
  life.ready_at !== null && life.ready_at <= at && at < (life.retiring_at ?? life.gone_at ?? Infinity);

function pieces(life, now) {
  const end = life.gone_at ?? now;
  const leaves = life.retiring_at ?? end;
  const serves = life.outdated ? "outdated" : "fresh";
  if (life.ready_at === null) return [[life.began, end, life.state === "failed" ? "failed" : "booting"]];
  const found = [
    [life.began, life.ready_at, "booting"],
    [life.ready_at, leaves, life.state === "failed" ? "failed" : serves],
  ];
  if (life.retiring_at !== null) found.push([leaves, end, "draining"]);
  return found;
}

function described(life) {
  const memory = life.memory_bytes ? `, ${Math.round(life.memory_bytes / 2 ** 20)} MiB` : "";
  const age = life.outdated ? "outdated" : "fresh";
  return `${life.pid} ${life.state}, ${age}${memory}${life.how ? `: ${first(life.how)}` : ""}`;
}

function told(life) {
  const parts = [described(life), `boot began ${clock(life.began)}`];
  if (life.ready_at !== null) parts.push(`ready ${clock(life.ready_at)} after ${secs(life.boot_secs)}`);
  if (life.retiring_at !== null) parts.push(`asked to leave ${clock(life.retiring_at)}`);
  if (life.gone_at !== null) parts.push(`gone ${clock(life.gone_at)}`);
  if (life.release) parts.push(`release ${life.release}`);
  return parts.join("; ");
}

// ``known``: since when it is known who has gone.
function drawn(lives, from, to, desired, known = from) {
  const span = Math.max(to - from, 0.1);
  const place = (at) => (Math.min(Math.max(at - from, 0), span) / span) * 100;
  const bar = (svg, begin, end, kind, more = {}) => {
    const [x, until] = [place(begin), place(end)];
    if (end < from || begin > to) return;
    const width = `${Math.max(until - x, 0.15)}%`;
    svg.append(made("rect", "", { x: `${x}%`, width, height: "100%", class: kind, ...more }));
  };
  const sorted = [...lives].sort((a, b) => a.began - b.began || a.pid - b.pid);
  const rows = made("ul", "", { class: "rows", "aria-label": "Workers" });
  for (const life of sorted.slice(-ROWS)) {
    const row = made("li", "", { title: told(life), "data-pid": life.pid, "data-state": life.state });
    const svg = made("svg", "", { "aria-hidden": "true" });
    for (const [begin, end, kind] of pieces(life, to)) bar(svg, begin, end, kind);
    row.append(made("span", described(life)), svg);
    rows.append(row);
  }
  const found = [rows];
  if (sorted.length > ROWS) found.push(made("p", `and ${sorted.length - ROWS} more`, { class: "empty" }));
  found.push(capacity(lives, Math.max(from, known), to, desired, bar));
  const axis = made("div", "", { class: "axis", "aria-hidden": "true" });
  const times = made("div");
  for (const part of [0, 0.25, 0.5, 0.75, 1]) times.append(made("span", clock(from + part * span)));
  axis.append(made("span"), times);
  return [...found, axis];
}

function capacity(lives, from, to, desired, bar) {
  const moments = new Set([from]);
  for (const life of lives)
    for (const at of [life.ready_at, life.retiring_at, life.gone_at])
      if (at !== null && at > from && at < to) moments.add(at);
  const steps = [...moments].sort((a, b) => a - b);
  const ready = steps.map((at) => lives.filter((life) => isReady(life, at)).length);
  const most = Math.max(desired, ...ready, 1);
  const svg = made("svg", "", { "aria-hidden": "true" });
  steps.forEach((at, index) => {
    const height = (ready[index] / most) * 100;
    bar(svg, at, steps[index + 1] ?? to, "ready", { y: `${100 - height}%`, height: `${height}%` });
  });
  if (desired) bar(svg, from, to, "desired", { y: `${100 - (desired / most) * 100}%`, height: "1" });
  const row = made("div", "", { class: "capacity" });
  const [least, top] = [Math.min(...ready), Math.max(...ready)];
  row.append(made("span", `ready: ${least === top ? least : `${least} to ${top}`}, wanted: ${desired}`), svg);
  return row;
}

// ---- orders ----

const QUESTIONS = {
  "dry-run": (name) => [
    "Dry run",
    `Replaces nothing. The application of ${name} is loaded once beside what serves (a preflight), and you ` +
      "are told what a rollout would do, take and cost.",
  ],
  rollout: (name, s) => [
    "Roll",
    `Replaces the ${count(s.desired, "worker")} of ${name} by new ones that run what is deployed now, with the ` +
      "settings of its [roll:] section. What serves goes on until its replacement is ready. If a new worker fails, " +
      "the rollout stops, what it started is removed, and what served goes on serving.",
  ],
  pause: (name) => ["Pause", `Holds the rollout of ${name} where it is; old and new workers serve until you resume or abort it.`],
  resume: (name) => ["Resume", `Lets the rollout of ${name} go on.`],
  abort: (name, s) => [
    "Abort",
    `Ends the rollout of ${name} and removes what it started. ` +
      (s.strategy === "arbiter"
        ? "Unless the new arbiter has taken over already, the old one goes on as it was."
        : `Workers that were replaced already (${s.done} of ${s.total}) stay, so two releases may serve.`),
  ],
  recycle: (name) => [
    "Recycle",
    `Replaces the one worker of ${name} with the most memory, once a new one is ready, which runs what is deployed now.`,
  ],
};

function confirmed(name, kind, program) {
  const [verb, text] = QUESTIONS[kind](name, program.status);
  const dialog = one("ask");
  one("ask-title").textContent = `${verb} ${name}?`;
  one("ask-text").textContent = text;
  dialog.querySelector("[value=yes]").textContent = verb;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) =>
    dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }),
  );
}

async function ordered(name, kind) {
  if (!(await confirmed(name, kind, cards.get(name).program))) return;
  try {
    const answer = await ask("orders", {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Roll-Token": document.querySelector("[name=token]").content },
      body: JSON.stringify({ kind, names: [name] }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(answer.status === 400 ? JSON.parse(text).error : text);
    const receipt = JSON.parse(text);
    if (kind === "dry-run") await showJob(receipt.id, `Dry run of ${name}`);
    else if (kind === "rollout" || kind === "recycle") cards.get(name).followed = receipt.id;
    await follow(cards.get(name));
  } catch (error) {
    show(`${name}: this was not done`, [made("pre", error.message)]);
  }
}

function show(title, content) {
  one("shown-title").textContent = title;
  one("shown-body").replaceChildren(...content);
  if (!one("shown").open) one("shown").showModal();
}

async function showJob(job, title) {
  const list = made("ol", "", { class: "reports", role: "log", "aria-live": "polite" });
  const waits = made("p", "The listener looks ...", { class: "empty" });
  show(title, [waits, list]);
  for (let since = 0, done = false; !done && one("shown").open; ) {
    const found = await read(`jobs/${encodeURIComponent(job)}.json?since=${since}`);
    for (const report of found.reports) list.append(reported(report));
    since = found.reports.at(-1)?.seq ?? since;
    done = found.done;
    if (!done) await sleep(400);
  }
  waits.remove();
}

async function read(path) {
  const answer = await ask(path);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
}

// ---- programs ----

function card(name) {
  const article = one("program").content.cloneNode(true).firstElementChild;
  article.dataset.program = name;
  article.querySelector(".name").textContent = name;
  article.setAttribute("aria-label", name);
  const buttons = article.querySelector(".buttons");
  buttons.setAttribute("aria-label", `What to do with ${name}`);
  for (const button of buttons.children) {
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
    button.addEventListener("click", () => ordered(name, button.dataset.kind));
  }
  return { name, article, followed: "", since: 0, busy: false, gone: [], known: now() };
}

function update(shown, program) {
  const { article } = shown;
  const s = program.status;
  const rolls = UNDER_WAY.includes(s.state);
  // A recycling hides the last rollout only as long as it lasts: that is no news then.
  const hasEnded = s.ended && s.ended !== shown.lastEnd;
  if (s.job && (rolls || hasEnded)) shown.followed = s.job;
  if (hasEnded) {
    shown.lastEnd = s.ended;
    history();
  }
  const vanished = (shown.program?.workers ?? []).filter((life) => !program.workers.some((other) => same(life, other)));
  for (const life of vanished) shown.gone.push({ ...life, gone_at: life.gone_at ?? status.at, state: life.state === "failed" ? "failed" : "gone" });
  shown.program = program;
  const part = (name) => article.querySelector(name);
  part(".badge").textContent = s.backing_off ? `${s.state}, backing off` : s.state;
  part(".badge").className = `badge ${s.state}`;
  const ready = made("strong", `${s.ready} of ${s.desired} ready`, s.ready < s.desired ? { class: "few" } : {});
  const facts = [program.process, ...program.releases.map((release) => `release ${release}`)];
  if (s.drained) facts.push(`out of service: ${s.drained}`);
  if (s.by) facts.push(`${rolls ? "asked for" : "last asked for"} by ${s.by}`);
  if (s.ended) facts.push(`ended ${moment(s.ended)}`);
  if (s.successor) facts.push(`arbiter ${s.arbiter} serves, its successor ${s.successor} starts`);
  if (s.retiring) facts.push(`arbiter ${s.retiring} finishes its requests`);
  part(".facts").replaceChildren(ready, ...facts.filter(Boolean).map((text) => ` · ${text}`));
  part(".progress").hidden = !rolls;
  const bar = part("progress");
  bar.max = Math.max(s.total, 1);
  bar.value = s.done;
  bar.setAttribute("aria-label", `Workers of ${shown.name} that are replaced`);
  part(".progress span").textContent = `${s.done} of ${s.total} replaced${left(s)}`;
  const why = s.why || s.backing_off || s.recycling || (program.resists && `cannot be rolled: ${program.resists}`);
  part(".why").hidden = !why;
  if (part(".why").textContent !== brief(why)) part(".why").textContent = brief(why);
  const may = {
    "dry-run": !rolls,
    rollout: !rolls,
    pause: s.state === "progressing",
    resume: s.state === "paused",
    abort: rolls,
    recycle: !rolls,
  };
  for (const button of part(".buttons").children) {
    button.disabled = !may[button.dataset.kind];
    button.hidden = button.disabled && ["pause", "resume", "abort"].includes(button.dataset.kind);
  }
  draw(shown);
  follow(shown);
}

function left(s) {
  if (s.state === "paused") return ", paused";
  const took = now() - s.since;
  if (!s.done || s.done >= s.total) return "";
  const more = (took / s.done) * (s.total - s.done);
  return `, about ${more < 100 ? `${Math.ceil(more)} s` : secs(more)} left`;
}

const same = (life, other) => life.pid === other.pid && Math.abs(life.began - other.began) < 1;

// The listener's time, as far as it is known.
const now = () => status.at + (performance.now() - status.came) / 1000;

function draw(shown) {
  const { status: s, workers } = shown.program;
  const to = now();
  let from = Math.max(to - SHOWN_SECS, Math.min(...workers.map((life) => life.began), to) - 1);
  if (UNDER_WAY.includes(s.state)) {
    from = s.since - Math.max(1, (to - s.since) * 0.1);
    shown.known = Math.min(shown.known, from);
  }
  // Who has gone in a rollout is told of no more once it has ended.
  const gone = (shown.gone = shown.gone.filter((life) => life.gone_at > to - SHOWN_SECS));
  if (gone.length && !UNDER_WAY.includes(s.state)) from = Math.min(from, Math.max(to - SHOWN_SECS, s.since - 1));
  const lives = [...gone.filter((life) => life.gone_at > from), ...workers];
  shown.article.querySelector(".timeline").replaceChildren(...drawn(lives, from, to, s.desired, shown.known));
}

async function follow(shown) {
  if (!shown.followed || shown.busy) return;
  shown.busy = true;
  const list = shown.article.querySelector(".reports");
  if (list.dataset.job !== shown.followed) {
    list.replaceChildren();
    list.dataset.job = shown.followed;
    shown.since = 0;
    shown.ended = false;
  }
  try {
    while (!shown.ended) {
      const found = await read(`jobs/${encodeURIComponent(shown.followed)}.json?since=${shown.since}`);
      for (const report of found.reports) {
        shown.since = report.seq;
        if (report.program === shown.name) list.append(reported(report));
      }
      while (list.children.length > REPORTS) list.firstChild.remove();
      list.hidden = !list.children.length;
      shown.ended = found.done;
      if (shown.ended) history();
      else await sleep(500);
      if (list.dataset.job !== shown.followed) break;
    }
  } catch {
    shown.ended = true; // supervisord no longer knows that job
  }
  shown.busy = false;
}

function render() {
  one("programs").querySelector(":scope > .empty")?.toggleAttribute("hidden", status.programs.length > 0);
  const names = new Set(status.programs.map((program) => program.name));
  for (const [name, { article }] of cards)
    if (!names.has(name)) {
      article.remove();
      cards.delete(name);
    }
  for (const program of status.programs) {
    if (!cards.has(program.name)) {
      const made = card(program.name);
      cards.set(program.name, made);
      const after = [...cards.keys()].sort().find((name) => name > program.name);
      one("programs").insertBefore(made.article, after ? cards.get(after).article : null);
    }
    update(cards.get(program.name), program);
  }
}

// ---- history ----

async function history() {
  let found;
  try {
    found = await read("history.json");
  } catch (error) {
    one("no-history").textContent = error.message;
    return;
  }
  const past = found.reports.filter((report) => report.kind === "past").reverse();
  const said = found.reports.find((report) => report.kind !== "past");
  one("no-history").textContent = said ? said.facts.why || said.facts.text : past.length ? "" : "No rollout has ended yet.";
  one("history").replaceChildren(...past.map(row));
}

function row(report) {
  const f = report.facts;
  const line = made("tr");
  const link = made("button", String(f.id), { type: "button", class: "link", "aria-label": `Rollout ${f.id} of ${report.program}` });
  link.addEventListener("click", () => rollout(f.id, report.program));
  const verdict = made("td");
  verdict.append(made("span", f.verdict, { class: `badge ${f.verdict}` }));
  if (f.verdict !== "complete" && f.why) verdict.append(made("br"), made("small", first(f.why)));
  const number = made("td");
  number.append(link);
  const release = f.release_before === f.release_after || !f.release_after ? f.release_before : `${f.release_before || "?"} → ${f.release_after}`;
  const replaced = f.total ? `${f.replaced} of ${f.total}` : "";
  const by = f.recycling ? `${f.by}: recycled` : f.by;
  const texts = [replaced, f.secs ? secs(f.secs) : "", release, by];
  line.append(number, made("td", moment(f.began)), made("td", report.program), verdict, ...texts.map((text) => made("td", text)));
  return line;
}

async function rollout(id, program) {
  show(`Rollout ${id} of ${program}`, [made("p", "The listener looks ...", { class: "empty" })]);
  try {
    const { reports } = await read(`rollouts/${id}.json`);
    const past = reports.find((report) => report.kind === "past")?.facts;
    if (!past) throw new Error("it is no longer kept");
    const lives = reports.filter((report) => report.kind === "worker").map((report) => report.facts);
    const told = reports.filter((report) => !["past", "worker"].includes(report.kind));
    const facts = [past.verdict, past.strategy && `strategy ${past.strategy}`, `began ${moment(past.began)}`, past.secs && `took ${secs(past.secs)}`];
    const content = [made("p", facts.filter(Boolean).join(" · "), { class: "facts" })];
    if (past.why) content.push(made("pre", brief(past.why)));
    if (lives.length) {
      const ends = [past.began + past.secs, ...lives.map((life) => life.gone_at ?? 0)];
      const margin = Math.max(0.5, past.secs * 0.08);
      const desired = told.find((report) => report.kind === "began")?.facts.desired ?? 0;
      const timeline = made("div", "", { class: "timeline" });
      timeline.append(...drawn(lives, past.began - margin, Math.max(...ends) + margin, desired));
      content.push(timeline);
    }
    const list = made("ol", "", { class: "reports" });
    list.append(...told.map(reported));
    show(`Rollout ${id} of ${program}`, [...content, list]);
  } catch (error) {
    show(`Rollout ${id} of ${program}`, [made("pre", error.message)]);
  }
}

// ---- what comes in ----

function say(text, bad) {
  if (one("state").textContent !== text) one("state").textContent = text;
  one("state").className = bad ? "bad" : "";
}

async function poll() {
  const answer = await ask(number === null ? "status.json" : `events?since=${number}`);
  const listener = answer.headers.get("Roll-Listener");
  const runs = listener === "RUNNING";
  if (answer.ok) {
    const known = number;
    number = answer.headers.get("Roll-Number");
    const found = await answer.json();
    if (number !== known) {
      status = { ...found, came: performance.now() };
      render();
    }
    if (known === null) history();
    if (runs) say(status.trouble ? `the listener: ${status.trouble}` : "live", Boolean(status.trouble));
  }
  if (listener === null) throw new Error((await answer.text()).trim());
  if (!runs) say(listener ? `the listener is ${listener}: what is shown may be old` : "no listener has connected: no rollout is possible", true);
  return answer.ok && runs;
}

async function live() {
  for (;;) {
    let well = false;
    try {
      well = await poll();
    } catch {
      say("supervisord does not answer: what is shown may be old", true);
    }
    await sleep(well ? 250 : 2000);
    while (document.hidden) await sleep(500); // nobody looks, so nobody asks
  }
}

one("host").textContent = location.host;
setInterval(() => {
  if (status && !document.hidden) for (const shown of cards.values()) draw(shown);
}, 1000);
live();
