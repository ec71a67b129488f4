/** Renders the report as one HTML file that contains its pictures and its style and has no scripts. */
import {escape, type Svg} from './svg.js';
import type {Figure, Missing, Panel, Table} from './figure.js';
import type {Opening} from './opening.js';
import {STYLE} from './style.js';

/** @param title title of the page as plain text */
export function renderPage(
  title: string,
  {verdict, facts}: Opening,
  figures: readonly Figure[],
  missing: readonly Missing[],
): string {
  const contents = figures.map(({id, title}) => `<li><a href="#${id}">${escape(title)}</a></li>`);
  if (missing.length > 0) contents.push('<li><a href="#missing">Not drawn</a></li>');
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escape(title)}</title>
<link rel="icon" href="data:,">
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escape(title)}</h1>
<p class="verdict">${escape(verdict)}</p>
<dl>
${facts.map(([name, text]) => `<div><dt>${escape(name)}</dt><dd>${escape(text)}</dd></div>`).join('\n')}
</dl>
<nav aria-label="Figures"><ul>
${contents.join('\n')}
</ul></nav>
</header>
<main>
${[...figures.map(renderFigure), ...(missing.length > 0 ? [renderMissing(missing)] : [])].join('\n')}
</main>
</body>
</html>
`;
}

function renderFigure({id, title, notes, panels, tables, passage}: Figure): string {
  const parts = [
    `<h2>${escape(title)}</h2>`,
    ...notes.map((note) => `<p>${escape(note)}</p>`),
    `<div class="panels">`,
    ...panels.map(renderPanel),
    '</div>',
    '<div class="tables">',
    ...tables.map(renderTable),
    '</div>',
    ...(passage
      ? [
          `<p>${escape(passage.note)}</p>`,
          `<blockquote>${passage.words.map(renderWord).join('')}</blockquote>`,
        ]
      : []),
  ];
  return `<section id="${id}">\n${parts.join('\n')}\n</section>`;
}

/** The picture for the page's width, and the one for narrow windows: the style sheet shows one of them. */
function renderPanel({name, svg, narrow, span}: Panel): string {
  const wide = withOwnIds(svg, name);
  const pictures = narrow
    ? `<div class="wide">${wide}</div><div class="narrow">${withOwnIds(narrow, `${name}-narrow`)}</div>`
    : wide;
  return `<figure${span ? ` class="${span}"` : ''}>${pictures}</figure>`;
}

/** Vega numbers the clips and gradients of each picture from 0, but all pictures of a page share their ids. */
function withOwnIds(svg: Svg, name: string): Svg {
  const own = escape(name.replace(/[^\w-]/g, '-'));
  return svg.replace(/(<[^>]*? id=")/g, `$1${own}-`).replace(/="url\(#/g, `="url(#${own}-`);
}

function renderWord({text, shade}: {text: string; shade?: number}): string {
  if (shade === undefined) return escape(text);
  return `<span style="--shade:${(100 * shade).toFixed(0)}%">${escape(text)}</span>`;
}

function renderTable({title, head, rows}: Table): string {
  const cells = (row: string[]) =>
    row
      .map((cell, i) => (i === 0 ? `<th scope="row">${escape(cell)}</th>` : `<td>${escape(cell)}</td>`))
      .join('');
  return `<div class="table" tabindex="0" role="region" aria-label="${escape(title)}"><table>
<caption>${escape(title)}</caption>
<thead><tr>${head.map((cell) => `<th scope="col">${escape(cell)}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${cells(row)}</tr>`).join('\n')}
</tbody>
</table></div>`;
}

function renderMissing(missing: readonly Missing[]): string {
  const items = missing.map(
    ({figure, reason, command}) =>
      `<li>${escape(figure)}: ${escape(reason)}. This makes it:<pre><code>${escape(command)}</code></pre></li>`,
  );
  return `<section id="missing">\n<h2>Not drawn</h2>\n<ul>\n${items.join('\n')}\n</ul>\n</section>`;
}
