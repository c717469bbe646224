/**
 * Walks through a running appliance as a field engineer does on the first day: from the enrolment
 * link to a cleared interval, an order, an alarm, a lost line, and out again.
 *
 *   BASE_URL     the appliance, e.g. http://127.0.0.1:8080
 *   ENROL_CODE   its one-time code; nobody may have enrolled yet
 *   SHOTS        folder for screenshots; none are taken without it
 *   CHROMIUM     the browser, /usr/bin/chromium unless given
 *
 * Waits for conditions, never for a length of time.
 */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Line } from './line.mjs';

const { BASE_URL, ENROL_CODE, SHOTS, CHROMIUM = '/usr/bin/chromium' } = process.env;
const OPERATOR = { user: 'engineer', password: 'seven bars of copper' };
const VIEWER = { user: 'visitor', password: 'only here to look' };
/** The CIGRE network's. */
const NODES = 15;
const PAGES = ['overview', 'market', 'participants', 'points', 'devices', 'dispatch', 'alarms', 'users'];
const CLEARED = ['cleared', 'delivering', 'delivered', 'settled'];
/** The slowest thing waited for is a gate closing, a clearing and a start of delivery. */
const PATIENCE_MS = 90_000;

let line;
let browser;
let page;
/** Exceptions and violated policies, which no page may have. */
const faults = [];

before(async () => {
  assert.ok(BASE_URL, 'BASE_URL is not set: where is the appliance?');
  assert.ok(ENROL_CODE, 'ENROL_CODE is not set: what is its one-time code?');
  if (SHOTS) mkdirSync(SHOTS, { recursive: true });
  line = await Line.open(BASE_URL);
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  page = await visitor({ width: 1600, height: 1000 });
});

after(async () => {
  await browser?.close();
  await line?.close();
});

let broken = false;

/** One step of the walk. After one has failed the rest would only wait in vain. */
function step(name, act) {
  test(name, async (t) => {
    if (broken) {
      t.skip('an earlier step failed');
      return;
    }
    broken = true;
    await act();
    broken = false;
  });
}

/** A browser of its own, with its own cookies. */
async function visitor(viewport) {
  const context = await browser.newContext({ viewport, colorScheme: 'dark' });
  context.setDefaultTimeout(PATIENCE_MS);
  const fresh = await context.newPage();
  fresh.on('pageerror', (error) => faults.push(String(error)));
  fresh.on('console', (message) => {
    if (message.text().includes('Content Security Policy')) faults.push(message.text());
  });
  return fresh;
}

async function shot(name) {
  if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `${name}.png`) });
}

async function visit(name) {
  await page.goto(`${line.url}/#/${name}`);
}

async function logIn(where, { user, password }) {
  await where.locator('input[name=user]').fill(user);
  await where.locator('input[name=password]').fill(password);
  await where.getByRole('button', { name: 'Log in' }).click();
}

/** Waits until `check` finds nothing to complain of; it returns a complaint or undefined. */
async function until(check) {
  const end = Date.now() + PATIENCE_MS;
  let complaint = await check();
  while (complaint !== undefined) {
    assert.ok(Date.now() < end, `still after ${PATIENCE_MS / 1000} s: ${complaint}`);
    await page.waitForTimeout(250);
    complaint = await check();
  }
}

step('enrols with the link from the console', async () => {
  await visit(`enrol?code=${encodeURIComponent(ENROL_CODE)}`);
  await page.locator('input[name=user]').fill(OPERATOR.user);
  await page.locator('input[name=password]').fill(OPERATOR.password);
  await page.locator('input[name=again]').fill('something else');
  await page.getByRole('button', { name: 'Set up' }).click();
  assert.match(await page.getByRole('alert').innerText(), /differ/);
  await shot('enrol');
  await page.locator('input[name=again]').fill(OPERATOR.password);
  await page.getByRole('button', { name: 'Set up' }).click();
  await page.getByTestId('connection').filter({ hasText: 'live' }).waitFor();
});

step('shows every node of the feeder with its voltage', async () => {
  await until(async () => {
    const labels = await page.locator('[data-node] .value').allTextContents();
    const voltages = labels.filter((text) => /^\D*[01]\.\d{3}$/.test(text));
    return voltages.length === NODES ? undefined : `${voltages.length} voltages in ${labels}`;
  });
  await shot('overview');
  await page.emulateMedia({ colorScheme: 'light' });
  await shot('overview-light');
  await page.emulateMedia({ colorScheme: 'dark' });
});

