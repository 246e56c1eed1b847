// What the browser keeps between visits: bounded, and never the key, which lasts as long as the tab.

const NAME = 'distributed.page';
const MAX_LENGTH = 400_000; // characters of all texts
const MAX_MESSAGES = 200;

export const DEFAULTS = Object.freeze({ temperature: 0.8, topP: 0.95, maxTokens: null, seed: null, system: '' });

const empty = () => ({ mode: null, story: '', messages: [], settings: { ...DEFAULTS } });

/** What was kept; what is damaged is left out. */
export function load() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME)) ?? {};
    const messages = Array.isArray(kept.messages) ? kept.messages : [];
    return {
      mode: kept.mode === 'story' || kept.mode === 'chat' ? kept.mode : null,
      story: typeof kept.story === 'string' ? kept.story : '',
      messages: messages.filter((one) => (one?.role === 'user' || one?.role === 'assistant') && typeof one.content === 'string').map(({ role, content }) => ({ role, content })),
      settings: { ...DEFAULTS, ...kept.settings },
    };
  } catch {
    return empty();
  }
}

/** Keeps it; of a long conversation the end. */
export function save(state) {
  let { messages } = state;
  messages = messages.slice(-MAX_MESSAGES);
  const story = state.story.slice(-MAX_LENGTH / 2);
  while (messages.length > 0 && messages.reduce((sum, one) => sum + one.content.length, story.length) > MAX_LENGTH) {
    messages = messages.slice(1);
  }
  try {
    localStorage.setItem(NAME, JSON.stringify({ mode: state.mode, story, messages, settings: state.settings }));
  } catch {
    // Storage is full or forbidden: the page works without.
  }
}

export const loadKey = () => { try { return sessionStorage.getItem(NAME) ?? ''; } catch { return ''; } };
export const saveKey = (key) => { try { sessionStorage.setItem(NAME, key); } catch { /* works without */ } };
