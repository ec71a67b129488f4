/** Tests of a report's page in a browser: it fetches nothing and logs nothing, and no words are cut off or overlap. */
import {existsSync, readFileSync} from 'node:fs';
import {pathToFileURL} from 'node:url';

import {expect} from 'chai';
import {chromium, type Browser, type Page} from 'playwright-core';

import {report, type Report} from '../../src/index.js';
import {missing} from '../backends.js';
import {newFolder} from '../decoding/models.js';
import {ALL, RESULTS, writeFiles} from './made.js';

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((file) =>
  existsSync(file),
);
const reason = CHROMIUM === undefined ? 'no Chromium is installed' : missing('specattn');

/** Measurements of a page. */
interface Seen {
  /** texts that reach beyond their picture */
  clipped: string[];
  /** pairs of texts that overlap */
  covering: string[];
  /** pixels by which the page is wider than its window */
  excess: number;
  pictures: number;
  /** size of the smallest letters of pictures, in pixels of the window */
  smallest: number;
  /** share of the text's width that the pictures of perplexity take */
  width: number;
  /** contrast ratio of text and background, as WCAG defines it */
  contrast: number;
}

(reason === undefined ? describe : describe.skip)(
  `the page in Chromium${reason ? ` (${reason})` : ''}`,
  function () {
    this.timeout(120_000);
    let browser: Browser;
    let made: Report;
    let hostile: Report;

    before(async () => {
      const results = [
        ...RESULTS,
        {method: `<b>&"\u0001]]>\n${'long '.repeat(40)}`, perplexity: 22, kvReduction: 0.3},
      ];
      const [ours, theirs] = [newFolder(), newFolder()];
      writeFiles(ours, {...ALL, map: undefined});
      writeFiles(theirs, {...ALL, results});
      made = await report(ours);
      hostile = await report(theirs);
      // The browser's sandbox needs user namespaces, which containers lack. The page is our own.
      browser = await chromium.launch({executablePath: CHROMIUM, args: ['--no-sandbox']});
    });
    after(() => browser?.close());

    /** Opens the page in a new window, and collects its console messages, errors and requests. */
    async function open(file: string, width: number, colorScheme: 'light' | 'dark' = 'light') {
      const page = await browser.newPage({viewport: {width, height: 900}, colorScheme});
      const [complaints, requests]: string[][] = [[], []];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      page.on('request', (request) => requests.push(request.url()));
      const url = pathToFileURL(file).href;
      await page.goto(url, {waitUntil: 'networkidle'});
      return {
        page,
        complaints,
        others: requests.filter((request) => request !== url && request !== 'data:,'),
      };
    }

    it('draws all figures, the passage too', () => {
      expect(made.missing).to.deep.equal([]);
      expect(made.figures.join()).to.include('kept-keys-layers.svg');
    });

    for (const [width, scheme] of [
      [1400, 'light'],
      [1400, 'dark'],
      [1000, 'light'],
      [700, 'light'],
      [390, 'light'],
      [390, 'dark'],
    ] as const) {
      it(`fetches nothing, logs nothing, and shows every word: ${width} pixels, ${scheme}`, async () => {
        const {page, complaints, others} = await open(made.page, width, scheme);
        try {
          expect(others).to.deep.equal([]);
          expect(complaints).to.deep.equal([]);
          const seen = await look(page);
          expect(seen.pictures).to.equal(made.figures.length);
          expect(seen.clipped, 'cut off').to.deep.equal([]);
          expect(seen.covering, 'covering each other').to.deep.equal([]);
          expect(seen.excess, 'wider than the window').to.equal(0);
          expect(seen.smallest, 'letters').to.be.above(9.5);
          expect(seen.width).to.be.within(width === 700 ? 0.8 : 0.98, 1.01);
          expect(seen.contrast).to.be.above(7);
        } finally {
          await page.close();
        }
      });
    }

    it('stays intact whatever names the data has, and its files are XML', async () => {
      const {page, complaints, others} = await open(hostile.page, 1280);
      try {
        expect([...others, ...complaints]).to.deep.equal([]);
        const seen = await look(page);
        expect(seen.clipped, 'cut off').to.deep.equal([]);
        expect(seen.excess).to.equal(0);
        expect(await page.locator('script, img, b').count()).to.equal(0);
        for (const file of hostile.figures) {
          const problem = await page.evaluate<string | undefined, string>(
            `(text) => new DOMParser().parseFromString(text, 'image/svg+xml').querySelector('parsererror')?.textContent`,
            readFileSync(file, 'utf8'),
          );
          expect(problem, file).to.equal(undefined);
        }
      } finally {
        await page.close();
      }
    });
  },
);

/** Measures a page. The code runs in the page, whose types Node lacks, so it is given as text. */
function look(page: Page): Promise<Seen> {
  return page.evaluate<Seen>(`(() => {
    const clipped = [], covering = [];
    const svgs = [...document.querySelectorAll('svg')].filter((svg) => svg.getBoundingClientRect().width > 0);
    const sizes = [];
    for (const svg of svgs) {
      const frame = svg.getBoundingClientRect();
      const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent.trim() !== '');
      const boxes = texts.map((text) => ({text: text.textContent, box: text.getBoundingClientRect()}));
      for (const text of texts) sizes.push(parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a || Infinity);
      for (const {text, box} of boxes)
        if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
          clipped.push(text);
      // Boxes are as high as a line: letters of two of them meet only where they share more than a third of it.
      boxes.forEach((a, i) => boxes.slice(0, i).forEach((b) => {
        const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
        const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
        const least = Math.min(a.box.height, b.box.height, a.box.width, b.box.width);
        if (width > 1 && height > least / 3) covering.push(a.text + ' / ' + b.text);
      }));
    }
    const {color, backgroundColor} = getComputedStyle(document.body);
    const luminance = (rgb) => {
      const [r, g, b] = rgb.match(/[\\d.]+/g).map((x) => x / 255).map((x) => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [dark, light] = [luminance(color), luminance(backgroundColor)].sort((a, b) => a - b);
    return {
      clipped,
      covering,
      excess: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      pictures: svgs.length,
      smallest: Math.min(...sizes),
      width: svgs[0].getBoundingClientRect().width / document.querySelector('main').getBoundingClientRect().width,
      contrast: (light + 0.05) / (dark + 0.05),
    };
  })()`);
}
