// Small helpers around the document.

export const byId = (id) => document.getElementById(id);

/** An element with properties and children; text goes in as text, never as HTML. */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** Keeps the end of a scrolling element in view while it grows, unless the user has scrolled up. */
export function follow(scroller) {
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  return () => {
    if (atEnd) {
      scroller.scrollTop = scroller.scrollHeight;
    }
  };
}

/** What an answer cost: "142 tokens, 310 tokens/s". */
export function figures(usage, seconds, finish) {
  if (!usage) {
    return '';
  }
  const speed = seconds > 0 ? `, ${Math.round(usage.completion_tokens / seconds)} tokens/s` : '';
  const end = finish === 'length' ? ', at its limit' : '';
  return `${usage.completion_tokens} tokens${speed}${end}`;
}
