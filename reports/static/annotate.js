"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const attributes = data.questions.map((question) => question.attribute);
  const fields = attributes.map((name) => document.querySelector(`fieldset[data-attribute="${CSS.escape(name)}"]`));
  const last = `rolecall:sheet:${data.sheet}`;
  const WHOLE = ["no_person", "several_people"];
  let rater = "";
  let answers = {};
  let at = 0;
  let active = 0;
  let past = [];
  let stores = true;

  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
  const keyOf = (name) => `${last}:${name}`;
  const load = (key) => {
    try {
      return localStorage.getItem(key);
    } catch {
      stores = false;
      return null;
    }
  };
  const save = () => {
    try {
      localStorage.setItem(keyOf(rater), JSON.stringify({ answers, at }));
      localStorage.setItem(last, rater);
    } catch {
      stores = false;
    }
    $("unstored").hidden = stores;
  };
  const given = (place) => answers[data.items[place][0]] || {};
  const complete = (place) => attributes.every((name) => given(place)[name]);
  const count = () => data.items.filter((_, place) => complete(place)).length;

  const csv = () => {
    const quoted = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const lines = ["sample_id,rater,attribute,class,stratum,sampling_probability"];
    for (const [sample, stratum, chance] of data.items) {
      for (const name of attributes) {
        const answer = (answers[sample] || {})[name];
        if (answer) lines.push([sample, rater, name, answer, stratum, chance].map(quoted).join(","));
      }
    }
    return `${lines.join("\n")}\n`;
  };
  const download = () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
    const name = rater.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "") || "rater";
    link.download = `labels-${data.sheet}-${name}.csv`;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  const mark = () => {
    const now = given(at);
    fields.forEach((field, place) => {
      const on = place === active;
      field.classList.toggle("active", on);
      if (on) {
        field.setAttribute("aria-current", "true");
        field.scrollIntoView({ block: "nearest" });
      } else field.removeAttribute("aria-current");
      field.classList.toggle("answered", Boolean(now[attributes[place]]));
      for (const button of field.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.value === now[attributes[place]]));
      }
    });
    for (const button of document.querySelectorAll("[data-whole]")) {
      const all = attributes.every((name) => now[name] === button.dataset.whole);
      button.setAttribute("aria-pressed", String(all));
    }
    const done = count();
    $("progress").value = done;
    $("count").textContent = fill(data.words.done, { n: done, all: data.items.length });
    $("undo").disabled = past.length === 0;
    document.querySelector('[data-move="-1"]').disabled = at === 0;
    document.querySelector('[data-move="1"]').disabled = at === data.items.length - 1;
  };
  const show = (place, question) => {
    at = place;
    const open = attributes.findIndex((name) => !given(at)[name]);
    active = question ?? Math.max(open, 0);
    $("finished").hidden = true;
    $("stage").hidden = $("moves").hidden = false;
    const values = { n: at + 1, all: data.items.length };
    $("picture").src = data.items[at][3];
    $("picture").alt = fill(data.words.alt, values);
    $("where").textContent = $("said").textContent = fill(data.words.picture, values);
    mark();
    save();
  };
  const finish = () => {
    $("stage").hidden = $("moves").hidden = true;
    $("finished").hidden = false;
    $("copy").value = csv();
    $("finished").focus();
    mark();
    save();
  };
  const advance = () => {
    const all = data.items.length;
    for (let step = 1; step <= all; step += 1) {
      const place = (at + step) % all;
      if (!complete(place)) return show(place);
    }
    return finish();
  };
  const remember = () => past.push({ at, active, before: { ...given(at) } });
  const settle = (was, now) => {
    answers[data.items[at][0]] = now;
    if (!was && complete(at)) advance();
    else {
      const open = attributes.findIndex((name) => !now[name]);
      if (open >= 0) active = open;
      mark();
      save();
    }
  };
  const choose = (question, value) => {
    remember();
    const was = complete(at);
    const kept = Object.entries(given(at)).filter(([, answer]) => !WHOLE.includes(answer));
    active = question;
    settle(was && kept.length === attributes.length, { ...Object.fromEntries(kept), [attributes[question]]: value });
  };
  const chooseWhole = (value) => {
    remember();
    settle(complete(at), Object.fromEntries(attributes.map((name) => [name, value])));
  };
  const undo = () => {
    const step = past.pop();
    if (!step) return;
    const sample = data.items[step.at][0];
    if (Object.keys(step.before).length) answers[sample] = step.before;
    else delete answers[sample];
    show(step.at, step.active);
  };
  const move = (by) => {
    if (!$("finished").hidden) return;
    const place = at + by;
    if (place >= 0 && place < data.items.length) show(place);
  };

  fields.forEach((field, place) => {
    field.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) choose(place, button.dataset.value);
    });
  });
  for (const button of document.querySelectorAll("[data-whole]")) {
    button.addEventListener("click", () => chooseWhole(button.dataset.whole));
  }
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(Number(button.dataset.move)));
  }
  for (const button of document.querySelectorAll("[data-download]")) button.addEventListener("click", download);
  $("undo").addEventListener("click", undo);
  $("again").addEventListener("click", () => show(0, 0));
  $("copy").addEventListener("focus", (event) => event.target.select());

  document.addEventListener("keydown", (event) => {
    if ($("work").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("textarea, input")) return;
    const actions = {
      ArrowLeft: () => move(-1),
      ArrowRight: () => move(1),
      ArrowUp: () => step(-1),
      ArrowDown: () => step(1),
      Backspace: undo,
      u: undo,
      n: () => chooseWhole("no_person"),
      s: () => chooseWhole("several_people"),
    };
    const step = (by) => {
      active = Math.min(Math.max(active + by, 0), attributes.length - 1);
      mark();
      $("said").textContent = fields[active].querySelector("legend").textContent;
    };
    const finished = !$("finished").hidden;
    if (finished && !["u", "Backspace"].includes(event.key)) return;
    const button = [...fields[active].querySelectorAll("[data-key]")].find((each) => each.dataset.key === event.key);
    const action = button ? () => choose(active, button.dataset.value) : actions[event.key];
    if (!action || (event.repeat && !event.key.startsWith("Arrow"))) return;
    event.preventDefault();
    action();
  });
  window.addEventListener("beforeunload", (event) => {
    if (!stores && past.length) event.preventDefault();
  });

  const known = () => {
    const stored = load(keyOf($("rater").value.trim()));
    $("start").textContent = stored ? data.words.go_on : data.words.start;
  };
  $("rater").value = load(last) || "";
  $("rater").addEventListener("input", known);
  known();
  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const missing = $("missing");
    rater = $("rater").value.trim().replace(/\s+/g, " ");
    missing.textContent = !$("read").checked ? missing.dataset.read : rater ? "" : missing.dataset.rater;
    if (missing.textContent) {
      $($("read").checked ? "rater" : "read").focus();
      return;
    }
    let stored = null;
    try {
      stored = JSON.parse(load(keyOf(rater)));
    } catch {
      stored = null;
    }
    answers = stored?.answers || {};
    $("intro").hidden = true;
    $("work").hidden = false;
    document.activeElement?.blur();
    const place = Math.min(stored?.at || 0, data.items.length - 1);
    if (count() === data.items.length) finish();
    else show(place);
    window.scrollTo(0, 0);
  });
})();
