// The list of conversations, newest first, with its search. Titles are searched by the server:
// only a page of them is here.

import { byId, make, when, write } from "./dom.js";
import { current, isOpen } from "./conversation.js";
import { retries } from "./retries.js";
import { apiPath, call, user } from "./session.js";

const SEARCH_AFTER_MS = 250;
const PAGE = 50;
const PAGE_MAX = 200; // as the API has it

let conversations = [];
let wanted = PAGE; // so many of them
let cursor = null;
let timer = 0;
let onLoaded = () => {};
let newest = null; // the newest request
const hidden = new Set(); // deleted, while that can be undone
const retry = retries(load);

export const find = (id) => conversations.find((each) => String(each.conversation_id) === String(id));

export function hide(id, isHidden) {
  if (isHidden) hidden.add(String(id));
  else hidden.delete(String(id));
  draw();
}

// `callback` is called when the server has told of them.
export function whenLoaded(callback) {
  onLoaded = callback;
}

// Returns the newest ones, and the cursor of those after them.
async function newestOnes(count) {
  const search = byId("search").value.trim();
  const found = [];
  for (let after = null; ; ) {
    const query = new URLSearchParams({ limit: Math.min(PAGE_MAX, count - found.length) });
    if (search) query.set("search", search);
    if (after !== null) query.set("cursor", after);
    const answer = await (await call(`${apiPath("conversations")}?${query}`)).json();
    found.push(...answer.conversations);
    after = answer.next_cursor;
    if (after === null || found.length >= count) return { found, after };
  }
}

// Asks for the newest ones, as many as are to be here. What an older request brings is dropped.
export async function load() {
  if (!user) return;
  const asked = (newest = Symbol("request"));
  try {
    const { found, after } = await newestOnes(wanted);
    if (asked !== newest) return;
    conversations = found;
    cursor = after;
    retry.over();
    say("");
  } catch (error) {
    if (asked !== newest) return;
    retry.failed();
    say(error.message);
  }
  draw();
  onLoaded();
}

const say = (words) => write(byId("list-failure"), words);

// Asks for all of them anew: meanwhile others may have come to the top, or the search be another.
export async function more() {
  const last = byId("conversations").lastElementChild?.firstChild.dataset.conversation;
  wanted = conversations.length + PAGE;
  await load();
  // With the last page the button goes, and the focus that it had.
  if (byId("more").hidden && [byId("more"), document.body].includes(document.activeElement)) {
    const first = linkTo(last)?.parentElement.nextElementSibling;
    first?.firstChild.focus();
  }
}

const linkTo = (id) =>
  byId("conversations").querySelector(`[data-conversation="${CSS.escape(id)}"]`);

// Gives a conversation's entry the focus. Returns whether it has it: it may not be in the list, nor
// the list in sight.
export function focusOn(id) {
  const link = linkTo(id);
  link?.focus();
  return link !== null && link === document.activeElement;
}

// The open conversation may be on no page of the list that is here.
export const titleOf = (id) =>
  find(id)?.title || (isOpen(id) && current().title) || (id === null ? "New conversation" : "Untitled");

export function draw() {
  const shown = conversations.filter((each) => !hidden.has(String(each.conversation_id)));
  const focused = document.activeElement?.dataset?.conversation;
  byId("conversations").replaceChildren(...shown.map(entry));
  if (focused !== undefined) linkTo(focused)?.focus();
  byId("more").hidden = cursor === null;
  byId("no-conversations").hidden = shown.length > 0;
  byId("no-conversations").textContent = byId("search").value.trim()
    ? "No title has these words." : "There are no conversations yet.";
}

function entry({ conversation_id: id, title, updated_at: updated }) {
  const link = make("a", { href: `#c=${encodeURIComponent(id)}` },
    make("bdi", { className: "title" }, title || "Untitled"),
    make("time", { dateTime: updated }, when(updated)));
  link.dataset.conversation = id;
  if (isOpen(id)) link.setAttribute("aria-current", "page");
  return make("li", {}, link);
}

export function searchSoon() {
  clearTimeout(timer);
  wanted = PAGE;
  timer = setTimeout(load, SEARCH_AFTER_MS);
}

export function clear() {
  clearTimeout(timer);
  retry.over();
  say("");
  conversations = [];
  wanted = PAGE;
  cursor = newest = null;
  byId("search").value = "";
  draw();
}
