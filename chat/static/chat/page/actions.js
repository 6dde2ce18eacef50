// What is done to a conversation as a whole: rename, export, delete.

import { current, load } from "./conversation.js";
import { announce, byId, make, toast } from "./dom.js";
import * as list from "./list.js";
import { apiPath, call, user } from "./session.js";
import { tell } from "./tabs.js";

const UNDO_SECONDS = 7;
const deletions = new Map(); // of conversations that are hidden: what sends the request at once

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
      await call(apiPath("conversations", id), { method: "PATCH", body });
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
  const title = list.titleOf(id);
  const path = apiPath("conversations", id);
  list.hide(id, true);
  const shown = toast(`Deleted “${title}”.`, {
    action: {
      text: "Undo",
      run: () => {
        deletions.delete(id);
        list.hide(id, false);
        back(id);
        announce("Not deleted.");
      },
    },
    seconds: UNDO_SECONDS,
    whenOver: () => deletions.get(id)?.(),
  });
  deletions.set(id, async () => {
    deletions.delete(id);
    shown.cancel();
    try {
      await call(path, { method: "DELETE", keepalive: true });
      tell("changed");
      await list.load();
    } catch (error) {
      // Whoever reads it when the user is gone may not know the title.
      toast(user ? `“${title}” was not deleted: ${error.message}` : "A conversation was not deleted.");
    } finally {
      list.hide(id, false);
    }
  });
  leave();
  shown.element.querySelector("button").focus();
}

// Sends what is still waiting for an undo: the page is about to go.
export const settle = () => Promise.all(Array.from(deletions.values(), (run) => run()));
