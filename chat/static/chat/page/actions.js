// What is done to a conversation as a whole: rename, export, delete.

import { current, load } from "./conversation.js";
import { announce, byId, make, toast } from "./dom.js";
import * as list from "./list.js";
import { apiPath, call, keepAccess, user } from "./session.js";
import { tell } from "./tabs.js";

const UNDO_SECONDS = 7;
const SLACK_SECONDS = 10; // for a request that is sent when that is over

// Of conversations that are hidden, until the server has answered; by their paths, as the next user
// may have the same ids.
const deletions = new Map();
const pathTo = (id) => apiPath("conversations", id);

export function rename() {
  const { id } = current();
  const dialog = byId("rename");
  const title = byId("title-field");
  title.value = list.find(id)?.title ?? current().title;
  dialog.returnValue = "";
  dialog.onclose = async () => {
    if (dialog.returnValue !== "save" || !title.value.trim()) return;
    try {
      const body = { title: title.value.trim() };
      await call(pathTo(id), { method: "PATCH", body });
      announce("Renamed.");
      tell("changed");
    } catch (error) {
      toast(`Not renamed: ${error.message}`);
    }
    await Promise.all([list.load(), load()]);
  };
  dialog.showModal();
  title.select();
}

export function closeRename() {
  byId("rename").close();
  byId("title-field").value = "";
}

export async function download() {
  const { id } = current();
  try {
    const response = await call(apiPath("conversations", id, "export"), { signal: null }); // however long it takes
    const href = URL.createObjectURL(await response.blob());
    make("a", { href, download: `conversation-${id}.json` }).click();
    setTimeout(() => URL.revokeObjectURL(href), 60_000);
  } catch (error) {
    toast(`Not exported: ${error.message}`);
  }
}

// Hides the open conversation, and sends the request when the time to undo it is over, or when the
// page is left before. `leave` shows another one, `back` this one again.
export function remove({ leave, back }) {
  const { id } = current();
  const deletion = { id, title: list.titleOf(id), path: pathTo(id), toast: null, sent: null };
  deletions.set(deletion.path, deletion);
  list.hide(id, true);
  deletion.toast = toast(`Deleted “${deletion.title}”.`, {
    action: { text: "Undo", run: () => undo(deletion, back) },
    seconds: UNDO_SECONDS,
    whenOver: () => send(deletion),
  });
  // If it is not renewed, the request says why.
  keepAccess(UNDO_SECONDS + SLACK_SECONDS).catch(() => {});
  leave();
  focusUndo(deletion);
}

const focusUndo = (deletion) => deletion.toast.element.querySelector("button").focus();

function undo({ id, path }, back) {
  deletions.delete(path);
  list.hide(id, false);
  back(id);
  if (!list.focusOn(id)) byId("transcript").focus();
  announce("Not deleted.");
}

// Sends the request, once.
function send(deletion) {
  deletion.toast.cancel();
  deletion.sent ??= request(deletion);
  return deletion.sent;
}

async function request({ id, title, path }) {
  try {
    await call(path, { method: "DELETE", keepalive: true });
    tell("changed");
    await list.load();
  } catch (error) {
    // Whoever reads it when the user is gone may not know the title.
    toast(user ? `“${title}” was not deleted: ${error.message}` : "A conversation was not deleted.");
  } finally {
    deletions.delete(path);
    list.hide(id, false);
  }
}

export const isBeingDeleted = (id) => id !== null && deletions.has(pathTo(id));

// Says of a conversation that is being deleted why it is not shown, and how to have it back.
export function remind(id) {
  const deletion = deletions.get(pathTo(id));
  if (deletion.sent) {
    toast(`“${deletion.title}” is being deleted.`);
    return;
  }
  focusUndo(deletion);
  announce(`“${deletion.title}” is deleted. Undo brings it back.`);
}

// Sends what is still waiting for an undo: the page is about to go.
export const settle = () => Promise.all(Array.from(deletions.values(), send));