step('shows details by keyboard alone', async () => {
  await page.locator('[data-branch="16"]').focus();
  await page.keyboard.press('Enter');
  const detail = page.getByTestId('detail');
  for (const word of ['Active power P', 'Reactive power Q', 'Current I', 'Loading']) {
    assert.ok((await detail.innerText()).includes(word), word);
  }
  await page.locator('[data-node="7"]').focus();
  await page.keyboard.press('Enter');
  assert.match(await detail.innerText(), /Voltage\s+[01]\.\d{4} pu/);
  assert.match(await detail.innerText(), /σ/);
  await page.keyboard.press('Escape');
});

step('waits for an interval to be cleared, with a price at every node', async () => {
  await visit('market');
  const rows = page.getByTestId('prices').locator('[data-node]');
  await until(async () => {
    const phase = await page.getByTestId('interval').getAttribute('data-phase');
    if (!CLEARED.includes(phase)) return `the interval is ${phase}`;
    const prices = await rows.locator('[role=cell]').allInnerTexts();
    const numbers = prices.filter((text) => /^−?\d+\.\d{2,3}$/.test(text));
    return numbers.length === 2 * NODES ? undefined : `prices are ${prices}`;
  });
  assert.match(await page.getByTestId('interval').innerText(), /holds/);
  await page.getByTestId('settlement').waitFor();
  await shot('market');
});

step('places an order for an open interval', async () => {
  const form = page.getByTestId('order-form');
  const accepted = page.getByTestId('order-accepted');
  await until(async () => {
    await form.locator('input[name=kw]').fill('10');
    await form.locator('input[name=price]').fill('21.5');
    await form.getByRole('button', { name: 'Place order' }).click();
    await accepted.or(page.getByTestId('order-problem')).waitFor();
    // A gate may close between choosing and sending; that is the only refusal to try again after.
    if (await accepted.isVisible()) return undefined;
    const problem = await page.getByTestId('order-problem').innerText();
    assert.match(problem, /gate|open|clos/i);
    return problem;
  });
  const number = /Order (\d+) accepted/.exec(await accepted.innerText())?.[1];
  await page.locator(`[data-order="${number}"]`).waitFor();
  assert.match(await page.locator(`[data-order="${number}"]`).innerText(), /10\.0 kW at 21\.50/);
});

step('is told in words why an order is refused', async () => {
  const form = page.getByTestId('order-form');
  const problem = page.getByTestId('order-problem');
  await form.locator('input[name=kw]').fill('ten');
  await form.getByRole('button', { name: 'Place order' }).click();
  assert.match(await problem.innerText(), /“ten” is not a number/);

  const answer = page.waitForResponse((r) => r.url().endsWith('/market/orders') && r.request().method() === 'POST');
  await form.locator('input[name=kw]').fill('-5');
  await form.getByRole('button', { name: 'Place order' }).click();
  const { error, message } = await (await answer).json();
  assert.ok(error && message, 'a Problem says what was wrong');
  await problem.filter({ hasText: message }).waitFor();
  await shot('order-refused');
});

step('asks why a unit was awarded what it was', async () => {
  await visit('market');
  const why = page.getByTestId('explanation');
  await page.getByTestId('awards').getByRole('button').first().click();
  // The interval on show moves on with the market, and its explanation with it.
  await why.getByRole('table').waitFor();
  const values = await why.getByRole('cell').allInnerTexts();
  const numbers = values.map((text) => Number(text.replace('−', '-')));
  const price = numbers.pop();
  const sum = numbers.reduce((a, b) => a + b, 0);
  assert.ok(numbers.length >= 2 && Math.abs(sum - price) <= 0.005 * (numbers.length + 1), `${numbers} make ${price}`);
  await shot('explanation');
});

step('registers a participant, and gives and takes back its token', async () => {
  await visit('participants');
  const rows = page.getByTestId('participants');
  await rows.getByText('prosumers').first().waitFor();
  assert.match(await page.getByTestId('sum').innerText(), /^0\.00 /, 'all accounts together are nothing');
  await page.locator('input[name=participant]').fill('pool');
  await page.locator('select[name=role]').selectOption('aggregator');
  await page.getByRole('button', { name: 'Register' }).click();
  await page.getByRole('heading', { name: 'pool: portfolio' }).waitFor();

  await page.locator('input[name=label]').fill('robot');
  await page.getByRole('button', { name: 'Issue a token' }).click();
  const token = await page.getByTestId('issued').locator('code').innerText();
  const orders = () => fetch(`${BASE_URL}/api/v1/market/orders`, { headers: { authorization: `Bearer ${token}` } });
  assert.deepEqual(await (await orders()).json(), [], 'its own orders: none');
  await shot('participants');
  const row = page.getByTestId('tokens').locator('tr', { hasText: 'robot' });
  await row.getByRole('button', { name: 'Revoke' }).click();
  await row.getByRole('button', { name: 'Revoke robot' }).click();
  await row.getByText('revoked').waitFor();
  assert.equal((await orders()).status, 401);
  await page.getByTestId('issued').waitFor({ state: 'detached' });

  await visit('participants?name=prosumers');
  await page.getByTestId('invoice').getByText('balance').waitFor();
  await shot('invoice');
});

