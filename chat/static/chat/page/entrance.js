// The way in: going on with the session that the browser has, or the log-in.

import { byId, write } from "./dom.js";
import { retries } from "./retries.js";
import * as session from "./session.js";
import * as storage from "./storage.js";
import * as tabs from "./tabs.js";

const NO_SESSION = new Set([401, 403]);

let onEntered = () => {};
const retry = retries(enter);

// `callback` is called when somebody is logged in.
export function whenEntered(callback) {
  onEntered = callback;
}

const isStarting = () => !byId("starting").hidden;

export function showLogIn(words = "") {
  retry.over();
  byId("app").hidden = true;
  byId("starting").hidden = true;
  byId("log-in").hidden = false;
  byId("log-in-failure").textContent = words;
  byId(byId("username").value ? "password" : "username").focus();
}

// Goes on with the session that the browser has.
export async function enter() {
  try {
    await session.resume();
  } catch (error) {
    if (!isStarting()) return; // the log-in is there already, and stays
    if (NO_SESSION.has(error.status)) refused(error);
    else failed(error);
    return;
  }
  open();
}

function refused(error) {
  // No session: then nothing of an earlier one may be left, as in a tab that a browser restores.
  if (error.status === 401) storage.clear();
  showLogIn(error.status === 401 ? "" : error.message);
}

// There may well be a session: nobody is to log in again for a server that is busy.
function failed(error) {
  say(`${error.message} Trying again…`);
  byId("start-again").hidden = false;
  retry.failed();
}

const say = (words) => write(byId("start-words"), words);

function open() {
  if (!isStarting() && byId("log-in").hidden) return; // asked twice at once
  const hadFocus = !byId("log-in").hidden || byId("starting").contains(document.activeElement);
  retry.over();
  byId("password").value = "";
  byId("log-in").hidden = true;
  byId("starting").hidden = true;
  onEntered();
  if (hadFocus) byId("message").focus();
}

async function logIn(event) {
  event.preventDefault();
  const submit = byId("log-in").querySelector("[type=submit]");
  submit.disabled = true;
  try {
    await session.logIn(byId("username").value, byId("password").value);
    tabs.tell("logged in");
    open();
  } catch (error) {
    showLogIn(error.message);
    byId("password").select();
  } finally {
    submit.disabled = false;
  }
}

const wake = () => isStarting() && !document.hidden && enter();

byId("log-in").addEventListener("submit", logIn);
byId("start-again").onclick = () => (say("Starting…"), enter());
addEventListener("online", wake);
document.addEventListener("visibilitychange", wake);
