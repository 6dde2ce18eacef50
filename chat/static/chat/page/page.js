// The page: log in, choose a conversation, write. What it shows is in the address's fragment, as
// `#c=<id>`; tokens and text never are.

import * as actions from "./actions.js";
import * as composer from "./composer.js";
import * as conversation from "./conversation.js";
import { announce, byId, hide, silence, toast } from "./dom.js";
import * as entrance from "./entrance.js";
import * as list from "./list.js";
import * as sends from "./sends.js";
import * as session from "./session.js";
import * as sidebar from "./sidebar.js";
import * as storage from "./storage.js";
import * as tabs from "./tabs.js";

const placeInAddress = () => new URLSearchParams(location.hash.slice(1)).get("c");

// --- Log in and out -------------------------------------------------------------------------------

function begin() {
  storage.belongsTo(session.user);
  byId("app").hidden = false;
  byId("user").textContent = session.user;
  composer.restore();
  sends.restore();
  list.load();
  go();
}

// Takes what the user has read off the page, out of sight and in its title, too.
function clearPage() {
  byId("toasts").replaceChildren();
  actions.settle(); // deletions still have a token, if it was not refused
  actions.closeRename();
  sends.abandon();
  list.clear();
  conversation.open(null);
  session.forget();
  byId("user").textContent = "";
  silence();
  drawTitle();
}

// Leaves nothing of the user behind: neither on the page nor in the tab's storage.
function forgetEverything() {
  clearPage();
  composer.clear();
  storage.clear();
  history.replaceState(null, "", location.pathname);
}

async function logOut() {
  await actions.settle();
  try {
    await session.logOut();
  } catch (error) {
    toast(`Not logged out: ${error.message}`);
    return;
  }
  tabs.tell("logged out");
  forgetEverything();
  entrance.showLogIn("You are logged out.");
}

// Drafts stay, and the message that was being sent: whoever logs in next is mostly the same user.
session.whenItEnds((words) => {
  clearPage();
  entrance.showLogIn(words);
});

// --- The open conversation ------------------------------------------------------------------------

// Shows what the address says. A conversation that is being deleted is not shown, as what is written
// in it would be deleted, too.
function go() {
  const asked = placeInAddress();
  const isGoing = actions.isBeingDeleted(asked);
  if (isGoing) history.replaceState(null, "", location.pathname);
  const id = isGoing ? null : asked;
  composer.show(id);
  conversation.open(id);
  list.draw();
  drawTitle();
  drawComposer();
  sidebar.show(false);
  if (isGoing) actions.remind(asked);
}

function goTo(id) {
  history.pushState(null, "", id === null ? location.pathname : `#c=${encodeURIComponent(id)}`);
  go();
}

function drawTitle() {
  const { id } = conversation.current();
  const title = session.user ? list.titleOf(id) : "";
  byId("title").textContent = title;
  document.title = `${title || "Chat"} | Statekeep`;
  for (const name of ["do-rename", "do-export", "do-delete"]) byId(name).hidden = id === null;
}

function drawComposer() {
  const send = conversation.underWay();
  byId("send").hidden = conversation.isAnswering();
  hide(byId("stop"), send === undefined, byId("message"));
  byId("stop").disabled = !send?.turnId || send.state === "stopping";
}

let isDrawing = false;

function changed(send) {
  if (send.state === "done") over(send);
  if (send.state === "failed") announce(`Not answered: ${send.error}`);
  if (isDrawing) return;
  // Words come faster than the screen shows them.
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    conversation.draw();
    drawComposer();
  });
}

// The server has taken the message; if it began a conversation, that has an id now.
function accepted(send, begins) {
  if (begins && conversation.isOpen(null)) {
    conversation.becomes(send.conversation);
    history.replaceState(null, "", `#c=${encodeURIComponent(send.conversation)}`);
    composer.moved(send.conversation);
  }
  list.load();
  tabs.tell("changed");
}

sends.listen({ changed, accepted });
conversation.whenLoaded(() => (drawTitle(), drawComposer()));
list.whenLoaded(drawTitle);

function over(send) {
  if (conversation.isOpen(send.conversation)) {
    announce(send.stopped ? "Stopped." : `Assistant: ${send.text.slice(0, 1000)}`);
    conversation.load();
  } else {
    sends.discard(send);
  }
  list.load();
  tabs.tell("changed");
}

function submit(event) {
  event?.preventDefault();
  if (conversation.isAnswering()) return;
  const text = composer.take();
  if (text === null) return;
  sends.send(text, conversation.current().id);
  conversation.draw({ toEnd: true });
  drawComposer();
  byId("message").focus();
}

async function stop() {
  const send = conversation.underWay();
  if (send === undefined) return;
  byId("message").focus();
  try {
    await sends.stop(send);
    conversation.load(); // a stream that is silent does not tell
  } catch (error) {
    toast(`Not stopped: ${error.message}`);
  }
}

function refresh() {
  list.load();
  conversation.load();
}

// --- Wiring ---------------------------------------------------------------------------------------

byId("log-out").onclick = logOut;
byId("compose").addEventListener("submit", submit);
byId("stop").onclick = stop;
byId("new").onclick = () => (goTo(null), byId("message").focus());
byId("search").oninput = list.searchSoon;
byId("more").onclick = list.more;
byId("earlier").onclick = () => conversation.loadEarlier().catch((error) => toast(error.message));
byId("skip").onclick = () => byId("message").focus();
byId("again").onclick = () => conversation.load();
byId("do-rename").onclick = actions.rename;
byId("cancel-rename").onclick = () => byId("rename").close();
byId("do-export").onclick = actions.download;
byId("do-delete").onclick = () => actions.remove({ leave: () => goTo(null), back: goTo });
byId("message").oninput = composer.save;
byId("message").onkeydown = (event) => {
  // Then keys are the input method's own. The one that ends it Safari tells by its code alone.
  if (event.isComposing || event.keyCode === 229) return;
  if (event.key === "Enter" && !event.shiftKey) submit(event);
  if (event.key === "Escape") stop();
};
// A link to a conversation fires one or both of them.
for (const name of ["hashchange", "popstate"]) {
  addEventListener(name, () => {
    if (!session.user) return; // whoever logs in is shown what it leads to
    if (conversation.isOpen(placeInAddress())) sidebar.show(false);
    else go();
  });
}
addEventListener("pagehide", actions.settle);
addEventListener("online", () => session.user && !document.hidden && refresh());
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && session.user) list.load();
});
tabs.listen((what) => {
  if (what === "logged out") {
    forgetEverything();
    entrance.showLogIn("You are logged out.");
  } else if (!session.user) {
    entrance.enter();
  } else {
    refresh();
  }
});

entrance.whenEntered(begin);
entrance.enter();
