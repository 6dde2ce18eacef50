// The words of a line as nodes: emphasis, code, and links that show where they lead.

import { make } from "./dom.js";

const DEPTH_MAX = 4; // of emphasis in emphasis
const AFTER_ADDRESS = ".,;:!?'\")]}";

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
export function inline(text, depth = 0) {
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
