// The ranks, live: how fast, who waits for whom, what is in use.

import { byId, element } from './elements.js';
import { getJson } from './api.js';

const INTERVAL = 1000; // ms
const POINTS = 60;
const SVG = 'http://www.w3.org/2000/svg';

const mebibytes = (bytes) => (bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`);
const milliseconds = (ms) => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(2));
const number = (value) => (value >= 100 ? Math.round(value).toString() : value >= 10 ? value.toFixed(0) : value.toFixed(value > 0 ? 1 : 0));

export class Ranks {
  #speeds = [];
  #key;
  #onStatus;

  /** @param key gives the API key  @param onStatus called with each status, or null where there was none */
  constructor(key, onStatus) {
    this.#key = key;
    this.#onStatus = onStatus;
    this.#poll();
  }

  async #poll() {
    if (!document.hidden) {
      try {
        const status = await getJson('/status', this.#key());
        this.#show(status);
        this.#onStatus(status);
      } catch (error) {
        byId('state-dot').className = 'dot';
        byId('summary-figure').textContent = error.status ? 'not ready' : 'not reached';
        byId('transport').textContent = error.status ? error.message : '';
        this.#onStatus(null, error);
      }
    }
    setTimeout(() => this.#poll(), INTERVAL);
  }

  #show(status) {
    this.#speeds = [...this.#speeds, status.tokens_per_second].slice(-POINTS);
    const isBusy = status.running > 0;
    byId('state-dot').className = isBusy ? 'dot busy' : 'dot ready';
    byId('ranks-title').textContent = status.world_size === 1 ? 'One rank' : `${status.world_size} ranks`;
    byId('summary-figure').textContent = isBusy ? `${number(status.tokens_per_second)} tokens/s` : 'idle';
    byId('speed').textContent = number(status.tokens_per_second);
    const best = Math.max(...this.#speeds);
    byId('speed-note').textContent = best > 0 ? `up to ${number(best)}` : '';
    this.#drawSpeed(best);

    byId('slots-text').textContent = `${status.running} of ${status.slots}`;
    byId('slots').replaceChildren(...Array.from({ length: Math.min(status.slots, 32) }, (_, i) => element('i', { className: i < status.running ? 'used' : '' })));
    byId('waiting').textContent = status.waiting;
    byId('blocks-text').textContent = `${status.blocks_used} of ${status.blocks_total} blocks`;
    const share = (blocks) => (status.blocks_total > 0 ? (100 * blocks) / status.blocks_total : 0);
    byId('blocks').querySelector('.fill').setAttribute('width', share(status.blocks_used));
    byId('blocks').querySelector('.kept').setAttribute('width', share(status.blocks_used + (status.blocks_cached ?? 0)));

    this.#showRanks(status.ranks ?? []);
    byId('transport').textContent = status.transport ? `${status.transport[0].toUpperCase()}${status.transport.slice(1)}.` : '';
  }

  #drawSpeed(best) {
    const height = (speed) => 63 - (best > 0 ? (speed / best) * 56 : 0);
    const points = this.#speeds.map((speed, i) => [300 - (this.#speeds.length - 1 - i) * (300 / (POINTS - 1)), height(speed)]);
    const line = points.map(([x, y], i) => `${i ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
    byId('speed-graph').querySelector('.line').setAttribute('d', line);
    byId('speed-graph').querySelector('.area').setAttribute('d', points.length > 1 ? `${line}L300 64L${points[0][0].toFixed(1)} 64Z` : '');
  }

  // Bars share one scale. The rank that waits least is the one that the others wait for.
  #showRanks(ranks) {
    const longest = Math.max(...ranks.map((rank) => rank.step_ms ?? 0), 1e-6);
    byId('rank-list').replaceChildren(...ranks.map((rank) => {
      const [step, wait] = [rank.step_ms ?? 0, rank.wait_ms ?? 0];
      const bar = document.createElementNS(SVG, 'svg');
      bar.setAttribute('viewBox', '0 0 100 12');
      bar.setAttribute('preserveAspectRatio', 'none');
      bar.setAttribute('role', 'img');
      bar.setAttribute('aria-label', `computes ${milliseconds(step - wait)} ms of ${milliseconds(step)} ms`);
      bar.append(...[['computes', 0, step - wait], ['waits', step - wait, wait]].map(([name, from, length]) => {
        const part = document.createElementNS(SVG, 'rect');
        part.setAttribute('class', name);
        part.setAttribute('x', (100 * from) / longest);
        part.setAttribute('width', Math.max(0, (100 * length) / longest));
        part.setAttribute('height', 12);
        return part;
      }));
      return element('li', {},
        element('div', { className: 'head' },
          element('span', { textContent: `Rank ${rank.rank}` }),
          element('span', { className: 'host', textContent: rank.host ?? '' }),
          element('span', { className: 'ms', textContent: step > 0 ? `${milliseconds(step)} ms` : 'no step yet' })),
        bar,
        element('div', { className: 'memory', textContent: `${mebibytes(rank.resident_bytes)} of memory` }));
    }));

    const measured = ranks.filter((rank) => rank.step_ms > 0);
    const note = byId('waits-for');
    if (measured.length < 2) {
      note.textContent = '';
      return;
    }
    const [slowest, most] = [measured.reduce((a, b) => (b.wait_ms < a.wait_ms ? b : a)), measured.reduce((a, b) => (b.wait_ms > a.wait_ms ? b : a))];
    const difference = most.wait_ms - slowest.wait_ms;
    note.textContent = difference > 0.1 * slowest.step_ms
      ? `Rank ${most.rank} waits for rank ${slowest.rank}, ${milliseconds(difference)} ms a step.`
      : 'No rank waits for another.';
  }
}
