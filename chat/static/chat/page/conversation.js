// The conversation that is open: its messages, asked for again as they change elsewhere.

import { announce, byId, hide, write } from "./dom.js";
import { items, messageId, show } from "./messages.js";
import * as sends from "./sends.js";
import { apiPath, call } from "./session.js";

const SOON_SECONDS = 2; // while a message is being answered, or waits
const LATER_SECONDS = 15;

const NONE = { title: "", messages: [], earlier: null, isDegraded: false, failure: "", isLoaded: false };
let conversation = { id: null, ...NONE };
let timer = 0;
let onLoaded = () => {};
let loading = null; // the number of the newest request; what an older one brings is dropped

export const current = () => conversation;

// Its id as it was first seen may be another JSON type than the server's: "1" and 1 are one.
export const isOpen = (id) =>
  id === null || conversation.id === null
    ? id === conversation.id : String(conversation.id) === String(id);

// `callback` is called when the server has told of it.
export function whenLoaded(callback) {
  onLoaded = callback;
}

// Opens a conversation by its id; null: one that has not begun.
export function open(id) {
  conversation = { id, ...NONE, isLoaded: id === null };
  byId("messages").replaceChildren();
  draw({ toEnd: true });
  return id === null ? cancel() : load({ toEnd: true });
}

// The server has given the open conversation, which had none, an id.
export function becomes(id) {
  conversation.id = id;
  conversation.isLoaded = true;
  loadIn(LATER_SECONDS);
}

function loadIn(seconds) {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(load, 1000 * seconds);
}

function cancel() {
  clearTimeout(timer);
  loading = null;
}

// Asks for the newest messages, and goes on asking while the page is in sight.
export async function load({ toEnd = false } = {}) {
  if (conversation.id === null) return;
  cancel();
  const asked = (loading = Symbol("request"));
  const { id } = conversation;
  try {
    const { answer, isDegraded } = await page(id, "");
    if (asked !== loading) return;
    merge(answer);
    Object.assign(conversation, { isDegraded, failure: "", isLoaded: true });
  } catch (error) {
    if (asked !== loading) return;
    conversation.failure = error.message;
    // Deleted elsewhere, or not there yet: a turn's first words may come before it is stored.
    if (error.status === 404 && ofHere().length) conversation.failure = "";
  }
  draw({ toEnd });
  onLoaded();
  loadIn(secondsToWait());
}

function secondsToWait() {
  const { messages, failure, isDegraded } = conversation;
  const isMoving = messages.some(({ status }) => status === "under way" || status === "waiting");
  const isStopping = underWay()?.state === "stopping";
  return isMoving || isStopping || failure || isDegraded ? SOON_SECONDS : LATER_SECONDS;
}

async function page(id, query) {
  const response = await call(`${apiPath("conversations", id, "messages")}${query}`);
  const isDegraded = response.headers.get("X-Chat-Degraded") === "true";
  return { answer: await response.json(), isDegraded };
}

// Puts the newest page behind what was loaded before it, as far as the two meet.
function merge({ conversation_id: id, title, messages, next_cursor: cursor }) {
  const place = messages.length
    ? conversation.messages.findIndex((each) => messageId(each) === messageId(messages[0]))
    : -1;
  if (place < 0) conversation.earlier = cursor;
  const before = conversation.messages.slice(0, Math.max(place, 0));
  Object.assign(conversation, { id, title, messages: [...before, ...messages] });
  for (const send of ofHere()) {
    const reply = messages.find((each) => each.turn_id === send.turnId && each.role === "assistant");
    if (reply === undefined) continue;
    // One that is to stop is marked so at once; its words are stored a while later.
    if (reply.status === "under way") continue;
    const isAnswered = Boolean(reply.content || reply.stopped);
    // Its stream may have gone silent; one that failed may have been answered since.
    if (isAnswered && sends.isUnderWay(send)) sends.settle(send, reply);
    // What is answered is the server's to show.
    if (isAnswered || send.state === "done") sends.discard(send);
  }
}

const ofHere = () => sends.all().filter((send) => isOpen(send.conversation));

// Whether a message of this tab is being answered; one of another tab holds nothing up here.
export const isAnswering = () => ofHere().some(sends.isUnderWay);

// Returns the message that is being answered: one of this tab, or of another one, which may be closed.
export const underWay = () => ofHere().find(sends.isUnderWay) ?? elsewhere();

function elsewhere() {
  const isHere = (id) => ofHere().some((send) => send.turnId === id); // which knows better
  const message = conversation.messages.findLast(
    ({ status, turn_id: id }) => status === "under way" && !isHere(id));
  return message && { conversation: conversation.id, turnId: message.turn_id, state: "answering" };
}

export async function loadEarlier() {
  const { id, earlier } = conversation;
  const first = byId("messages").firstElementChild;
  const { answer } = await page(id, `?before=${encodeURIComponent(earlier)}`);
  if (!isOpen(id) || conversation.earlier !== earlier) return;
  conversation.earlier = answer.next_cursor;
  conversation.messages = [...answer.messages, ...conversation.messages];
  const below = first?.getBoundingClientRect().top ?? 0;
  draw();
  // What was being read stays where it was.
  byId("transcript").scrollTop += (first?.getBoundingClientRect().top ?? 0) - below;
  announce(`${answer.messages.length} earlier messages.`);
}

const actions = {
  retry: (send) => (byId("message").focus(), sends.retry(send)),
  discard: (send) => (byId("message").focus(), sends.discard(send), draw(), load()),
};

// Shows it. Whoever is at the end stays there; whoever reads further up is not moved.
export function draw({ toEnd = false } = {}) {
  const pane = byId("transcript");
  const wasAtEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < 60;
  const shown = items(conversation.messages, ofHere());
  show(byId("messages"), shown, actions);
  hide(byId("earlier"), conversation.earlier === null, pane);
  byId("empty").hidden = shown.length > 0 || !conversation.isLoaded || Boolean(conversation.failure);
  byId("loading").hidden = conversation.isLoaded || Boolean(conversation.failure);
  const failure = byId("failure");
  write(failure.firstChild, conversation.failure);
  hide(failure, !conversation.failure, byId("message"));
  byId("degraded").hidden = !(conversation.isDegraded || ofHere().some((send) => send.degraded));
  if (toEnd || wasAtEnd) pane.scrollTop = pane.scrollHeight;
}

document.addEventListener("visibilitychange", () => (document.hidden ? cancel() : load()));