step('finds points, devices and setpoints', async () => {
  await visit('points');
  const rows = page.getByTestId('points').locator('tbody tr');
  await until(async () => ((await rows.count()) > 50 ? undefined : `${await rows.count()} points`));
  await page.getByRole('searchbox').fill('bay1_u');
  await until(async () => {
    const ids = await rows.locator('code').allInnerTexts();
    return ids.length > 0 && ids.every((id) => id.endsWith('bay1_u')) ? undefined : `found ${ids}`;
  });
  await shot('points');
  await visit('devices');
  await page.getByTestId('devices').getByText('online').first().waitFor();
  await visit('dispatch');
  await page.getByTestId('dispatch').getByText('market').first().waitFor();
  await shot('dispatch');
});

step('sees the alarms and acknowledges one, if there is any', async () => {
  await visit('alarms');
  await page.getByTestId('alarms').waitFor();
  const button = page.getByRole('button', { name: 'Acknowledge' });
  if ((await button.count()) > 0) {
    const alarm = page.locator('[data-alarm]').filter({ has: button }).first();
    const number = await alarm.getAttribute('data-alarm');
    await alarm.getByRole('button').click();
    await page.locator(`[data-alarm="${number}"]`).getByText(`seen by ${OPERATOR.user}`).waitFor();
  }
  await shot('alarms');
});

step('fits a telephone', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const name of PAGES) {
    await visit(name);
    await page.locator('main .page').waitFor();
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 360, `${name} is ${width} px wide`);
    if (name === 'overview') await page.locator('[data-node] .value').first().waitFor();
    await shot(`phone-${name}`);
  }
  await page.setViewportSize({ width: 1600, height: 1000 });
});

step('says when the line is lost, and recovers by itself', async () => {
  await visit('overview');
  await page.getByTestId('connection').filter({ hasText: 'live' }).waitFor();
  line.cut();
  const banner = page.getByRole('alert').filter({ hasText: 'Connection lost, retrying' });
  await banner.waitFor();
  assert.match(await banner.innerText(), /Data from \d\d:\d\d:\d\d UTC/);
  assert.equal(await page.locator('main.stale').count(), 1, 'old data is greyed');
  await shot('connection-lost');
  line.restore();
  await page.getByTestId('connection').filter({ hasText: 'live' }).waitFor();
  await banner.waitFor({ state: 'detached' });
  assert.equal(await page.locator('main.stale').count(), 0);
});

step('lets an operator add a viewer, who may look but not trade, and remove it again', async () => {
  await visit('users');
  await page.locator('input[name=user]').fill(VIEWER.user);
  await page.locator('input[name=password]').fill(VIEWER.password);
  await page.getByRole('button', { name: 'Add' }).click();
  await page.getByTestId('users').getByText(VIEWER.user).waitFor();

  const guest = await visitor({ width: 1200, height: 800 });
  await guest.goto(`${line.url}/#/market`);
  await logIn(guest, VIEWER);
  await guest.getByText('Only operators place orders').waitFor();

  const row = page.getByTestId('users').locator('tr', { hasText: VIEWER.user });
  await row.getByRole('button', { name: 'Remove' }).click();
  await row.getByRole('button', { name: `Remove ${VIEWER.user}` }).click();
  await row.waitFor({ state: 'detached' });
  await guest.getByRole('heading', { name: 'Log in' }).waitFor();
  await guest.context().close();
});

step('changes its own password, and is out until it logs in by it', async () => {
  const next = 'eight bars of copper';
  for (const [from, to] of [
    [OPERATOR.password, next],
    [next, OPERATOR.password],
  ]) {
    await visit('users');
    await page.locator('input[name=current]').fill(from);
    await page.locator('input[name=next]').fill(to);
    await page.getByRole('button', { name: 'Change' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await logIn(page, { ...OPERATOR, password: to });
    await page.getByTestId('connection').filter({ hasText: 'live' }).waitFor();
  }
});

step('logs out and in again, and enrols nobody twice', async () => {
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
  await visit(`enrol?code=${encodeURIComponent(ENROL_CODE)}`);
  await page.getByRole('heading', { name: 'Log in' }).waitFor();
  await logIn(page, { ...OPERATOR, password: 'not the password' });
  await page.getByRole('alert').filter({ hasText: /wrong/ }).waitFor();
  await logIn(page, OPERATOR);
  await page.getByTestId('connection').filter({ hasText: 'live' }).waitFor();
});

step('met no exception and no violated policy', () => {
  assert.deepEqual(faults, []);
});
