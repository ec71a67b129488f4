/** Renders the report as one HTML file that contains its pictures and its style and has no scripts. */
import {escape} from './svg.js';
import type {Figure, Missing, Table} from './figure.js';
import {STYLE} from './style.js';

/** @param title title of the page as plain text */
export function renderPage(title: string, figures: readonly Figure[], missing: readonly Missing[]): string {
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
    ...panels.map(({svg}) => `<figure>${svg}</figure>`),
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
