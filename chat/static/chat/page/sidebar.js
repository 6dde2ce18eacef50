// The list's place: beside the conversation, and on a phone in front of it.

import { byId } from "./dom.js";

const NARROW = matchMedia("(max-width: 700px)"); // as chat.css has it
const BEHIND = ["skip", "pane"];

const isShown = () => byId("sidebar").classList.contains("shown");

const isInFront = () => isShown() && NARROW.matches;

// What the list covers is not for the keyboard, nor for screen readers.
function cover() {
  for (const id of BEHIND) byId(id).inert = isInFront();
}

export function show(toShow) {
  const hadFocus = byId("sidebar").contains(document.activeElement);
  byId("sidebar").classList.toggle("shown", toShow);
  byId("menu").setAttribute("aria-expanded", String(toShow));
  cover();
  if (toShow) byId("search").focus();
  // What is hidden can't have it. The text box would call up a phone's keyboard.
  else if (hadFocus && getComputedStyle(byId("sidebar")).visibility === "hidden") byId("transcript").focus();
}

const close = () => (show(false), byId("menu").focus());

byId("menu").onclick = () => show(!isShown());
byId("close").onclick = close;
NARROW.onchange = cover;
// Wherever the focus is: on a button in front of the list, or nowhere.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && isInFront()) close();
});
