// Messages that this tab has sent, until their answers are stored. Each has an Idempotency-Key, so
// it may be sent again after anything: the server answers it once (docs/chat.md, "Streaming").

import { events, Silence } from "./events.js";
import { apiPath, call } from "./session.js";
import * as storage from "./storage.js";

const AGAIN_AFTER_SECONDS = [0.5, 1, 2, 4, 8];
// The server's own words for what a repeat of the message may mend by itself.
const PASSING = new Set(["unreachable", "turn_in_progress", "interrupted"]);

let sends = [];
let onChange = () => {};
let onAccepted = () => {};

// `changed` gets each message that has changed; `accepted` each one that the server has taken, with
// whether it began a conversation.
export function listen({ changed, accepted }) {
  onChange = changed;
  onAccepted = accepted;
}

export const all = () => sends;

export const isUnderWay = (send) => !["failed", "done"].includes(send.state);

// Sends a message to a conversation; `conversation` null begins one. Returns what is kept of it:
//   conversation: its id, null until the server gave it one
//   state: "sending", "answering", "stopping", "failed" or "done"
//   turnId, text, calls, error, degraded, stopped
export function send(message, conversation) {
  const body = conversation === null ? { message } : { message, conversation_id: conversation };
  const made = begun({ key: newKey(), body, conversation, sentAt: new Date().toISOString() });
  sends.push(made);
  follow(made);
  return made;
}

// randomUUID is for secure contexts alone, and a page in a home network has no TLS.
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const begun = (kept) => ({
  turnId: null, error: null, ...kept,
  state: "sending", text: "", calls: [], degraded: false, stopped: false,
  aborting: new AbortController(),
});

// Takes up after a reload what this tab had sent before.
export function restore() {
  sends = storage.read("sends", []).map((kept) => begun(kept));
  for (const each of sends) {
    if (each.error) each.state = "failed";
    else follow(each);
  }
}

// Forgets all of them; the server goes on with what is under way.
export function abandon() {
  for (const each of sends) each.aborting.abort();
  sends = [];
}

export function retry(send) {
  Object.assign(send, { state: "sending", error: null, text: "", calls: [] });
  follow(send);
}

export function discard(send) {
  sends = sends.filter((each) => each !== send);
  keep();
}

export async function stop(send) {
  if (!send.turnId || !isUnderWay(send)) return;
  send.state = "stopping";
  onChange(send);
  const path = apiPath("conversations", send.conversation, "turns", send.turnId, "stop");
  try {
    await call(path, { method: "POST" });
  } catch (error) {
    if (send.state === "stopping") {
      send.state = "answering"; // so that it can be tried again
      onChange(send);
    }
    throw error;
  }
}

function keep() {
  const kept = ({ key, body, conversation, sentAt, turnId, error }) =>
    ({ key, body, conversation, sentAt, turnId, error });
  storage.write("sends", sends.filter((each) => each.state !== "done").map(kept));
}

function changed(send) {
  keep();
  onChange(send);
}

// The server shows the answer: what a stream would still say is not waited for.
export function settle(send, { content, tool_calls: calls, stopped }) {
  send.aborting.abort();
  Object.assign(send, { state: "done", text: content, calls: calls ?? [], stopped: Boolean(stopped) });
  changed(send);
}

// Follows the message to its end. A stream that ends without one is asked for again.
async function follow(send) {
  changed(send);
  for (let attempts = 1; ; attempts += 1) {
    let error;
    try {
      if (await once(send)) return;
      error = { code: "unreachable", message: "The connection was lost." };
    } catch (caught) {
      if (caught.name === "AbortError") return;
      error = caught;
    }
    if (send.aborting.signal.aborted) return;
    // A stream that was there and went silent has taken its time: this may be so all along.
    if (error.wasHeard) attempts = 1;
    const seconds = AGAIN_AFTER_SECONDS[attempts - 1];
    if (seconds === undefined || !PASSING.has(error.code)) {
      fail(send, error);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

function fail(send, error) {
  send.state = "failed";
  send.error = error.message;
  changed(send);
}

// Sends the request, and takes its events; returns whether they came to an end.
async function once(send) {
  const headers = { Accept: "text/event-stream", "Idempotency-Key": send.key };
  const options = { method: "POST", body: send.body, headers };
  const ask = (signal) => call(apiPath("chat"), { ...options, signal });
  try {
    for await (const { name, data } of events(ask, send.aborting.signal)) {
      take[name]?.(send, data);
      if (name === "error") throw { code: data.code, message: data.detail };
      if (name === "done") return true;
    }
  } catch (error) {
    if (error instanceof TypeError) return false; // the connection broke
    throw error;
  }
  return false;
}

const take = {
  accepted(send, data) {
    const begins = send.conversation === null;
    Object.assign(send, { turnId: data.turn_id, conversation: data.conversation_id });
    Object.assign(send, { text: "", calls: [] });
    if (send.state === "sending") send.state = "answering";
    onAccepted(send, begins);
    changed(send);
  },
  tool_call(send, data) {
    send.calls.push(data);
    send.text = ""; // words before a call are no part of the reply
    onChange(send);
  },
  delta(send, data) {
    send.text += data.text;
    onChange(send);
  },
  done(send, data) {
    Object.assign(send, { text: data.reply, calls: data.tool_calls, state: "done" });
    Object.assign(send, { degraded: data.degraded, stopped: Boolean(data.stopped) });
    send.conversation = data.conversation_id;
    changed(send);
  },
};
