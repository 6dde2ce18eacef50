// A safe subset of Markdown: what a model says becomes elements made here, with text in them.
// There are no images and no HTML, and links go to http and https alone: until somebody follows a
// link, nothing of it makes the browser send a request.

import { make } from "./dom.js";

const DEPTH_MAX = 4; // of quotes, lists and emphasis in each other
const FENCE = /^ {0,3}(```+|~~~+)\s*(\S*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^[\s|:]*-[\s|:-]*$/;
const AFTER_ADDRESS = ".,;:!?'\")]}";

// None of these expressions, nor those below, may take time that grows with the square of the text:
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
      const code = takeWhile((each) => !each.trim().startsWith(fence[1]));
      at += 1;
      made.push(make("pre", { tabIndex: 0 }, make("code", {}, code.join("\n"))));
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
      made.push(make("blockquote", {}, ...blocks(quoted, depth + 1)));
    } else if (ITEM.test(line) && depth < DEPTH_MAX) {
      made.push(list(takeWhile((each) => ITEM.test(each) || /^\s+\S/.test(each)), depth));
    } else if (line.includes("|") && TABLE_RULE.test(lines[at + 1] ?? "")) {
      made.push(table(takeWhile((each) => each.includes("|"))));
    } else {
      const from = at;
      made.push(paragraph(takeWhile((each, place) => place === from || !beginsBlock(each))));
    }
  }
  return made;
}

function beginsBlock(line) {
  return !line.trim() || [FENCE, HEADING, RULE, QUOTE, ITEM].some((kind) => kind.test(line));
}

function paragraph(lines) {
  const made = make("p", { dir: "auto" });
  lines.forEach((line, place) => {
    if (place) made.append(make("br"));
    made.append(...inline(line));
  });
  return made;
}

// Lines that are indented further than the first belong to the item before them.
function list(lines, depth) {
  const [, indent, mark] = ITEM.exec(lines[0]);
  const isOrdered = /\d/.test(mark);
  const made = make(isOrdered ? "ol" : "ul", { dir: "auto" });
  if (isOrdered) made.start = parseInt(mark, 10);
  let inner = [];
  const close = () => {
    const shortest = Math.min(...inner.map((line) => line.search(/\S|$/)));
    made.lastElementChild?.append(...blocks(inner.map((line) => line.slice(shortest)), depth + 1));
    inner = [];
  };
  for (const line of lines) {
    const item = ITEM.exec(line);
    if (item && item[1].length <= indent.length) {
      if (inner.length) close();
      made.append(make("li", { dir: "auto" }, ...inline(item[3])));
    } else {
      inner.push(line);
    }
  }
  if (inner.length) close();
  return made;
}

function table([head, , ...rows]) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|");
  const row = (line, tag) =>
    make("tr", {}, ...cells(line).map((cell) => make(tag, { dir: "auto" }, ...inline(cell.trim()))));
  const body = make("tbody", {}, ...rows.map((line) => row(line, "td")));
  // What is too wide scrolls, so a keyboard has to reach it.
  return make(
    "div", { className: "scrolls", tabIndex: 0, role: "group", "aria-label": "Table" },
    make("table", {}, make("thead", {}, row(head, "th")), body),
  );
}

const INLINE = new RegExp(
  [
    /\\(?<escaped>[\\`*_[\]()#>~|!-])/,
    /`(?<code>[^`\n]{1,2000})`/,
    /\*\*(?=\S)(?<strong>[^\n]{1,1000}?)\*\*/,
    /~~(?=\S)(?<gone>[^~\n]{1,1000})~~/,
    /\*(?=[^\s*])(?<em>[^*\n]{1,1000})\*/,
    /!?\[(?<label>[^[\]\n]{1,500})\]\((?<target>[^\s()]{1,2000}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)\)/,
    /(?<bare>\bhttps?:\/\/[^\s<>"`*]{1,2000})/,
  ].map((part) => part.source).join("|"),
  "g",
);

// Returns a line as nodes.
function inline(text, depth = 0) {
  const made = [];
  let end = 0;
  for (;;) {
    // Not matchAll: it compiles the expression again for each line, which takes seconds in all.
    INLINE.lastIndex = end;
    const match = INLINE.exec(text);
    if (match === null) break;
    made.push(text.slice(end, match.index));
    end = match.index + match[0].length;
    made.push(...token(match, depth));
  }
  made.push(text.slice(end));
  return made;
}

function token(match, depth) {
  const { escaped, code, strong, gone, em, label, target, bare } = match.groups;
  const within = (inner) => (depth < DEPTH_MAX ? inline(inner, depth + 1) : [inner]);
  if (escaped) return [escaped];
  if (code) return [make("code", { dir: "auto" }, code)];
  if (strong) return [make("strong", {}, ...within(strong))];
  if (gone) return [make("del", {}, ...within(gone))];
  if (em) return [make("em", {}, ...within(em))];
  if (label) return link(target, label) ?? [match[0]];
  let end = bare.length;
  while (AFTER_ADDRESS.includes(bare[end - 1])) end -= 1;
  const address = bare.slice(0, end);
  return [...(link(address, address) ?? [address]), bare.slice(end)];
}

// Returns a link, and its host where the label hides it; null for an address that is not for links.
function link(target, label) {
  let url;
  try {
    url = new URL(target);
  } catch {
    return null;
  }
  // https://bank.example@evil.example leads to the second.
  if (!/^https?:$/.test(url.protocol) || url.username || url.password) return null;
  const properties = { href: url.href, rel: "noreferrer noopener", target: "_blank", dir: "auto" };
  const shown = [make("a", properties, label)];
  if (!label.includes(url.host)) shown.push(make("bdi", { className: "host" }, ` (${url.host})`));
  return shown;
}
