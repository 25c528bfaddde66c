"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const get = (id) => document.getElementById(id);
const said = (number) => facts.words[number];
const signed = (number) => (number < 0 ? "\u2212" : "+") + Math.abs(number).toFixed(1);
const FIELDS = ["modality", "dims", "task", "labels", "images"];

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  Object.entries(options).forEach(([name, value]) => element.setAttribute(name, value));
  element.append(...children);
  return element;
}

function list(items) {
  return make("ul", {}, ...items.map((item) => make("li", {}, item)));
}

function fill(id, values, titles = values) {
  const before = get(id).value;
  get(id).replaceChildren(...values.map((v, k) => make("option", { value: v }, String(titles[k]))));
  if (values.map(String).includes(before)) get(id).value = before;
}

function study(id) {
  const [title, url] = facts.studies[id] || [id, ""];
  return url ? make("a", { href: url, rel: "noreferrer" }, title) : make("span", {}, title);
}

/* What is chosen lives in the address, so that an answer can be linked to. */
function readChoice() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (facts.modalities[asked.get("modality")]) get("modality").value = asked.get("modality");
  offerDims();
  FIELDS.forEach((id) => {
    const offered = [...get(id).options].some((option) => option.value === asked.get(id));
    if (offered) get(id).value = asked.get(id);
  });
  get("natural").checked = asked.get("natural") === "1";
}

function offerDims() {
  const dims = facts.modalities[get("modality").value][1];
  fill("dims", dims, dims.map((d) => `${d}D`));
  get("dims").disabled = dims.length < 2;
}

function show() {
  offerDims();
  const flat = get("dims").value === "2";
  get("natural").disabled = !flat;
  const natural = flat && get("natural").checked ? 1 : 0;
  const chosen = FIELDS.map((id) => get(id).value);
  const asked = new URLSearchParams(FIELDS.map((id, k) => [id, chosen[k]]));
  asked.set("natural", natural);
  history.replaceState(null, "", `#${asked}`);
  const found = facts.situations[[...chosen, natural].join("|")];
  [get("ranking"), get("more"), get("cell"), get("answer")].forEach((e) => e.replaceChildren());
  get("against").textContent = "";
  if (found) showAdvice(found);
  else {
    get("answer").className = "verdict";
    get("answer").append(make("p", { class: "word" }, "More labelled images than images: choose fewer labels."));
  }
  showMap();
}

function showAdvice(found) {
  const answer = said(found.answer);
  get("answer").className = "verdict " + (answer === "pretrain" ? "pretrain" : answer.includes("pilot") ? "pilot" : "");
  const word = answer[0].toUpperCase() + answer.slice(1);
  get("answer").append(make("p", { class: "word" }, word), list(found.because.map(said)));
  get("against").textContent = `Expected gain in points against ${said(found.baseline)}; ${found.studies} studies with figures on this modality and task.`;
  showRanking(found);
  showMore(found);
}

function showRanking(found) {
  const ends = found.ranking.flatMap(([, numbers]) => numbers.slice(0, 5));
  const low = Math.min(0, ...ends), high = Math.max(0, ...ends);
  const place = (value) => 4 + (92 * (value - low)) / (high - low || 1);
  const titles = ["", "", "Gain", "80% interval", "Best of these"];
  const head = titles.map((title, k) => make("th", k > 1 ? { class: k === 3 ? "number wide" : "number", scope: "col" } : {}, title));
  get("ranking").append(make("thead", {}, make("tr", {}, ...head)));
  const body = make("tbody");
  found.ranking.forEach(([method, numbers, how, moves, rules]) => {
    const [title, paradigm] = facts.methods[method];
    const [mean, likely, likelier, wide, wider, best] = numbers;
    const name = make("th", { scope: "row" }, title, make("br"), make("span", { class: "paradigm" }, paradigm));
    const cells = [signed(mean), `${signed(likely)} to ${signed(likelier)}`, `${best.toFixed(0)}%`];
    const plot = draw(place, [likely, likelier], [wide, wider], mean);
    body.append(make("tr", { "data-method": method }, name, make("td", {}, plot), ...cells.map((c, k) => make("td", { class: k === 1 ? "number wide" : "number" }, c))));
    const told = [make("p", {}, "How to run it"), list(how.map(said))];
    if (moves.length) told.push(make("p", {}, "Studies that moved it most, in points"), list(moves.map(([id, points]) => make("span", {}, `${signed(points)}  `, study(id)))));
    if (rules.length) told.push(make("p", {}, "Rules that moved it, in points"), list(rules.map(([key, points]) => `${key}  ${signed(points)}`)));
    const details = make("details", {}, make("summary", {}, `${title}: how, and why`), ...told);
    body.append(make("tr", {}, make("td", { colspan: 5 }, details)));
  });
  get("ranking").append(body);
}

function draw(place, likely, wide, mean) {
  const svg = (tag, options) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(options).forEach(([name, value]) => element.setAttribute(name, value));
    return element;
  };
  const line = ([from, to], width, colour) => svg("line", { x1: `${place(from)}%`, x2: `${place(to)}%`, y1: 15, y2: 15, stroke: colour, "stroke-width": width });
  const plot = svg("svg", { class: "plot", role: "img", "aria-label": `95% from ${signed(wide[0])} to ${signed(wide[1])}` });
  plot.append(
    svg("line", { x1: `${place(0)}%`, x2: `${place(0)}%`, y1: 0, y2: 30, stroke: "#9aa2ad" }),
    line(wide, 2, "#0072b2"),
    line(likely, 7, "#56b4e9"),
    svg("circle", { cx: `${place(mean)}%`, cy: 15, r: 5, fill: "#0b3c5d" }),
  );
  return plot;
}

