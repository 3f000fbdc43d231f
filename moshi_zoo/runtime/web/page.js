import { Conversation } from "./conversation.js";
import { RATE } from "./duplex.js";
import { Problem, requireSecureContext } from "./problem.js";
import { clock } from "./recording.js";
import { lookAtServer } from "./server.js";
import { Waveform } from "./waveform.js";

const LOOK_AGAIN_MS = 3000;
const INTERACTIVE = "a, button, input, select, summary, textarea";

const element = Object.fromEntries([...document.querySelectorAll("[id]")].map((node) => [node.id, node]));
const you = new Waveform(element.you, RATE);
const moshi = new Waveform(element.moshi, RATE);
let conversation = null;

element.talk.addEventListener("click", toggle);
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.repeat || event.target.closest(INTERACTIVE)) return;
  event.preventDefault(); // or the page scrolls
  toggle();
});
for (const output of document.querySelectorAll("output")) {
  const range = element[output.htmlFor.value];
  const show = () => (output.value = Number(range.value).toFixed(2));
  range.addEventListener("input", show);
  show();
}
element.settings.addEventListener("submit", (event) => event.preventDefault());
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
try {
  requireSecureContext(); // better said at once than after a click
} catch (problem) {
  showProblem(problem);
}
lookAfterServer();

function toggle() {
  if (conversation) conversation.stop();
  else if (element.settings.reportValidity()) talk();
}

function talk() {
  element.problem.textContent = "";
  element["talk-label"].textContent = "Stop";
  element.talk.dataset.talking = "";
  element.monologue.replaceChildren();
  element.keep.hidden = true;
  you.clear();
  moshi.clear();
  conversation = new Conversation(settings(), { onstage, onframe, ontext, onend });
  conversation.start();
  requestAnimationFrame(animate);
}

function settings() {
  const { clean, seed, ...query } = Object.fromEntries(new FormData(element.settings));
  query.text_seed = query.audio_seed = seed || Math.floor(Math.random() * 2 ** 31);
  return { clean: clean !== undefined, query };
}

function onstage(words) {
  element.stage.textContent = words;
}

function onframe({ said, heard, latency, buffered, missed }) {
  you.push(said);
  element.talk.style.setProperty("--level", moshi.push(heard).toFixed(2));
  element.clock.textContent = clock(conversation.recording.seconds);
  if (latency !== null) {
    element.latency.textContent = `${Math.round(latency)} ms`;
    element["latency-meter"].value = latency;
  }
  element.buffered.textContent = `${Math.round(1000 * buffered)} ms`;
  element.missed.textContent = `${missed.toFixed(2)} s`;
}

let shown = {}; // speaker -> the phrase that grows: {phrase, text, announced}; announced in letters

function ontext(phrase) {
  const { speaker } = phrase;
  if (shown[speaker]?.phrase !== phrase) {
    announce();
    const text = document.createElement("span");
    element.monologue.append(line(phrase, text));
    shown[speaker] = { phrase, text, announced: 0 };
  }
  shown[speaker].text.textContent = phrase.text.trimStart();
  element.monologue.scrollTop = element.monologue.scrollHeight;
  if (/[.?!]$/.test(phrase.text)) announce();
}

/** A phrase as a line: when, what, and for a screen reader who says it; what you say is on your side. */
function line({ speaker, start }, text) {
  const paragraph = document.createElement("p");
  const time = document.createElement("time");
  const who = document.createElement("b");
  paragraph.className = speaker;
  time.textContent = clock(start);
  who.className = "only-heard";
  who.textContent = speaker === "you" ? "You, as Moshi hears you:" : "Moshi:";
  paragraph.append(time, who, text);
  return paragraph;
}

/** Reads whole sentences of Moshi's to a screen reader: pieces of words would be noise, and you know what you say. */
function announce() {
  const said = shown.moshi;
  if (!said || said.announced === said.phrase.text.length) return;
  const { text } = said.phrase;
  element.announcer.textContent = text.slice(said.announced);
  said.announced = text.length;
}

function onend(problem) {
  announce();
  const { recording } = conversation;
  conversation = null;
  shown = {};
  element["talk-label"].textContent = "Talk";
  delete element.talk.dataset.talking;
  element.talk.style.setProperty("--level", 0);
  element.clock.textContent = "";
  element.stage.textContent = recording.seconds ? `Stopped after ${clock(recording.seconds)}.` : "";
  if (problem) showProblem(problem);
  if (recording.seconds) keep(recording);
  lookAfterServer.next = setTimeout(lookAfterServer, 1000); // not at once: it may still count this conversation
}

function showProblem(problem) {
  const expected = problem instanceof Problem;
  element.problem.textContent = expected ? problem.message : `Something is wrong with this page: ${problem.message}`;
}

function keep(recording) {
  const files = { "keep-sound": recording.toWav(), "keep-text": new Blob([recording.toText()], { type: "text/plain" }) };
  for (const [id, file] of Object.entries(files)) {
    URL.revokeObjectURL(element[id].href);
    element[id].href = URL.createObjectURL(file);
  }
  element["keep-text"].hidden = !recording.phrases.length;
  element.keep.hidden = false;
}

/** Says how the server is, again and again while nobody talks. */
async function lookAfterServer() {
  clearTimeout(lookAfterServer.next);
  const found = await lookAtServer().catch((problem) => problem);
  if (conversation) return; // it may be this one that fills the server
  if (found instanceof Error) {
    showServer("trouble", found.message);
  } else {
    suggest(found.sampling);
    showServer("ready", [found.model, ...found.voices].join(" · "));
  }
  lookAfterServer.next = setTimeout(lookAfterServer, LOOK_AGAIN_MS);
}

let suggested = "";

/** Sets what the model talks best at; not again, for from then on it is the user's choice. */
function suggest(sampling) {
  if (!sampling || suggested === JSON.stringify(sampling)) return;
  suggested = JSON.stringify(sampling);
  for (const [name, value] of Object.entries(sampling)) {
    const range = element.settings.elements[name];
    range.value = value;
    range.dispatchEvent(new Event("input"));
  }
}

function showServer(state, words) {
  if (element.server.textContent === words) return; // or a screen reader says it again
  element.server.textContent = words;
  element.server.dataset.state = state;
}

function animate(now) {
  you.animate(now);
  moshi.animate(now);
  if (conversation) requestAnimationFrame(animate);
}

function draw() {
  you.draw();
  moshi.draw();
}
