// The playground: asks the rerank route like any client, and shows what came back.
const $ = (id) => document.getElementById(id);
const made = (tag, className, text) => Object.assign(document.createElement(tag), { className, textContent: text ?? "" });

const READY = { ready: ["ready", "ready"], loading: ["waiting", "the model is loading …"], stopping: ["gone", "stopping"] };
let running = null;
let asked = false;

let sample = [];

// Lines, a JSON array, or JSON lines; strings, or objects of which the service reads the text.
function passages() {
  const text = $("passages").value.trim();
  const lines = text.split("\n").map((line) => line.trim()).filter(Boolean);
  const whole = parsed(text);
  if (Array.isArray(whole)) return whole;
  const each = lines.map(parsed);
  return each.length && each.every((one) => one && typeof one === "object") ? each : lines;
}

function parsed(text) {
  if (!/^[[{"]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const textOf = (one) => (typeof one === "string" ? one : one.text ?? one.content ?? one.page_content ?? one.passage ?? JSON.stringify(one));
const headers = () => ({ "Content-Type": "application/json", ...($("key").value && { Authorization: `Bearer ${$("key").value}` }) });

function request() {
  const body = { query: $("query").value, documents: passages() };
  if ($("model").value) body.model = $("model").value;
  if ($("strategy").value.trim()) body.strategy = $("strategy").value.trim();
  if ($("top_n").value) body.top_n = Number($("top_n").value);
  return body;
}

async function rerank(event) {
  event?.preventDefault();
  if (!$("form").reportValidity()) return;
  running?.abort();
  const mine = (running = new AbortController());
  const body = request();
  problem("");
  busy(true);
  const started = performance.now();
  try {
    const answer = await fetch("v2/rerank", { method: "POST", headers: headers(), body: JSON.stringify({ ...body, trace: true }), signal: mine.signal });
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) throw Object.assign(new Error(found.message || `the service answered ${answer.status}`), { status: answer.status });
    show(body, found, performance.now() - started);
    if ($("key").value) sessionStorage.setItem("key", $("key").value);
    if (!$("facts").textContent) facts();
  } catch (error) {
    if (error.name === "AbortError") return;
    const mine = error.status === 401;
    problem(error.status ? error.message : "the service does not answer", mine);
    if (mine) $("key").focus();
  } finally {
    if (running === mine) {
      running = null;
      busy(false);
    }
  }
}

function busy(yes) {
  $("rerank").disabled = yes;
  $("cancel").hidden = !yes;
  if (yes) $("summary").textContent = "Ranking …";
}

function problem(text, ofKey = false) {
  for (const [id, shown] of [["problem", text && !ofKey], ["key-problem", text && ofKey]]) {
    $(id).hidden = !shown;
    $(id).textContent = shown ? text : "";
  }
  if (ofKey) $("key-row").hidden = false;
  if (!text) return;
  for (const id of ["ranking", "before", "windows"]) $(id).replaceChildren();
  for (const id of ["sides", "more", "relative", "warnings"]) $(id).hidden = true;
  $("summary").textContent = "No ranking.";
}

function meaning({ calibrated, nothing_relevant }) {
  if (!calibrated) return "Scores are relative to this list: 0.5 is an average passage of it, and nothing is compared between requests.";
  const none = Math.round(100 * nothing_relevant);
  return `Scores are probabilities of relevance, and compare between requests. The probability that no passage is relevant: ${none}%.`;
}

function show(body, found, milliseconds) {
  const { results, trace, usage, meta, warnings } = found;
  const texts = body.documents.map(textOf);
  const figures = [
    [results.length, results.length === body.documents.length ? "passages" : `of ${body.documents.length} passages`],
    [trace.windows.length, trace.windows.length === 1 ? "window" : "windows"],
    [usage.prompt_tokens.toLocaleString("en"), "tokens"],
    [Math.round(milliseconds).toLocaleString("en"), "ms"],
  ];
  $("summary").replaceChildren(...figures.flatMap(([figure, what], i) => [i ? " · " : "", made("b", "", figure), ` ${what}`]));
  if (meta.cut.documents) $("summary").append(` · ${meta.cut.documents} read in part, ${meta.cut.tokens} tokens each`);
  $("warnings").hidden = !warnings;
  $("warnings").textContent = (warnings ?? []).join("; ");
  const placeOf = new Map(results.map(({ index }, place) => [index, place]));
  $("before").replaceChildren(...texts.map((text, index) => plainRow(text, index, placeOf.get(index))));
  $("ranking").replaceChildren(...results.map((result, place) => row(result, place, texts)));
  $("relative").textContent = meaning(found);
  $("sides").hidden = $("relative").hidden = false;
  for (const text of document.querySelectorAll(".ranking .text")) clamp(text);
  $("windows").replaceChildren(...trace.windows.map((one) => windowRow(one, new Set(results.slice(0, 3).map(({ index }) => index)))));
  $("windows-hint").textContent = `${trace.strategy}, ${trace.rounds} ${trace.rounds === 1 ? "round" : "rounds"}; marked: the best 3`;
  $("curl").textContent = curl(body);
  $("python").textContent = python(body);
  $("more").hidden = false;
  if (matchMedia("(max-width: 820px)").matches) $("results").scrollIntoView({ behavior: "smooth" });
}

function row({ index, relevance_score: score }, place, documents) {
  const item = made("li");
  const up = index - place;
  const move = made("span", `move ${up > 0 ? "up" : up < 0 ? "down" : ""}`);
  move.append(
    Object.assign(made("span", "", up > 0 ? `▲ ${up}` : up < 0 ? `▼ ${-up}` : "＝"), { ariaHidden: "true" }),
    made("span", "unseen", `${up > 0 ? `up ${up}` : up < 0 ? `down ${-up}` : "same place"}, was ${index + 1}`),
  );
  const bar = made("div", "bar");
  const fill = made("i");
  fill.style.width = `${(100 * score).toFixed(1)}%`;
  bar.append(fill);
  item.append(made("span", "rank", place + 1), move, made("span", "text", documents[index]), made("span", "score", score.toFixed(4)), bar);
  return item;
}

function plainRow(text, index, place) {
  const item = made("li", place === undefined ? "left-out" : "");
  item.append(made("span", "rank", index + 1), made("span", "text", text));
  return item;
}

// A long passage shows three lines, and all of it when asked.
function clamp(text) {
  text.classList.add("clamped");
  if (text.scrollHeight <= text.clientHeight + 2) return text.classList.remove("clamped");
  const button = made("button", "quiet whole", "Show all");
  button.type = "button";
  button.setAttribute("aria-expanded", "false");
  button.addEventListener("click", () => {
    const open = !text.classList.toggle("clamped");
    button.textContent = open ? "Show less" : "Show all";
    button.setAttribute("aria-expanded", open);
  });
  text.parentElement.append(button);
}

function windowRow(one, best) {
  const item = made("li");
  const chips = made("span", "chips");
  chips.append(...one.indices.map((index) => made("span", best.has(index) ? "best" : "", index + 1)));
  item.append(made("span", "what", `round ${one.round} · ${one.indices.length} passages · ${one.prompt_tokens.toLocaleString("en")} tokens · ${Math.round(1000 * one.seconds)} ms`), chips);
  return item;
}

const address = () => new URL("v2/rerank", location.href).href;
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

function curl(body) {
  const key = $("key").value ? ` \\\n  -H "Authorization: Bearer $FIRSTRANK_KEY"` : "";
  return `curl ${address()} \\\n  -H "Content-Type: application/json"${key} \\\n  -d ${quoted(JSON.stringify(body, null, 2))}`;
}

function python(body) {
  const key = $("key").value ? `,\n    headers={"Authorization": f"Bearer {os.environ['FIRSTRANK_KEY']}"}` : "";
  return `${key ? "import os\n" : ""}import requests

answer = requests.post(
    ${JSON.stringify(address())},
    json=${JSON.stringify(body, null, 4).replaceAll("\n", "\n    ")}${key},
)
answer.raise_for_status()
for result in answer.json()["results"]:
    print(result["index"], result["relevance_score"])`;
}

async function examples() {
  sample = await (await fetch("example.json")).json();
  $("example").append(...sample.map(({ name }, i) => Object.assign(made("option", "", name), { value: i })));
  $("example").addEventListener("change", () => load(sample[$("example").value]));
  if ($("query").value || $("passages").value) return count();
  $("example").value = "0";
  load(sample[0]);
}

function load(chosen) {
  $("query").value = chosen?.query ?? "";
  $("passages").value = chosen?.passages.join("\n") ?? "";
  count();
}

async function facts() {
  const answer = await fetch("info", { headers: headers() });
  if (answer.status === 401) $("key-row").hidden = false;
  if (!answer.ok) return;
  const { version, model_id, models: all, strategies } = await answer.json();
  const { dtype, device, max_input_length: tokens } = all[model_id];
  const reads = tokens ? `reads ${tokens} tokens of a passage` : "";
  $("facts").textContent = [`Version ${version}`, model_id, dtype, device, reads].filter(Boolean).join(" · ");
  $("strategies").replaceChildren(...strategies.map((name) => Object.assign(made("option"), { value: name })));
}

function models(names) {
  if ($("model").options.length === names.length) return;
  $("model").replaceChildren(...names.map((name) => Object.assign(made("option", "", name), { value: name })));
  $("model-label").hidden = names.length < 2;
}

async function state() {
  let shown = ["gone", "not reachable"];
  try {
    const found = await (await fetch("ready")).json();
    shown = READY[found.status] ?? shown;
    if (found.status === "ready" && !asked) facts((asked = true));
    models(Object.keys(found.models));
  } catch {
    // shown as not reachable
  }
  $("state").className = `state ${shown[0]}`;
  if ($("state-text").textContent !== shown[1]) $("state-text").textContent = shown[1];
  setTimeout(state, shown[0] === "ready" ? 15000 : 1500);
}

const count = () => ($("count").textContent = passages().length);

$("form").addEventListener("submit", rerank);
$("form").addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && rerank(event));
$("cancel").addEventListener("click", () => {
  running?.abort();
  $("summary").textContent = "Cancelled.";
});
$("passages").addEventListener("input", () => {
  $("example").value = "";
  count();
});
$("file").addEventListener("change", async () => {
  const [file] = $("file").files;
  if (!file) return;
  $("passages").value = await file.text();
  $("example").value = "";
  count();
});
for (const button of document.querySelectorAll("[data-copy]"))
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText($(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });

$("key").value = sessionStorage.getItem("key") ?? "";
$("key-row").hidden = !$("key").value;
examples();
state();