/* Neighbouring situations with another answer or another first paradigm. */
function listChanges(found) {
  const chosen = FIELDS.map((id) => get(id).value), natural = get("natural").checked && get("dims").value === "2" ? 1 : 0;
  const first = (advice) => (advice.ranking.length ? facts.methods[advice.ranking[0][0]][1] : "");
  const variants = ["labels", "images"].flatMap((id) => {
    const place = facts[id].indexOf(Number(get(id).value));
    return [place - 1, place + 1].filter((k) => k in facts[id]).map((k) => {
      const words = `with ${facts[id][k].toLocaleString("en")} ${id === "labels" ? "labelled images" : "images in all"}`;
      return [words, [...chosen.map((value, f) => (FIELDS[f] === id ? facts[id][k] : value)), natural]];
    });
  });
  variants.push([`${natural ? "without" : "with"} natural-image weights`, [...chosen, 1 - natural]]);
  return variants.flatMap(([words, key]) => {
    const there = facts.situations[key.join("|")];
    if (!there || (there.answer === found.answer && first(there) === first(found))) return [];
    return [`${words}: ${said(there.answer)}${first(there) ? `, ${first(there)} first` : ""}`];
  });
}

function showMore(found) {
  const choice = `--modality ${get("modality").value} --task ${get("task").value}`;
  const first = found.ranking.length ? ` --method ${found.ranking[0][0]}` : "";
  const parts = [
    ["What would change the advice", listChanges(found)],
    ["Rules that apply", found.rules.map(([key, text, strength, source]) => `${key}: ${said(text)} (${said(strength)}; ${said(source)})`)],
    ["Ruled out", found.vetoes.map(([method, reason]) => `${facts.methods[method][0]}: ${said(reason)}`)],
    ["Augmentations forbidden here", found.banned.length ? [found.banned.map(said).join(", ")] : []],
  ];
  if (facts.runs.includes(get("task").value)) get("more").append(make("div", {}, make("h3", {}, "Measure it on your images"), make("pre", {}, `tassl run DATA ${choice} --out runs/a\ntassl pretrain DATA ${choice}${first} --out runs/b`)));
  parts.filter(([, items]) => items.length).forEach(([title, items]) => get("more").append(make("div", {}, make("h3", {}, title), list(items))));
}

function showMap() {
  const task = get("task").value, modality = get("modality").value;
  const count = (key) => new Set((facts.cells[key] || []).map(([id]) => id)).size;
  const kind = (name, paradigm) => [name === task ? "" : "other", paradigm === facts.paradigms[0] ? "first" : ""].join(" ").trim();
  const over = facts.tasks.map((name) => make("th", { colspan: facts.paradigms.length, class: kind(name, facts.paradigms[0]), scope: "colgroup" }, name));
  const under = facts.tasks.flatMap((name) => facts.paradigms.map((p) => make("th", { class: kind(name, p), scope: "col", title: p }, `${p.slice(0, 4)}.`)));
  const rows = Object.entries(facts.modalities).map(([name, [title]]) => {
    const cells = facts.tasks.flatMap((t) => facts.paradigms.map((p) => {
      const key = `${name}|${t}|${p}`, n = count(key), here = name === modality && t === task;
      const shade = Math.min(1, Math.log1p(n) / Math.log(25));
      const options = { type: "button", class: `${here ? "here" : ""} ${shade > 0.55 ? "dark" : ""}`.trim(), style: n ? `background: rgba(11, 83, 148, ${(0.1 + 0.85 * shade).toFixed(2)})` : "", "aria-label": `${title}, ${t}, ${p}: ${n} studies`, "data-cell": key };
      if (!n) options.disabled = "";
      return make("td", { class: kind(t, p) }, make("button", options, String(n)));
    }));
    return make("tr", {}, make("th", { scope: "row" }, title), ...cells);
  });
  get("map").replaceChildren(make("thead", {}, make("tr", {}, make("td"), ...over), make("tr", {}, make("td"), ...under)), make("tbody", {}, ...rows));
}

function showCell(key) {
  const [modality, task, paradigm] = key.split("|");
  const told = new Map();
  facts.cells[key].forEach(([id, text]) => told.set(id, [...(told.get(id) || []), text]));
  const items = [...told].map(([id, texts]) => make("div", {}, study(id), list(texts.filter(Boolean))));
  get("cell").replaceChildren(make("h3", {}, `${facts.modalities[modality][0]}, ${task}, ${paradigm}: ${told.size} studies`), ...items);
}

fill("modality", Object.keys(facts.modalities), Object.values(facts.modalities).map(([title]) => title));
fill("task", facts.tasks);
["labels", "images"].forEach((id) => fill(id, facts[id], facts[id].map((n) => n.toLocaleString("en"))));
get("labels").value = facts.labels[1];
get("images").value = facts.images[1];
readChoice();
show();
get("choice").addEventListener("change", show);
get("choice").addEventListener("submit", (event) => event.preventDefault());
get("map").addEventListener("click", (event) => {
  const cell = event.target.closest("[data-cell]");
  if (cell) showCell(cell.dataset.cell);
});
addEventListener("hashchange", () => { readChoice(); show(); });
