// Elements are made by these functions alone. No text becomes markup: there is no innerHTML here,
// and the page's Content-Security-Policy (Trusted Types) would refuse it.

export const byId = (id) => document.getElementById(id);

// Returns an element. Properties that the element has are set, others become attributes.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  // First, as each child that comes to a `dir` of "auto" costs a look at all of them.
  element.append(...children);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  return element;
}

export const button = (text, onclick, properties = {}) =>
  make("button", { type: "button", onclick, ...properties }, text);

// Returns a time in short: of today without the date.
export function when(text, options = {}) {
  const time = new Date(text);
  const isToday = time.toDateString() === new Date().toDateString();
  const hour = { hour: "2-digit", minute: "2-digit" };
  const day = { day: "numeric", month: "short", ...options };
  return time.toLocaleString([], isToday ? hour : day);
}

// Letters of Hebrew, Arabic and all others that are written from the right; and the mark for them.
const FROM_RIGHT = /[\u0590-\u08ff\u200f\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u;
const DIRECTED = /[\p{L}\u200e\u200f]/u;

// Returns the direction of the first letter: "rtl" or "ltr"; "" without one.
export function directionOf(text) {
  const [letter] = DIRECTED.exec(text) ?? [];
  if (letter === undefined) return "";
  return FROM_RIGHT.test(letter) ? "rtl" : "ltr";
}

// Writes words into an element; not the same ones again, as screen readers would repeat them.
export function write(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

// Hides an element, or shows it. The focus goes on to `next`: with what is hidden it would be lost.
export function hide(element, isHidden, next) {
  const hadFocus = element.contains(document.activeElement);
  element.hidden = isHidden;
  if (isHidden && hadFocus) next.focus({ preventScroll: true });
}

let saying = 0;

// Has a screen reader say it. It is cleared first, so that the same words are said twice.
export function announce(text) {
  silence();
  saying = setTimeout(() => (byId("said").textContent = text), 50);
}

export function silence() {
  clearTimeout(saying);
  byId("said").textContent = "";
}

// Shows a line at the bottom for some seconds, with a button if `action` is {text, run}.
// `whenOver` is called when the time is over and the button was not pressed.
export function toast(text, { action = null, seconds = 6, whenOver = () => {} } = {}) {
  const line = make("div", { className: "toast" }, make("span", { dir: "auto" }, text));
  const end = () => line.remove();
  const timer = setTimeout(() => {
    if (line.contains(document.activeElement)) byId("message").focus();
    end();
    whenOver();
  }, seconds * 1000);
  if (action !== null) {
    const undo = button(action.text, () => {
      clearTimeout(timer);
      end();
      action.run();
    });
    line.append(undo);
  }
  byId("toasts").append(line);
  return { element: line, cancel: () => (clearTimeout(timer), end()) };
}

export async function copy(text) {
  let isCopied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    isCopied = copyByCommand(text);
  }
  if (isCopied) toast("Copied.", { seconds: 2 });
  else toast("Not copied: the browser does not allow it.");
}

// Over plain HTTP browsers have no clipboard but this one.
function copyByCommand(text) {
  const focused = document.activeElement;
  const area = make("textarea", { value: text, className: "offscreen" });
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return isCopied;
}
