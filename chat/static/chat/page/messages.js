// Messages as they are shown: what the server has of a conversation, and what this tab has sent.

import { button, copy, make, when } from "./dom.js";
import { markdown } from "./markdown.js";

const LIVE_MARKDOWN_MAX = 20_000; // characters
const STATUS = {
  waiting: "Not in the conversation store yet. It is kept, and goes there once the store answers again.",
  "dead letter": "The store refused this message for good (a dead letter). It is kept; an operator can repair it.",
  "under way": "Being answered…",
};
const SENDING = {
  sending: "Sending…",
  answering: "Answering…",
  stopping: "Stopping…",
};

// Returns what to show, in order: fetched messages, with those of `sends` in their places.
export function items(messages, sends) {
  const waiting = new Map(sends.filter((send) => send.turnId).map((send) => [send.turnId, send]));
  const shown = [];
  messages.forEach((message, place) => {
    const send = waiting.get(message.turn_id);
    if (send === undefined) {
      shown.push(stored(message, isUnanswered(message, messages[place + 1])));
    } else if (message.role === "user") {
      shown.push(...sent(send));
      waiting.delete(message.turn_id);
    }
  });
  const rest = sends.filter((send) => !send.turnId || waiting.has(send.turnId));
  return [...shown, ...rest.filter((send) => !isIn(messages, send)).flatMap(sent)];
}

// The place of a send that is in the messages is found above.
const isIn = (messages, send) =>
  send.turnId && messages.some(({ turn_id: id, role }) => id === send.turnId && role === "user");

// Whether a turn has no reply, though nobody is answering it.
function isUnanswered(message, next) {
  if (!message.turn_id || message.status === "under way" || message.stopped) return false;
  if (message.role === "assistant") return !message.content;
  return next?.turn_id !== message.turn_id;
}

function stored(message, isUnanswered) {
  const notes = [];
  // Of a turn the message says it, not both.
  if (message.role === "user" && STATUS[message.status]) notes.push(STATUS[message.status]);
  if (message.stopped) notes.push("Stopped.");
  if (isUnanswered) notes.push("There is no reply to this message.");
  return {
    id: messageId(message), role: message.role, text: message.content, time: message.timestamp,
    calls: message.tool_calls ?? [], notes, isLive: false, send: null,
  };
}

export const messageId = ({ turn_id: turn, role, timestamp }) => `${turn ?? timestamp} ${role}`;

// Returns a message of this tab, and its reply as far as it is known.
function sent(send) {
  const id = send.turnId ?? send.key;
  const isOver = send.state === "failed" || send.state === "done";
  const notes = [];
  if (!isOver) notes.push(SENDING[send.state]);
  if (send.stopped) notes.push("Stopped.");
  if (send.degraded) notes.push(STATUS.waiting);
  if (send.state === "failed") notes.push(send.error);
  const common = { time: send.sentAt, calls: [], notes: [], isLive: false, send: null };
  return [
    { ...common, id: `${id} user`, role: "user", text: send.body.message },
    {
      ...common, id: `${id} assistant`, role: "assistant", calls: send.calls, notes,
      // Words that a failure cut off are not kept.
      text: send.state === "failed" ? "" : send.text,
      isLive: !isOver, send: send.state === "failed" ? send : null,
    },
  ];
}

// Shows the items in `list`, and makes again only what has changed: the rest keeps its focus, its
// selection and what is folded. `actions`: retry and discard, of a message that failed.
export function show(list, items, actions) {
  const old = new Map(Array.from(list.children, (each) => [each.dataset.id, each]));
  items.forEach((item, place) => {
    const digest = JSON.stringify({ ...item, send: item.send !== null });
    let element = old.get(item.id);
    old.delete(item.id);
    if (element?.digest !== digest) {
      const made = message(item, actions);
      if (element) {
        keepOpen(element, made);
        update(element, made);
      } else {
        element = made;
      }
      Object.assign(element, { digest, item });
      if (item.isLive) element.setAttribute("aria-busy", "true");
      else element.removeAttribute("aria-busy");
    }
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
  });
  old.forEach((element) => element.remove());
}

function keepOpen(before, after) {
  const calls = after.querySelectorAll("details");
  before.querySelectorAll("details").forEach((each, place) => {
    if (calls[place]) calls[place].open = each.open;
  });
}

// Makes an element like another one. Nodes that are the same already stay, with the focus and the
// selection in them; text that has become longer is appended to.
function update(old, made) {
  const fresh = Array.from(made.childNodes);
  fresh.forEach((node, place) => {
    const there = old.childNodes[place];
    if (there === undefined) old.append(node);
    else if (there.isEqualNode(node)) return;
    else if (there.nodeName !== node.nodeName) there.replaceWith(node);
    else if (there.nodeType === Node.TEXT_NODE) write(there, node.data);
    else if (there.cloneNode().isEqualNode(node.cloneNode())) update(there, node);
    else there.replaceWith(node);
  });
  while (old.childNodes.length > fresh.length) old.lastChild.remove();
}

function write(there, text) {
  if (text.startsWith(there.data)) there.appendData(text.slice(there.data.length));
  else there.data = text;
}

function message(item, actions) {
  const isUser = item.role === "user";
  const who = isUser ? "You" : "Assistant";
  const element = make("article", { className: `message ${isUser ? "user" : "assistant"}` });
  element.dataset.id = item.id;
  element.append(
    make("h3", {}, who, " ", make("time", { dateTime: item.time, title: new Date(item.time).toLocaleString() },
      when(item.time, { hour: "2-digit", minute: "2-digit" }))),
    ...item.calls.map(folded),
  );
  if (item.text) {
    // Of one's own message every character is shown as it was typed. A long reply is made into
    // elements once, when it is whole, and not again with each word.
    const isPlain = isUser || (item.isLive && item.text.length > LIVE_MARKDOWN_MAX);
    const text = isPlain ? make("p", { dir: "auto", className: "typed" }, item.text) : markdown(item.text);
    element.append(make("div", { className: "text" }, text));
  }
  for (const note of item.notes) element.append(make("p", { className: "note" }, note));
  if (item.isLive) return element;
  const row = make("div", { className: "actions" });
  if (item.text) row.append(button("Copy", (event) => copy(itemOf(event).text), { className: "copy" }));
  if (item.send !== null) {
    row.append(button("Try again", (event) => actions.retry(itemOf(event).send)));
    row.append(button("Dismiss", (event) => actions.discard(itemOf(event).send)));
  }
  element.append(row);
  return element;
}

// What the message is now: its buttons may be older.
const itemOf = (event) => event.currentTarget.closest(".message").item;

function folded({ tool, parameters, result }) {
  const json = (value) => JSON.stringify(value, null, 2);
  return make("details", {},
    make("summary", {}, "Tool: ", make("code", {}, tool)),
    make("p", {}, "Parameters"), make("pre", { tabIndex: 0 }, json(parameters)),
    make("p", {}, "Result"), make("pre", { tabIndex: 0 }, json(result)));
}
