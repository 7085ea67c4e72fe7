"use strict";
const $ = (id) => document.getElementById(id);
$("curl").textContent = `curl -F file=@photo.jpg ${location.origin}/classify`;

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("answer").replaceChildren();
  $("status").textContent = "Classifying…";
  try {
    const response = await fetch("/classify", { method: "POST", body: new FormData($("form")) });
    const body = await response.json();
    if (!response.ok) { $("status").textContent = `${body.title}. ${body.detail}`; return; }
    $("status").textContent = `Answered by ${body.model.name} in ${Math.round(body.timings_ms.enclave)} ms.`;
    for (const { label, score } of body.predictions) {
      const percent = (score * 100).toFixed(1);
      const item = document.createElement("li");
      const bar = document.createElement("meter");
      bar.value = score;
      item.append(`${label} ${percent} % `, bar);
      $("answer").append(item);
    }
  } catch {
    $("status").textContent = "The gateway does not answer.";
  }
});

window.info.then((info) => {
  if (!info?.model) return;
  const facts = { Model: `${info.model.name} ${info.model.version}`, "Model digest": info.model.digest };
  for (const [name, value] of Object.entries(facts)) {
    const term = document.createElement("dt");
    const detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    $("facts").append(term, detail);
  }
});
