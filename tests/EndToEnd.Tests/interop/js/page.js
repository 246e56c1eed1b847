// Drives the page in a real browser: page.js URL [FOLDER for pictures]. Prints a line "name<TAB>ok" or "name<TAB>what is wrong" for each case.
// The server's model writes without end, so that what is stopped is certainly running.
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const [url, pictures] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
const FOX = 'Once upon a time there was a brave fox named';

const cases = {
  async 'a story is written, kept and found again'(page) {
    await page.fill('#composer-text', FOX);
    await page.keyboard.press('Enter');
    await idle(page);
    const story = await text(page);
    assert.ok(story.startsWith(`${FOX} `) && story.length > FOX.length + 20, story);
    assert.match(await page.textContent('#story-figures'), /^40 tokens, .*at its limit$/);
    await page.reload();
    assert.equal(await text(page), story);
  },

  async 'it comes piece by piece, and stops at once'(page) {
    await set(page, { maxTokens: 3000 });
    await page.fill('#composer-text', FOX);
    await page.click('#send');
    await page.waitForFunction((length) => document.querySelector('#story-text').textContent.length > length, FOX.length);
    const early = await text(page);
    await page.waitForFunction((length) => document.querySelector('#story-text').textContent.length > length, early.length);
    assert.ok(await page.isVisible('#stop'));
    await page.keyboard.press('Escape');
    await idle(page);
    const story = await text(page);
    assert.ok(story.startsWith(early));
    await page.waitForFunction(async () => (await (await fetch('/status')).json()).running === 0); // the server has stopped too
    assert.equal(await text(page), story);
    assert.ok(await page.isHidden('#notice'));
  },

  async 'a text is edited, and taken back'(page) {
    await page.click('#story-ideas button >> nth=1');
    await idle(page);
    const first = await text(page);
    await page.click('#story-back');
    assert.equal(await text(page), 'One day, a little girl named Lily');
    await page.click('#story-text');
    await page.keyboard.press('Control+End');
    await page.keyboard.type(' saw a bear. <b>It</b>');
    assert.equal(await text(page), 'One day, a little girl named Lily saw a bear. <b>It</b>');
    await page.keyboard.press('Enter');
    await idle(page);
    assert.ok((await text(page)).startsWith('One day, a little girl named Lily saw a bear. <b>It</b>'));
    assert.notEqual(await text(page), first);
    assert.equal(await page.locator('#story-text b').count(), 0);
  },

  async 'the same seed gives the same text, another way another'(page) {
    await set(page, { seed: 7 });
    await page.fill('#composer-text', FOX);
    await page.keyboard.press('Enter');
    await idle(page);
    const first = await text(page);
    await page.click('#story-again');
    await idle(page);
    assert.equal(await text(page), first);
    await set(page, { seed: '' });
    await page.click('#story-again');
    await idle(page);
    assert.notEqual(await text(page), first);
  },

  async 'a story outgrows the context'(page) {
    await set(page, { maxTokens: 3000 });
    await page.fill('#composer-text', `${'There was a fox. '.repeat(1200)}And then`); // more tokens than max_seq_len
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.fresh')?.textContent.length > 0);
    await page.keyboard.press('Escape');
    await idle(page);
    assert.ok(await page.isHidden('#notice'), await page.textContent('#notice'));
  },

  async 'a conversation: an answer, an edit, another answer'(page) {
    await set(page, { maxTokens: 10, temperature: 0 }); // the model goes on to marks of the chat format, which no message may have
    await page.click('text=Chat');
    await page.click('#chat-ideas button >> nth=0');
    await idle(page);
    assert.equal(await page.locator('.message').count(), 2);
    assert.ok((await page.textContent('.message.assistant .body')).length > 0);
    await page.click('.message.user >> text=Edit');
    await page.keyboard.press('Control+A');
    await page.keyboard.type('Who are you?');
    await page.keyboard.press('Enter');
    await idle(page);
    assert.equal(await page.textContent('.message.user .body'), 'Who are you?');
    await page.click('text=Another answer');
    await idle(page);
    assert.equal(await page.locator('.message').count(), 2);
    await page.fill('#composer-text', 'And you?');
    await page.keyboard.press('Shift+Enter');
    await page.keyboard.press('Enter');
    await idle(page);
    assert.equal(await page.locator('.message').count(), 4);
    await page.reload();
    assert.equal(await page.locator('.message').count(), 4);
    await page.click('#new');
    assert.equal(await page.locator('.message').count(), 0);
  },

  async 'the ranks are drawn'(page) {
    await page.fill('#composer-text', FOX);
    await page.keyboard.press('Enter');
    await idle(page);
    await page.waitForFunction(() => document.querySelectorAll('#rank-list li').length === 2
      && [...document.querySelectorAll('#rank-list .ms')].every((ms) => ms.textContent.endsWith(' ms')));
    assert.equal(await page.textContent('#ranks-title'), '2 ranks');
    assert.match(await page.textContent('#transport'), /2 ranks on this host/);
    assert.match(await page.getAttribute('#speed-graph .line', 'd'), /^M/);
    assert.equal(await page.textContent('#model-name'), 'demo');
  },

  async 'by the keyboard alone'(page) {
    await page.locator('.skip').focus();
    const order = [];
    for (let i = 0; i < 7; i++) {
      await page.keyboard.press('Tab');
      order.push(await page.evaluate(() => document.activeElement.id || document.activeElement.value || document.activeElement.textContent));
    }
    assert.deepEqual(order.slice(0, 3), ['story', 'new', 'settings-open']);
    await page.focus('#settings-open');
    await page.keyboard.press('Enter');
    assert.ok(await page.isVisible('#settings'));
    await page.keyboard.press('Escape');
    assert.ok(await page.isHidden('#settings'));
    assert.equal(await page.evaluate(() => document.activeElement.id), 'settings-open');
    await page.focus('input[value=story]');
    await page.keyboard.press('ArrowRight');
    assert.ok(await page.isVisible('#chat'));
    await page.focus('#composer-text');
    await page.keyboard.type('Who are you?');
    await page.keyboard.press('Enter');
    await idle(page);
    assert.equal(await page.locator('.message').count(), 2);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'composer-text');
  },

  async 'on a narrow phone nothing is cut off'(page) {
    await page.setViewportSize({ width: 360, height: 640 });
    await page.reload();
    for (const act of [() => {}, () => page.click('text=Chat'), () => page.click('#ranks-details summary')]) {
      await act();
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth) <= 360);
      const button = await page.locator('#send').boundingBox();
      assert.ok(button.x >= 0 && button.x + button.width <= 360 && button.y + button.height <= 640, JSON.stringify(button));
    }
  },

  async 'it is dark where the system is'(page) {
    const color = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0));
    assert.ok(await color() > 600);
    await page.emulateMedia({ colorScheme: 'dark' });
    assert.ok(await color() < 150);
  },

  async 'a failure is told, and the question is kept'(page) {
    await page.click('text=Chat');
    await page.route('**/v1/chat/completions', (route) => route.abort());
    await page.fill('#composer-text', 'Who are you?');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#notice:not([hidden])');
    assert.match(await page.textContent('#notice'), /not reached/);
    assert.equal(await page.inputValue('#composer-text'), 'Who are you?');
    return ['net::ERR_FAILED'];
  },
};

