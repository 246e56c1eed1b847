// The page: one composer, two ways to use it, and the ranks beside it.

import { ApiError, countTokens, streamAnswer } from './api.js';
import { Chat } from './chat.js';
import { byId } from './elements.js';
import { Ranks } from './ranks.js';
import { Settings } from './settings.js';
import { load, save } from './store.js';
import { Story } from './story.js';

const WORDS = {
  story: { send: 'Continue', verb: 'continues', label: 'Write on', placeholder: 'Once upon a time' },
  chat: { send: 'Send', verb: 'sends', label: 'Your message', placeholder: 'Ask something' },
};

const state = load();
const keep = () => save(state);
const settings = new Settings(state.settings, (values) => { state.settings = values; keep(); });
const story = new Story(answer, (text) => { state.story = text; keep(); });
const chat = new Chat(answer, (messages) => { state.messages = messages; keep(); }, () => settings.values.system);
const composer = byId('composer-text');
let running = null; // the controller of the answer that is being written

// Runs one request, whose body is made from the settings' fields; what the user stops is no failure.
async function answer(path, makeBody, onText) {
  if (running) {
    throw new ApiError('An answer is being written already; Esc stops it.');
  }
  const controller = new AbortController();
  running = controller;
  show();
  notice('');
  let [usage, finish, began, count] = [null, null, 0, 0];
  try {
    const body = await makeBody(settings.fields, (text) => countTokens(text, settings.key, controller.signal));
    for await (const event of streamAnswer(path, { ...settings.fields, ...body }, settings.key, controller.signal)) {
      if (event.text) {
        began ||= performance.now();
        count++;
        onText(event.text);
      } else {
        ({ usage, finish } = event);
      }
    }
  } catch (error) {
    if (!controller.signal.aborted) {
      throw error;
    }
  } finally {
    running = null;
    show();
  }
  return { usage, finish, seconds: count > 1 ? (performance.now() - began) / 1000 : 0 };
}

function mode() {
  return document.querySelector('input[name=mode]:checked').value;
}

function setMode(name) {
  document.querySelector(`input[name=mode][value=${name}]`).checked = true;
  show();
}

function show() {
  const name = mode();
  const words = WORDS[name];
  byId('story').hidden = name !== 'story';
  byId('chat').hidden = name !== 'chat';
  byId('send').textContent = words.send;
  byId('send').hidden = running !== null;
  byId('stop').hidden = running === null;
  byId('send-verb').textContent = words.verb;
  byId('composer-label').textContent = words.label;
  composer.placeholder = name === 'story' && story.text ? 'Add a sentence, or not' : words.placeholder;
}

function notice(text) {
  byId('notice').textContent = text;
  byId('notice').hidden = !text;
}

function fit() {
  composer.style.height = 'auto';
  composer.style.height = `${composer.scrollHeight}px`;
}

function tell(error) {
  if (error.status === 401) {
    settings.open('key');
  }
  notice(error instanceof ApiError ? error.message : `The server was not reached (${error.message}).`);
}

function send() {
  const text = composer.value;
  if (running || (mode() === 'chat' && !text.trim())) {
    return;
  }
  composer.value = '';
  fit();
  const done = mode() === 'story' ? story.go(text) : chat.ask(text);
  done.catch((error) => {
    composer.value ||= mode() === 'chat' ? text : '';
    tell(error);
  });
}

byId('composer').addEventListener('submit', (event) => {
  event.preventDefault();
  send();
});
composer.addEventListener('input', fit);
composer.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && running && !byId('settings').open) {
    running.abort();
    composer.focus();
  }
});
byId('stop').addEventListener('click', () => {
  running?.abort();
  composer.focus();
});
byId('new').addEventListener('click', () => {
  running?.abort();
  if (mode() === 'story') {
    story.text = state.story = '';
  } else {
    chat.messages = state.messages = [];
  }
  keep();
  show();
  composer.focus();
});
document.querySelectorAll('input[name=mode]').forEach((input) => input.addEventListener('change', () => {
  state.mode = mode();
  keep();
  show();
}));
window.addEventListener('unhandledrejection', (event) => {
  event.preventDefault();
  tell(event.reason);
});

story.text = state.story;
chat.messages = state.messages;
setMode(state.mode ?? 'story');
if (matchMedia('(max-width: 60rem)').matches) {
  byId('ranks-details').open = false;
} else {
  composer.focus();
}
let isFirst = true;
new Ranks(() => settings.key, (status, error) => {
  if (status && isFirst) {
    isFirst = false;
    byId('model-name').textContent = document.title = status.model;
    if (state.mode === null && status.chat) {
      setMode('chat');
    }
  }
  if (error?.status === 401 && !byId('settings').open && isFirst) {
    isFirst = false;
    tell(error);
  }
});
