// Chat: a conversation in turns, each of which can be written again.

import { byId, element, figures, follow } from './elements.js';

const IDEAS = ['What does an all-reduce do?', 'Tell me a story about a bear named Leo.', 'Who are you?'];

export class Chat {
  #list = byId('chat-messages');
  #sheet = byId('chat');
  #answer;
  #changed;
  #system;
  #messages = [];

  /** @param answer runs a request: (path, makeBody, onText) => {finish, usage, seconds}  @param changed called with the messages  @param system gives the system message */
  constructor(answer, changed, system) {
    this.#answer = answer;
    this.#changed = changed;
    this.#system = system;
    byId('chat-ideas').append(...IDEAS.map((idea) => element('li', {}, element('button', { type: 'button', textContent: idea, onclick: () => this.ask(idea) }))));
  }

  set messages(messages) {
    this.#messages = messages;
    this.#show();
    this.#sheet.scrollTop = this.#sheet.scrollHeight;
  }

  async ask(question) {
    if (question.trim()) {
      this.#messages.push({ role: 'user', content: question.trim() });
      await this.#reply();
    }
  }

  async #reply() {
    const system = this.#system().trim();
    const messages = [...(system ? [{ role: 'system', content: system }] : []), ...this.#messages.map(({ role, content }) => ({ role, content }))];
    const message = { role: 'assistant', content: '' };
    this.#messages.push(message);
    this.#show();
    const item = this.#list.lastElementChild;
    const body = item.querySelector('.body');
    item.classList.add('writing');
    this.#list.setAttribute('aria-busy', 'true'); // to be read out when it is whole
    this.#sheet.scrollTop = this.#sheet.scrollHeight;
    try {
      const { usage, seconds, finish } = await this.#answer('/v1/chat/completions', async () => ({ messages }), (text) => {
        const keep = follow(this.#sheet);
        message.content += text;
        body.textContent = message.content;
        keep();
      });
      message.figures = figures(usage, seconds, finish);
    } finally {
      if (!message.content) {
        this.#messages.pop();
      }
      const keep = follow(this.#sheet);
      this.#show();
      keep();
      this.#list.removeAttribute('aria-busy');
      this.#changed(this.#messages);
    }
  }

  #show() {
    byId('chat-start').hidden = this.#messages.length > 0;
    this.#list.replaceChildren(...this.#messages.map((message, index) => this.#item(message, index)));
  }

  #item(message, index) {
    const isUser = message.role === 'user';
    const body = element('div', { className: 'body' }, ...(isUser ? [message.content] : formatted(message.content)));
    const after = element('div', { className: 'after' });
    if (isUser) {
      after.append(element('button', { type: 'button', className: 'quiet', textContent: 'Edit', onclick: () => this.#edit(item, message, index) }));
    } else {
      after.append(
        element('button', { type: 'button', className: 'quiet', textContent: 'Another answer', onclick: () => this.#replyFrom(index) }),
        element('button', { type: 'button', className: 'quiet', textContent: 'Copy', onclick: () => navigator.clipboard?.writeText(message.content) }),
        element('span', { className: 'figures', textContent: message.figures ?? '' }));
    }
    const item = element('li', { className: `message ${message.role}` }, element('p', { className: 'who', textContent: isUser ? 'You' : 'Model' }), body, after);
    return item;
  }

  #edit(item, message, index) {
    const area = element('textarea', { value: message.content, rows: Math.min(8, message.content.split('\n').length + 1) });
    area.setAttribute('aria-label', 'Your message');
    const send = () => {
      if (area.value.trim()) {
        message.content = area.value.trim();
        this.#replyFrom(index + 1);
      }
    };
    const leave = () => {
      this.#show();
      this.#list.children[index]?.querySelector('button')?.focus();
    };
    area.addEventListener('keydown', (event) => {
      if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        send();
      } else if (event.key === 'Escape') {
        event.stopPropagation();
        leave();
      }
    });
    const after = element('div', { className: 'after' },
      element('button', { type: 'button', className: 'quiet', textContent: 'Send again', onclick: send }),
      element('button', { type: 'button', className: 'quiet', textContent: 'Leave as it was', onclick: leave }));
    item.replaceChildren(item.querySelector('.who'), area, after);
    area.focus();
  }

  #replyFrom(index) {
    this.#messages.length = index;
    this.#reply();
  }
}

// Fenced blocks and `code` as code; everything else as it is.
function formatted(text) {
  return text.split(/^```[^\n]*\n([\s\S]*?)(?:^```[ \t]*$\n?|$(?![\s\S]))/m).flatMap((part, i) =>
    i % 2 === 1 ? [element('pre', {}, element('code', { textContent: part.replace(/\n$/, '') }))]
      : part.split(/`([^`\n]+)`/).map((piece, j) => (j % 2 === 1 ? element('code', { textContent: piece }) : piece)));
}
