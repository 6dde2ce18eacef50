// Where a message is written. A draft survives a reload: there is one for each conversation.

import { byId, directionOf, write } from "./dom.js";
import * as storage from "./storage.js";

const CHARACTERS_MAX = 10_000; // as the API has it: characters, not UTF-16 units
const STORED_MAX = 100_000; // UTF-16 units of a draft: all of them are written with each key
const BEGINNING = 500; // what tells the direction

let drafts = {};
let place = "";

const field = () => byId("message");

// For what is shown above it.
new ResizeObserver(() => {
  document.documentElement.style.setProperty("--compose-height", `${byId("compose").offsetHeight}px`);
}).observe(byId("compose"));

export function restore() {
  drafts = storage.read("drafts", {});
}

export function clear() {
  drafts = {};
  field().value = "";
  draw("");
}

// Shows the draft of a conversation; null: of one that has not begun.
export function show(id) {
  place = String(id ?? "");
  const text = drafts[place] ?? "";
  field().value = text;
  byId("too-long").textContent = "";
  draw(text);
}

// The conversation that had not begun has an id now.
export function moved(id) {
  delete drafts[place];
  place = String(id);
  save();
}

export function save() {
  const text = field().value;
  if (text) drafts[place] = text;
  else delete drafts[place];
  const isStored = ([, draft]) => draft.length <= STORED_MAX;
  storage.write("drafts", Object.fromEntries(Object.entries(drafts).filter(isStored)));
  // A few characters too many are not said with each one, but taken back as soon as it is no longer so.
  const wrong = tooLong(text.trim());
  if (!wrong || isFarTooLong(text.trim())) sayTooLong(wrong);
  draw(text);
}

// Returns the message, or null if there is none, or too much of it.
export function take() {
  const text = field().value.trim();
  const wrong = tooLong(text);
  sayTooLong(wrong);
  if (!text || wrong) return null;
  field().value = "";
  save();
  return text;
}

// Whether it is too long, however many of its characters have two units. To count would take long.
const isFarTooLong = (text) => text.length > 2 * CHARACTERS_MAX;

// Returns words on what is too long; else "".
function tooLong(text) {
  const count = isFarTooLong(text) ? `more than ${2 * CHARACTERS_MAX}` : Array.from(text).length;
  return count > CHARACTERS_MAX || isFarTooLong(text)
    ? `The message has ${count} characters, and may have ${CHARACTERS_MAX}.` : "";
}

const sayTooLong = (words) => write(byId("too-long"), words);

// The direction is set here: with a `dir` of "auto" a browser lays out a long text anew with each key,
// in a time that grows with the square of its length.
function draw(text) {
  field().dir = directionOf(text.slice(0, BEGINNING));
  field().style.height = "auto";
  field().style.height = `${field().scrollHeight + 2}px`;
}
