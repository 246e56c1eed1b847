// The dialog with what goes into every request.

import { byId } from './elements.js';
import { DEFAULTS, loadKey, saveKey } from './store.js';

const NUMBERS = ['temperature', 'topP', 'maxTokens', 'seed'];

export class Settings {
  #form = byId('settings-form');
  #dialog = byId('settings');
  #key = loadKey();

  /** @param values as kept  @param changed called with new ones */
  constructor(values, changed) {
    this.values = values;
    byId('settings-open').addEventListener('click', () => this.open());
    byId('settings-reset').addEventListener('click', () => this.#fill({ ...DEFAULTS }, ''));
    this.#dialog.addEventListener('click', (event) => {
      if (event.target === this.#dialog) {
        this.#dialog.close(); // the backdrop
      }
    });
    this.#form.addEventListener('submit', () => {
      const read = Object.fromEntries(NUMBERS.map((name) => [name, this.#form.elements[name].value === '' ? DEFAULTS[name] : Number(this.#form.elements[name].value)]));
      this.values = { ...read, system: this.#form.elements.system.value };
      this.#key = this.#form.elements.key.value.trim();
      saveKey(this.#key);
      changed(this.values);
    });
  }

  get key() {
    return this.#key;
  }

  /** As OpenAI's fields. */
  get fields() {
    const { temperature, topP, maxTokens, seed } = this.values;
    return { temperature, top_p: topP, ...(maxTokens === null ? {} : { max_tokens: maxTokens }), ...(seed === null ? {} : { seed }) };
  }

  /** @param field the name of the one to begin with */
  open(field = 'temperature') {
    this.#fill(this.values, this.#key);
    if (!this.#dialog.open) {
      this.#dialog.showModal();
    }
    this.#form.elements[field].focus();
  }

  #fill(values, key) {
    for (const name of [...NUMBERS, 'system']) {
      this.#form.elements[name].value = values[name] ?? '';
    }
    this.#form.elements.key.value = key;
  }
}
