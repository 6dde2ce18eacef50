// The words of a line as nodes: emphasis, code, and links that show where they lead.

import { make } from "./dom.js";

const DEPTH_MAX = 4; // of emphasis in emphasis
const AFTER_ADDRESS = ".,;:!?'\")]}";

// Bold words within italic ones: the only asterisks that may be there.
const BOLD = /\*\*(?=[^\s*])[^*\n]{1,300}\*\*/.source;
const INLINE = new RegExp(
  [
    /\\(?<escaped>[\\`*_[\]()#>~|!-])/,
    /(?<raw>`{4,})/,
    /(?<ticks>`{1,3})(?!`)(?<code>[^\n]{0,1000}?[^`\n])\k<ticks>(?!`)/,
    /\*\*(?=\S)(?<strong>[^\n]{1,1000}?)\*\*(?!\*)/,
    /~~(?=\S)(?<gone>[^~\n]{1,1000})~~/,
    { source: `\\*(?=[^\\s*]|${BOLD})(?<em>(?:[^*\\n]|${BOLD}){0,300}?(?:[^\\s*]|${BOLD}))\\*(?!\\*)` },
    // An underscore within a word, as in snake_case, is one.
    /(?<begin>__?)(?=[^\s_])(?<under>[^\n]{0,300}?[^\s_])\k<begin>(?![\p{L}\p{N}_])/,
    /!?\[(?<label>[^[\]\n]{1,500})\]\((?<target>[^\s()]{1,2000}(?:\([^\s()]{0,200}\)[^\s()]{0,200})?)\)/,
    /(?<bare>\bhttps?:\/\/[^\s<>"`*]{1,2000})/,
  ].map((part) => part.source).join("|"),
  "gu",
);
const ENDS_IN_WORD = /[\p{L}\p{N}_]$/u;

// Returns a line as nodes.
export function inline(text, depth = 0) {
  const made = [];
  let end = 0;
  for (;;) {
    // Not matchAll: it compiles the expression again for each line, which takes seconds in all.
    INLINE.lastIndex = end;
    const match = INLINE.exec(text);
    if (match === null) break;
    made.push(text.slice(end, match.index));
    const { begin } = match.groups;
    // Not a look behind: older browsers have none.
    if (begin && ENDS_IN_WORD.test(text.slice(Math.max(0, match.index - 2), match.index))) {
      made.push(begin);
      end = match.index + begin.length;
      continue;
    }
    end = match.index + match[0].length;
    made.push(...token(match, depth));
  }
  made.push(text.slice(end));
  return made;
}

function token(match, depth) {
  const { escaped, raw, code, strong, gone, em, begin, under, label, target, bare } = match.groups;
  const within = (inner) => (depth < DEPTH_MAX ? inline(inner, depth + 1) : [inner]);
  if (escaped || raw) return [escaped ?? raw];
  if (code) return [make("code", { dir: "auto" }, withoutPadding(code))];
  if (strong) return [make("strong", {}, ...within(strong))];
  if (gone) return [make("del", {}, ...within(gone))];
  if (em) return [make("em", {}, ...within(em))];
  if (under) return [make(begin === "__" ? "strong" : "em", {}, ...within(under))];
  if (label) return link(target, label) ?? [match[0]];
  let end = bare.length;
  while (AFTER_ADDRESS.includes(bare[end - 1])) end -= 1;
  const address = bare.slice(0, end);
  return [...(link(address, address) ?? [address]), bare.slice(end)];
}

// "`` `a` ``" is for code with ticks in it.
const withoutPadding = (code) =>
  code.startsWith(" ") && code.endsWith(" ") && code.trim() ? code.slice(1, -1) : code;

// Returns a link, and its host where the label may tell of another; null for an address that is not
// for links.
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
  if (!shows(label, url.host)) shown.push(make("bdi", { className: "host" }, ` (${url.host})`));
  return shown;
}

// Whether the label is the host, or begins as an address of it: what comes later in an address, as
// its query, may be the name of any host.
function shows(label, host) {
  const text = label.toLowerCase();
  const [, rest] = /^https?:\/\/(.*)$/.exec(text) ?? [];
  return text === host || rest === host || ["/", "?", "#"].some((mark) => rest?.startsWith(host + mark));
}
