// Where a message is written. A draft survives a reload: there is one for each conversation.

import { byId } from "./dom.js";
import * as storage from "./storage.js";

const CHARACTERS_MAX = 10_000; // as the API has it: characters, not UTF-16 units

let drafts = {};
let place = "";

const field = () => byId("message");

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
  fit();
}

// Returns the message, or null if there is none, or too much of it.
export function take() {
  const text = field().value.trim();
  const count = Array.from(text).length;
  const isTooLong = count > CHARACTERS_MAX;
  byId("too-long").textContent = isTooLong
    ? `The message has ${count} characters, and may have ${CHARACTERS_MAX}.` : "";
  if (!text || isTooLong) return null;
  field().value = "";
  save();
  return text;
}

function fit() {
  field().style.height = "auto";
  field().style.height = `${field().scrollHeight + 2}px`;
}