for (const [name, run] of Object.entries(cases)) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 820 }, colorScheme: 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const [problems, hosts] = [[], new Set()];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('request', (request) => hosts.add(new URL(request.url()).origin));
  let outcome = 'ok';
  try {
    const response = await page.goto(url);
    assert.match(response.headers()['content-security-policy'], /default-src 'none'/);
    await set(page, { maxTokens: 40 });
    const expected = (await run(page)) ?? [];
    assert.deepEqual(problems.filter((problem) => !expected.some((one) => problem.includes(one))), []);
    assert.deepEqual([...hosts], [new URL(url).origin]);
  } catch (error) {
    outcome = error.message.replaceAll(/\s+/g, ' ');
    if (pictures) {
      await page.screenshot({ path: `${pictures}/${name.replaceAll(/\W+/g, '-')}.png` });
    }
  }
  console.log(`${name}\t${outcome}`);
  await context.close();
}
await browser.close();

function text(page) {
  return page.textContent('#story-text');
}

async function idle(page) {
  await page.waitForSelector('#stop', { state: 'hidden' });
}

async function set(page, values) {
  await page.click('#settings-open');
  for (const [name, value] of Object.entries(values)) {
    await page.fill(`#settings-form [name=${name}]`, String(value));
  }
  await page.click('#settings-form button[type=submit]');
}
