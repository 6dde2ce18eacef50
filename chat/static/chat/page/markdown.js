// A safe subset of Markdown: what a model says becomes elements made here, with text in them.
// There are no images and no HTML, and links go to http and https alone: until somebody follows a
// link, nothing of it makes the browser send a request.

import { directionOf, make } from "./dom.js";
import { inline } from "./inline.js";

const DEPTH_MAX = 4; // of quotes and lists in each other
const FENCE = /^(\s*)(```+(?=[^`]*$)|~~~+)/; // code that is in one line is none
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/s;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const NUMBER_MAX = 999; // that has room beside an item
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/s;
const ESCAPED = "\uffff"; // a pipe that ends no cell; this is no character
const TABLE_RULE = /^[\s|:]*-[\s|:-]*$/;

// None of these expressions, nor those of inline.js, may take time that grows with the square of the text:
// a model can be made to say anything, and all of it is read again with each new word.

// Returns the text as a fragment.
export function markdown(text) {
  const fragment = document.createDocumentFragment();
  fragment.append(...blocks(text.replace(/\r\n?/g, "\n").split("\n"), 0));
  return fragment;
}

function blocks(lines, depth) {
  const made = [];
  let at = 0;
  const takeWhile = (test) => {
    const from = at;
    while (at < lines.length && test(lines[at], at)) at += 1;
    return lines.slice(from, at);
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = FENCE.exec(line);
    const heading = HEADING.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (fence) {
      at += 1;
      const code = takeWhile((each) => !closes(each, fence)).map((each) => without(fence[1].length, each));
      at += 1;
      made.push(make("pre", { tabIndex: 0, dir: "ltr" }, make("code", {}, code.join("\n"))));
    } else if (heading) {
      at += 1;
      // The page's own headings are h1 to h3.
      const level = Math.min(heading[1].length + 3, 6);
      made.push(make(`h${level}`, { dir: "auto" }, ...inline(heading[2])));
    } else if (RULE.test(line)) {
      at += 1;
      made.push(make("hr"));
    } else if (QUOTE.test(line) && depth < DEPTH_MAX) {
      const quoted = takeWhile((each) => QUOTE.test(each)).map((each) => each.replace(QUOTE, ""));
      made.push(directed(make("blockquote", {}, ...blocks(quoted, depth + 1))));
    } else if (ITEM.test(line) && depth < DEPTH_MAX) {
      const { items, end } = takeItems(lines, at);
      at = end;
      made.push(list(line, items, depth));
    } else if (beginsTable(lines, at)) {
      made.push(table(takeWhile((each) => each.includes("|"))));
    } else {
      const from = at;
      made.push(paragraph(takeWhile((_, place) => place === from || !beginsBlock(lines, place))));
    }
  }
  return made;
}

// Gives an element that has others in it the direction of its words. Code is no words: it is English in
// all languages. A `dir` of "auto" would not look into elements with a `dir` of their own.
function directed(element) {
  const texts = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  let direction = "";
  while (!direction && texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (!parentElement.closest("code, .host")) direction = directionOf(data);
  }
  if (direction) element.dir = direction;
  return element;
}

function beginsBlock(lines, at) {
  const isOf = (kind) => kind.test(lines[at]);
  return !lines[at].trim() || [FENCE, HEADING, RULE, QUOTE, ITEM].some(isOf) || beginsTable(lines, at);
}

function beginsTable(lines, at) {
  const rule = lines[at + 1] ?? "";
  return lines[at].includes("|") && rule.includes("|") && TABLE_RULE.test(rule);
}

function paragraph(lines) {
  const words = lines.flatMap((line, place) => [...(place ? [make("br")] : []), ...inline(line)]);
  return make("p", { dir: "auto" }, ...words);
}

const indentOf = (line) => line.search(/\S|$/);

// Returns the line without its indentation, as far as that goes to `width`.
const without = (width, line) => line.slice(Math.min(width, indentOf(line)));

// Whether a line ends the code that a fence has begun: only the same marks, and at least as many.
function closes(line, [, , marks]) {
  const text = line.trim();
  return text.startsWith(marks) && !text.replaceAll(marks[0], "");
}

const isOrdered = (item) => item[2].length > 1;

// Returns the items of the list that begins at a line, each as its lines, and where the list ends.
// To an item belong the lines below it that are indented further, with empty ones between them, and
// all of the code that begins in it: models forget to indent that.
function takeItems(lines, from) {
  const first = ITEM.exec(lines[from]);
  const items = [];
  let fence = null; // of the code that is not closed yet
  let at = from;
  for (; at < lines.length; at += 1) {
    const line = lines[at];
    const item = fence || RULE.test(line) ? null : ITEM.exec(line);
    if (item && indentOf(line) <= first[1].length) {
      if (isOrdered(item) !== isOrdered(first)) break;
      items.push({ text: item[3], inner: [], shortest: Infinity });
      fence = FENCE.exec(item[3]);
      continue;
    }
    const last = items.at(-1);
    if (fence) {
      if (closes(line, fence)) fence = null;
    } else if (line.trim()) {
      const isAfterEmpty = !lines[at - 1].trim();
      if (indentOf(line) <= (isAfterEmpty ? first[1].length : 0)) break;
      last.shortest = Math.min(last.shortest, indentOf(line));
      fence = FENCE.exec(line);
    }
    last.inner.push(line);
  }
  return { items, end: at };
}

// `line` is the one that the list begins with.
function list(line, items, depth) {
  const first = ITEM.exec(line);
  const made = items.map(({ text, inner, shortest }) => {
    const width = Number.isFinite(shortest) ? shortest : indentOf(line) + first[2].length + 1;
    const [begin, ...rest] = blocks([text, ...inner.map((each) => without(width, each))], depth + 1);
    // The words beside the mark are no paragraph of their own, with space around it.
    const words = begin?.localName === "p" ? begin.childNodes : [begin ?? ""];
    // Its direction is the list's, so that all marks are on one side; that of its words is their own.
    return make("li", {}, ...words, ...rest);
  });
  if (!isOrdered(first)) return directed(make("ul", {}, ...made));
  const start = parseInt(first[2], 10);
  const isWide = start + made.length - 1 > NUMBER_MAX;
  return directed(make("ol", { start, className: isWide ? "wide" : "" }, ...made));
}

function table([head, , ...rows]) {
  const cells = (line) =>
    line.trim().replaceAll("\\|", ESCAPED).replace(/^\||\|$/g, "").split("|")
      .map((cell) => cell.replaceAll(ESCAPED, "|"));
  const row = (line, tag) =>
    make("tr", {}, ...cells(line).map((cell) => make(tag, { dir: "auto" }, ...inline(cell.trim()))));
  const body = make("tbody", {}, ...rows.map((line) => row(line, "td")));
  // What is too wide scrolls, so a keyboard has to reach it.
  return directed(make(
    "div", { className: "scrolls", tabIndex: 0, role: "group", "aria-label": "Table" },
    make("table", {}, make("thead", {}, row(head, "th")), body),
  ));
}
