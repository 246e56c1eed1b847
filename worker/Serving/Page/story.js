// Write: one text, which the model goes on with and the user edits.

import { byId, element, figures, follow } from './elements.js';

const MAX_TOKENS = 256; // of one continuation, unless the settings say
const IDEAS = ['Once upon a time there was a brave fox named', 'One day, a little girl named Lily', 'The old robot opened its eyes and'];

export class Story {
  #text = byId('story-text');
  #sheet = byId('story');
  #answer;
  #changed;
  #before = null; // the text before the last continuation

  /** @param answer runs a request: (path, makeBody, onText) => {finish, usage, seconds}  @param changed called with the text when it changes */
  constructor(answer, changed) {
    this.#answer = answer;
    this.#changed = changed;
    this.#text.addEventListener('input', () => this.#edited());
    this.#text.addEventListener('paste', (event) => {
      event.preventDefault(); // as plain text, wherever it comes from
      document.execCommand('insertText', false, event.clipboardData.getData('text/plain'));
    });
    this.#text.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.isComposing) {
        event.preventDefault();
        if (event.shiftKey) {
          document.execCommand('insertText', false, '\n');
        } else {
          this.go('');
        }
      }
    });
    byId('story-again').addEventListener('click', () => this.#again());
    byId('story-back').addEventListener('click', () => this.#takeBack());
    byId('story-ideas').append(...IDEAS.map((idea) => element('li', {}, element('button', { type: 'button', textContent: idea, onclick: () => this.go(idea) }))));
  }

  get text() {
    return this.#text.textContent;
  }

  set text(text) {
    this.#text.textContent = text;
    this.#before = null;
    this.#show();
  }

  /** Adds what the user wrote, and has the model go on. */
  async go(addition) {
    const text = this.text;
    const gap = text && addition && !/\s$/.test(text) && !/^[\s.,;:!?]/.test(addition) ? ' ' : '';
    const begin = text + gap + addition;
    if (begin.trim()) {
      await this.#continue(begin);
    }
  }

  async #continue(begin) {
    const fresh = element('span', { className: 'fresh' });
    this.#text.replaceChildren(begin, fresh);
    this.#text.contentEditable = 'false';
    this.#sheet.classList.add('writing');
    this.#show();
    this.#sheet.scrollTop = this.#sheet.scrollHeight;
    byId('story-after').hidden = true;
    let result = null;
    try {
      result = await this.#run(begin, (text) => {
        const keep = follow(this.#sheet);
        fresh.append(text);
        keep();
      });
    } finally {
      fresh.normalize();
      this.#text.contentEditable = 'true';
      this.#sheet.classList.remove('writing');
      this.#before = fresh.textContent ? begin : null;
      byId('story-figures').textContent = result ? figures(result.usage, result.seconds, result.finish) : '';
      const keep = follow(this.#sheet);
      this.#show();
      keep();
      this.#changed(this.text);
    }
  }

  // A text may outgrow the model's context: then the model reads its end, and has half of the context to go on.
  async #run(begin, onText) {
    return this.#answer('/v1/completions', async ({ max_tokens: wanted }, count) => {
      let prompt = begin.trimEnd();
      for (;;) {
        const { tokens, most } = await count(prompt);
        const room = most - tokens - 1; // less the token that begins every text
        const needed = Math.min(wanted ?? MAX_TOKENS, Math.floor(most / 2));
        if (room >= needed || prompt.length < 2) {
          return { prompt, max_tokens: Math.max(1, Math.min(room, wanted ?? MAX_TOKENS)) };
        }
        const kept = prompt.slice(Math.ceil(prompt.length * Math.min(0.9, 1 - (most - needed - 1) / tokens)) || 1);
        const sentence = kept.search(/(?<=[.!?\n])\s/); // begin with a whole one, if one ends soon
        prompt = kept.slice(sentence >= 0 && sentence < kept.length / 2 ? sentence : Math.max(0, kept.search(/\s/))).trimStart();
      }
    }, onText);
  }

  #edited() {
    this.#text.querySelectorAll('.fresh').forEach((span) => span.classList.remove('fresh'));
    this.#before = null;
    this.#show();
    this.#changed(this.text);
  }

  #again() {
    if (this.#before !== null) {
      this.#continue(this.#before);
    }
  }

  #takeBack() {
    if (this.#before !== null) {
      this.text = this.#before;
      this.#changed(this.text);
    }
  }

  #show() {
    const isEmpty = this.text.length === 0;
    if (isEmpty) {
      this.#text.replaceChildren(); // a browser leaves a line break behind
    }
    byId('story-start').hidden = !isEmpty;
    byId('story-after').hidden = this.#before === null;
  }
}
