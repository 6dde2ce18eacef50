// The list of conversations, newest first, with its search. Titles are searched by the server:
// only a page of them is here.

import { byId, make, when } from "./dom.js";
import { current, isOpen } from "./conversation.js";
import { apiPath, call, user } from "./session.js";

const SEARCH_AFTER_MS = 250;

let conversations = [];
let cursor = null;
let timer = 0;
let newest = null; // the newest request
const hidden = new Set(); // deleted, while that can be undone

export const find = (id) => conversations.find((each) => String(each.conversation_id) === String(id));

export function hide(id, isHidden) {
  if (isHidden) hidden.add(String(id));
  else hidden.delete(String(id));
  draw();
}

async function page(after) {
  const query = new URLSearchParams();
  const search = byId("search").value.trim();
  if (search) query.set("search", search);
  if (after !== null) query.set("cursor", after);
  else query.set("limit", Math.min(200, Math.max(50, conversations.length)));
  return (await call(`${apiPath("conversations")}?${query}`)).json();
}

// Asks for the newest ones: as many as there are here, up to a page's most.
export async function load() {
  if (!user) return;
  const asked = (newest = Symbol("request"));
  byId("list-failure").textContent = "";
  try {
    const answer = await page(null);
    if (asked !== newest) return;
    conversations = answer.conversations;
    cursor = answer.next_cursor;
  } catch (error) {
    if (asked === newest) byId("list-failure").textContent = error.message;
  }
  draw();
}

export async function more() {
  const answer = await page(cursor);
  conversations = [...conversations, ...answer.conversations];
  cursor = answer.next_cursor;
  draw();
}

// The open conversation may be on no page of the list that is here.
export const titleOf = (id) =>
  find(id)?.title || (isOpen(id) && current().title) || (id === null ? "New conversation" : "Untitled");

export function draw() {
  const shown = conversations.filter((each) => !hidden.has(String(each.conversation_id)));
  const focused = document.activeElement?.dataset?.conversation;
  byId("conversations").replaceChildren(...shown.map(entry));
  if (focused !== undefined) {
    byId("conversations").querySelector(`[data-conversation="${CSS.escape(focused)}"]`)?.focus();
  }
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
  timer = setTimeout(load, SEARCH_AFTER_MS);
}

export function clear() {
  conversations = [];
  cursor = newest = null;
  byId("search").value = "";
  draw();
}
