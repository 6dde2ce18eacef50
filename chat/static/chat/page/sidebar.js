// The list's place: beside the conversation, and on a phone in front of it.

import { byId } from "./dom.js";

export const isShown = () => byId("sidebar").classList.contains("shown");

export function show(toShow) {
  const hadFocus = byId("sidebar").contains(document.activeElement);
  byId("sidebar").classList.toggle("shown", toShow);
  byId("menu").setAttribute("aria-expanded", String(toShow));
  if (toShow) byId("search").focus();
  // What is hidden can't have it. The text box would call up a phone's keyboard.
  else if (hadFocus && getComputedStyle(byId("sidebar")).visibility === "hidden") byId("transcript").focus();
}

const close = () => (show(false), byId("menu").focus());

byId("menu").onclick = () => show(!isShown());
byId("close").onclick = close;
byId("sidebar").onkeydown = (event) => {
  if (event.key === "Escape" && isShown()) close();
};
