// Where a message is written. A draft survives a reload: there is one for each conversation.

import { byId } from "./dom.js";
import * as storage from "./storage.js";

const CHARACTERS_MAX = 10_000; // as the API has it: characters, not UTF-16 units

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
}

// Shows the draft of a conversation; null: of one that has not begun.
export function show(id) {
  place = String(id ?? "");
  field().value = drafts[place] ?? "";
  byId("too-long").textContent = "";
  fit();
}

// The conversation that had not begun has an id now.
export function moved(id) {
  delete drafts[place];
  place = String(id);
  save();
}

export function save() {
  if (field().value) drafts[place] = field().value;
  else delete drafts[place];
  storage.write("drafts", drafts);
  // It is not said with each character, but taken back as soon as it is no longer so.
  if (lengthOf(field().value.trim()) <= CHARACTERS_MAX) byId("too-long").textContent = "";
  fit();
}

// Returns the message, or null if there is none, or too much of it.
export function take() {
  const text = field().value.trim();
  const count = lengthOf(text);
  const isTooLong = count > CHARACTERS_MAX;
  byId("too-long").textContent = isTooLong
    ? `The message has ${count} characters, and may have ${CHARACTERS_MAX}.` : "";
  if (!text || isTooLong) return null;
  field().value = "";
  save();
  return text;
}

const lengthOf = (text) => Array.from(text).length;

function fit() {
  field().style.height = "auto";
  field().style.height = `${field().scrollHeight + 2}px`;
}
